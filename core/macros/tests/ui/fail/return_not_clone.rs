use retainit::retain;

struct NotClone;

#[retain(handle = off)]
fn a(n: u8) -> Option<NotClone> {
    let _ = n;
    None
}

fn main() {}
