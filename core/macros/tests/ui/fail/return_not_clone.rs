use retainit::retain;

struct NotClone;

#[retain]
fn a(n: u8) -> Option<NotClone> {
    let _ = n;
    None
}

#[retain]
fn b(n: u8) -> std::rc::Rc<u8> {
    n.into()
}

fn main() {}
