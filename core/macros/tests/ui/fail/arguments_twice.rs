use retainit::retain;

#[retain(ttl = "5m", ttl = "6m", pii, pii)]
fn a(id: u64) -> u64 {
    id
}

fn main() {}
