use retainit::{retain, retain_put};

#[retain]
fn user(id: u64) -> u64 {
    id
}

#[retain_put(of = user)]
fn no_key(id: u64) -> u64 {
    id
}

#[retain_put(key = (id,))]
fn no_of(id: u64) -> u64 {
    id
}

#[retain_put]
fn neither(id: u64) -> u64 {
    id
}

#[retain_put(of = user, key = (id,))]
fn nothing(id: u64) {
    let _ = id;
}

#[retain_put(of = user, key = (id,), ttl = "1s")]
fn unknown(id: u64) -> u64 {
    id
}

fn main() {}
