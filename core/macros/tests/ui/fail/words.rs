use retainit::retain;

#[retain(time = 60, size = 100, sync_writes = true, convert = r#"{ id }"#, name = "USERS", with_cached_flag = true)]
fn of_cached(id: u64) -> u64 {
    id
}

#[retain(result = true, option = true)]
fn of_cached_too(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[retain(time_to_live = "60s", time_to_idle = "60s", max_capacity = 100, weigher = |v| 1, max_size = 5)]
fn of_moka(id: u64) -> u64 {
    id
}

#[retain(expire = "60s", ttl_secs = 60, timeout = "5s", unless = |r| true, fail_safe = true, swr = "5s", retry = 3)]
fn of_others(id: u64) -> u64 {
    id
}

fn main() {}
