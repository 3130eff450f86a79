use retainit::retain;

use std::collections::HashSet;

#[retain]
fn a(ids: HashSet<u64>) -> u64 {
    ids.len() as u64
}

#[retain(key = "{ids}")]
fn b(ids: &std::collections::HashSet<u64>, other: Option<HashSet<u64>>) -> u64 {
    ids.len() as u64 + other.map_or(0, |o| o.len() as u64)
}

#[retain]
fn c(ids: Vec<Option<HashSet<u64>>>) -> u64 {
    ids.len() as u64
}

fn main() {}
