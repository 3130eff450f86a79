use retainit::retain;

struct NotClone;

#[retain(err_ttl = "1s")]
fn a(id: u64) -> Result<u64, NotClone> {
    Ok(id)
}

fn main() {}
