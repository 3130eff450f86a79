use retainit::retain;

#[retain(key = "{id")]
fn unclosed(id: u64) -> u64 {
    id
}

#[retain(key = "id}")]
fn unopened(id: u64) -> u64 {
    id
}

#[retain(key = "{id:?}")]
fn format(id: u64) -> u64 {
    id
}

#[retain(key = "{0}")]
fn number(id: u64) -> u64 {
    id
}

#[retain(key = "{}:{id}")]
fn mixed(id: u64) -> u64 {
    id
}

fn main() {}
