// An argument that is only part of the key or of a tag is used.
#![deny(warnings)]

use retainit::retain;

#[retain]
fn digest(path: &str, length: u64, modified: u64) -> usize {
    path.len()
}

#[retain(key = "{id}", tags("team:{team}"))]
async fn user(id: u64, team: String) -> u8 {
    1
}

#[retain(key = (a, b.len()))]
fn expression(a: u64, b: &str) -> u8 {
    1
}

fn main() {
    digest("a", 1, 2);
    drop(user(1, String::new()));
    expression(1, "b");
}
