use retainit::retain;

mod user {}

#[retain]
fn user(id: u32) -> u32 {
    id
}

fn main() {}
