use retainit::retain;

struct Opaque;

#[retain]
fn a(id: u64, opaque: &Opaque) -> u64 {
    let _ = opaque;
    id
}

#[retain(key = "{opaque}")]
fn b(opaque: &Opaque) -> u64 {
    let _ = opaque;
    1
}

fn main() {}
