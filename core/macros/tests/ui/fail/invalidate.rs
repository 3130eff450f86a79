use retainit::{invalidate, retain};

#[retain]
fn user(id: u64) -> u64 {
    id
}

#[invalidate]
fn nothing() {}

#[invalidate(key = (id,))]
fn no_of(id: u64) {
    let _ = id;
}

#[invalidate(tags("user:{idd}"))]
fn unknown_name(id: u64) {
    let _ = id;
}

#[invalidate(of = "user", tag("x"))]
fn wrong(id: u64) {
    let _ = id;
}

#[invalidate(of = user)]
const fn constant() {}

fn main() {}
