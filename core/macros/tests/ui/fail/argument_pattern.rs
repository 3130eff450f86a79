use retainit::retain;

#[retain]
fn a((x, y): (u64, u64), _: u8) -> u64 {
    x + y
}

fn main() {}
