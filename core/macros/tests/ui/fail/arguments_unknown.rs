use retainit::retain;

#[retain(tll = "5m", colour = "red")]
fn a(id: u64) -> u64 {
    id
}

fn main() {}
