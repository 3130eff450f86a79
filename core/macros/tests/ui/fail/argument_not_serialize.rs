use retainit::retain;

struct Opaque;

#[retain(handle = off)]
fn a(id: u64, opaque: &Opaque) -> u64 {
    let _ = opaque;
    id
}

fn main() {}
