use retainit::retain;

#[retain(max_idle = "off")]
fn by_id(id: u64) -> u64 {
    id
}

fn main() {}
