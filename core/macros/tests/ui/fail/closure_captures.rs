use retainit::retain;

#[retain(when = |r| *r > limit)]
fn a(id: u64, limit: u64) -> u64 {
    id + limit
}

#[retain(err_if = |e| e.len() > limit)]
fn b(limit: usize) -> Result<u64, String> {
    Ok(limit as u64)
}

#[retain(ttl = |text| text.len() as u64 + id)]
fn c(id: u64) -> String {
    id.to_string()
}

fn main() {}
