use retainit::retain;

#[retain(
    ttl = -5, jitter = 1.5, backend = "", version = "2", id = "", tags(1), skip(), err_ttl = true, hash_key = true,
    single_flight = "global", max_load_time = 0, crate = "x", handle = "Users", none_ttl = "-1s"
)]
fn a(id: u64) -> Result<u64, u64> {
    Ok(id)
}

#[retain(id = "users get")]
fn b(id: u64) -> u64 {
    id
}

#[retain(version = 4294967296)]
fn c(id: u64) -> u64 {
    id
}

fn main() {}
