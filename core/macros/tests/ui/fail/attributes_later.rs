use retainit::retain;

#[retain]
#[rate_limit(per_second = 5)]
fn below(id: u64) -> u64 {
    id
}

#[retain]
#[retry(3)]
fn retried(id: u64) -> u64 {
    id
}

#[retain]
#[circuit_breaker]
#[bulkhead(8)]
#[timeout("5s")]
#[timed]
fn not_imported(id: u64) -> u64 {
    id
}

fn main() {}
