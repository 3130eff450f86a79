//! Read-through by two threads: some of the keys miss.

use quick_cache::sync::Cache;

use super::RAW;
use crate::harness::{Contender, Zipf};
use crate::subjects::raw::Raw;
use crate::subjects::{CAPACITY, Value, is_hit, load, noted, peers, retained};

const IDS: usize = 1_000_000;
const LENGTH: usize = 1 << 20;

/// What each thread asks for.
pub(crate) fn traces() -> [Vec<u64>; 2] {
    let zipf = Zipf::new(IDS, 0.99);
    [100, 101].map(|seed| zipf.trace(LENGTH, seed))
}

pub(crate) fn contenders() -> Vec<Contender<'static>> {
    let (raw, moka) = (Raw::new(), peers::moka::<u64>([]));
    let shared = Cache::<u64, Value>::new(CAPACITY);
    vec![
        Contender { name: RAW, answer: Box::new(move |id| raw.read_through(id, || load(id))) },
        Contender {
            name: "quick_cache, get_or_insert_with, no ttl",
            answer: Box::new(move |id| is_hit(|| shared.get_or_insert_with(&id, || Ok::<_, ()>(noted(id))))),
        },
        Contender { name: "retainit", answer: Box::new(|id| is_hit(|| retained::read_through(id))) },
        Contender { name: "moka, get_with", answer: Box::new(move |id| is_hit(|| moka.get_with(id, || noted(id)))) },
        Contender { name: "cached", answer: Box::new(|id| is_hit(|| peers::cached_read_through(id))) },
    ]
}
