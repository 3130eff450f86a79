use retainit::{retain, retain_put};

#[retain(tags("user"), skip(name))]
fn skipped(id: u64, name: String) -> u64 {
    id + name.len() as u64
}

#[retain(key = "{id}", tags("user:{name}"))]
fn user(id: u64, name: String) -> u64 {
    id + name.len() as u64
}

#[retain_put(of = user, key = (id,))]
fn tags_need_more_than_the_key(id: u64) -> u64 {
    id
}

fn main() {}
