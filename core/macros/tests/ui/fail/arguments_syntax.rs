use retainit::retain;

#[retain(stale, ttl "5m")]
fn a(id: u64) -> u64 {
    id
}

fn main() {}
