use retainit::{retain, retain_put};

#[retain]
fn user(id: u64) -> u64 {
    id
}

#[retain_put(of = user, key = (name,))]
fn wrong_type(name: String) -> u64 {
    name.len() as u64
}

#[retain_put(of = user, key = (id, 1))]
fn too_many(id: u64) -> u64 {
    id
}

#[retain_put(of = missing, key = (id,))]
fn no_such_function(id: u64) -> u64 {
    id
}

fn main() {}
