use retainit::retain;

use serde::Serialize;

#[derive(Clone, Copy, Serialize)]
struct Untagged;

#[retain]
fn a<T: Serialize>(x: T) -> u64 {
    let _ = x;
    1
}

fn main() {
    a(Untagged);
}
