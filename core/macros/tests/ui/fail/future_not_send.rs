use retainit::retain;

use std::rc::Rc;

#[retain]
async fn a(id: u64) -> u64 {
    let rc = Rc::new(id);
    std::future::ready(()).await;
    *rc
}

fn main() {}
