use retainit::retain;
use std::rc::Rc;

#[retain]
fn user(id: u64) -> Rc<u64> {
    Rc::new(id)
}

fn main() {}
