//! Compares the cost of a hit with that of raw quick_cache, interleaved in one run: `cargo bench -p retainit-memory`.
//!
//! 10 000 hot keys in a capacity of 100 000, `u64` keys, `Arc<[u8; 100]>` values, a deadline compared on each hit.
//! Both sides hash the key with the same hasher; neither reads a clock.

use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::DefaultHashBuilder;
use quick_cache::sync::Cache;
use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{
    BackendConfig, Built, CachedEntry, Context, EntryAddress, EntryTimes, Error, InsertMode, Inserted, Listener,
    Moment, NewEntry, ObjectBackend, Removal, SystemClock, Visit,
};

type Value = Arc<[u8; 100]>;

const CAPACITY: usize = 100_000;
const HOT: u64 = 10_000;
const HITS: u64 = 1_000_000;
const ROUNDS: usize = 15;

#[derive(Debug)]
struct Deaf;

impl Listener for Deaf {
    fn removed(&self, _: Removal<'_>) {}
    fn near_capacity(&self, _: u64, _: u64) {}
    fn failed(&self, _: &'static str, _: &Error) {}
}

struct Take {
    key: [u8; 8],
    now: Moment,
    value: Option<Value>,
}

impl Visit for Take {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        if *key != self.key {
            return false;
        }
        if cached.fresh_until() > self.now {
            self.value = cached.value::<Value>().cloned();
        }
        true
    }
}

struct Ours {
    backend: Arc<dyn ObjectBackend>,
    hasher: DefaultHashBuilder,
}

impl Ours {
    fn new(policy: Policy) -> Ours {
        let config = MemoryConfig::new().max_entries(CAPACITY).policy(policy);
        let context = Context::new("bench", Arc::new(SystemClock), Arc::new(Deaf));
        let Ok(Built::Object(backend)) = config.build(context) else { panic!("memory builds an object backend") };
        let ours = Ours { backend, hasher: DefaultHashBuilder::default() };
        (0..HOT).for_each(|key| ours.put(key));
        ours
    }

    fn address(&self, key: u64) -> EntryAddress {
        EntryAddress { hash: self.hasher.hash_one(key), site: 1 }
    }

    fn put(&self, key: u64) {
        let times = EntryTimes {
            epoch: 1,
            created: Moment::from_millis(1),
            fresh_until: Moment::from_millis(u64::MAX / 2),
            load_time: Duration::ZERO,
            extra: None,
        };
        let cached = CachedEntry::new(Arc::new([7u8; 100]), times);
        let entry =
            NewEntry { address: self.address(key), key: &key.to_ne_bytes(), cached, bytes: 0, max_entries: None };
        assert_eq!(self.backend.insert(entry, InsertMode::Always), Inserted::Yes);
    }

    fn get(&self, key: u64, now: u64) -> Option<Value> {
        let now = Moment::from_millis(now);
        let mut take = Take { key: key.to_ne_bytes(), now, value: None };
        self.backend.get(self.address(key), &mut take);
        take.value
    }
}

fn keys() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..HITS).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((u128::from(state) * u128::from(HOT)) >> 64) as u64
    })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn nanos(mut hit: impl FnMut(u64) -> Option<Value>) -> f64 {
    let start = Instant::now();
    for key in keys() {
        assert!(black_box(hit(black_box(key))).is_some());
    }
    start.elapsed().as_nanos() as f64 / HITS as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let raw = Cache::<u64, (Value, u64)>::new(CAPACITY);
    (0..HOT).for_each(|key| raw.insert(key, (Arc::new([7u8; 100]), u64::MAX / 2)));
    let (ours, lru) = (Ours::new(Policy::Default), Ours::new(Policy::Lru));
    let now = black_box(1_000);
    let mut times = [const { Vec::new() }; 4];
    let one: Value = Arc::new([7u8; 100]);
    for _ in 0..ROUNDS {
        times[0].push(nanos(|_| Some(one.clone())));
        times[1].push(nanos(|key| raw.get(&key).filter(|v| v.1 > now).map(|v| v.0)));
        times[2].push(nanos(|key| ours.get(key, now)));
        times[3].push(nanos(|key| lru.get(key, now)));
    }
    let medians = times.map(median);
    let mut report = String::new();
    for (name, time) in ["floor", "quick_cache", "default", "lru"].iter().zip(medians) {
        writeln!(report, "{name:12} {time:6.1} ns  {:.2} x raw", time / medians[1]).expect("a string takes everything");
    }
    print!("{report}");
}
