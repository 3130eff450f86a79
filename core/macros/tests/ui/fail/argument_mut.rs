use retainit::retain;

#[retain]
fn a(ids: &mut Vec<u64>) -> u64 {
    ids.len() as u64
}

fn main() {}
