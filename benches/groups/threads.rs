//! Read-through by two threads: some of the keys miss.

use quick_cache::sync::Cache;

use super::RAW;
use crate::harness::{Contender, Zipf};
use crate::subjects::raw::Raw;
use crate::subjects::{CAPACITY, Value, is_hit, load, noted, noted_number, number, peers, retained};

const IDS: usize = 1_000_000;
const LENGTH: usize = 1 << 20;

/// Generates the keys that each thread reads.
pub(crate) fn traces() -> [Vec<u64>; 2] {
    let zipf = Zipf::new(IDS, 0.99);
    [100, 101].map(|seed| zipf.trace(LENGTH, seed))
}

/// Functions of one return type, as they are or as somebody caches them.
pub(crate) struct Functions<V> {
    load: fn(u64) -> V,
    noted: fn(u64) -> V,
    retained: fn(u64) -> V,
    sharded: fn(u64) -> V,
    sharded_with_ttl: fn(u64) -> V,
    one_lock: fn(u64) -> V,
}

pub(crate) const VALUES: Functions<Value> = Functions {
    load,
    noted,
    retained: retained::read_through,
    sharded: peers::cached_sharded,
    sharded_with_ttl: peers::cached_sharded_with_ttl,
    one_lock: peers::cached_read_through,
};

/// Numbers, so that what is compared is the caches and not the allocator.
pub(crate) const NUMBERS: Functions<u64> = Functions {
    load: number,
    noted: noted_number,
    retained: retained::read_through_number,
    sharded: peers::cached_sharded_number,
    sharded_with_ttl: peers::cached_sharded_number_with_ttl,
    one_lock: peers::cached_read_through_number,
};

pub(crate) fn contenders<V: Clone + Send + Sync + 'static>(of: Functions<V>) -> Vec<Contender<'static>> {
    let (raw, moka) = (Raw::new(CAPACITY), peers::moka_of(CAPACITY));
    let shared = Cache::<u64, V>::new(CAPACITY);
    let Functions { load, noted, .. } = of;
    let cached = |name, call: fn(u64) -> V| Contender { name, answer: Box::new(move |id| is_hit(|| call(id))) };
    vec![
        Contender { name: RAW, answer: Box::new(move |id| raw.read_through(id, || load(id))) },
        Contender {
            name: "quick_cache, get_or_insert_with, no ttl",
            answer: Box::new(move |id| is_hit(|| shared.get_or_insert_with(&id, || Ok::<_, ()>(noted(id))))),
        },
        cached("retainit", of.retained),
        Contender { name: "moka, get_with", answer: Box::new(move |id| is_hit(|| moka.get_with(id, || noted(id)))) },
        cached("cached, shards, no ttl", of.sharded),
        cached("cached, shards, ttl", of.sharded_with_ttl),
        cached("cached, one lock, ttl", of.one_lock),
    ]
}
