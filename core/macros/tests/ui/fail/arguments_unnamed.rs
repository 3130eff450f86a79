use retainit::retain;

#[retain(ttl: "5m")]
fn a(id: u64) -> u64 {
    id
}

#[retain("5m")]
fn b(id: u64) -> u64 {
    id
}

fn main() {}
