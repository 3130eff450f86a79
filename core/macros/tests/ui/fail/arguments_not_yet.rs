use retainit::retain;

#[retain(
    stale = "30s", grace = "10m", grace_if = |e| true, refresh = "4m", eager = 0.8, xfetch = 1.0,
    scope(organization = id), compression = "zstd", encryption = "aes-gcm", soft_timeout = "1s", hard_timeout = "2s",
    single_flight = "cluster"
)]
fn a(id: u64) -> u64 {
    id
}

fn main() {}
