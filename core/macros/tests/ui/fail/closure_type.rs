use retainit::retain;

#[retain(when = |r: &String| r.is_empty())]
fn a(id: u64) -> u64 {
    id
}

#[retain(when = |r| r.is_some(), handle = off)]
fn b(id: u64) -> u64 {
    id
}

fn main() {}
