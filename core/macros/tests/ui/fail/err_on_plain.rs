use retainit::retain;

#[retain(err_ttl = "1s")]
fn a(id: u64) -> u64 {
    id
}

#[retain(err_if = |_| true)]
async fn b(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
