use retainit::retain;

#[retain(ttl = "5 minutes")]
fn a(id: u64) -> u64 {
    id
}

#[retain(max_load_time = "never")]
fn b(id: u64) -> u64 {
    id
}

fn main() {}
