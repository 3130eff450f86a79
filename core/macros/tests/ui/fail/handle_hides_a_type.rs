use retainit::retain;

#[retain]
fn char(id: u32) -> Option<u32> {
    Some(id)
}

#[retain(handle = u64)]
fn b(id: u32) -> u32 {
    id
}

fn main() {}
