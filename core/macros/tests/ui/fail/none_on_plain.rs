use retainit::retain;

#[retain(none_ttl = "1s")]
fn a(id: u64) -> u64 {
    id
}

#[retain(none_ttl = "1s")]
fn b(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
