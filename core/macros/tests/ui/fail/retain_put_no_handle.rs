use retainit::{retain, retain_put};

#[retain(handle = off)]
fn user(id: u64) -> String {
    id.to_string()
}

#[retain_put(of = user, key = (id,))]
fn rename(id: u64, name: String) -> String {
    let _ = id;
    name
}

fn main() {}
