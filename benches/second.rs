//! Measures hits under a second harness, so that nothing is tuned to one loop: `cargo bench --bench second`.
//!
//! It shares no code with `hit`. Criterion warms each contender up and measures it on its own, so other load of the
//! machine may affect one of them alone: run it twice before believing a difference.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use quick_cache::sync::Cache;
use retainit::{MemoryConfig, Retainit, retain};
use rustix::time::{ClockId, clock_gettime};

type Value = Arc<[u8; 100]>;

const CAPACITY: usize = 100_000;
const KEYS: u64 = 10_000;

#[retain(ttl = "1h", backend = "by_id")]
fn by_id(id: u64) -> Value {
    Arc::new([id as u8; 100])
}

#[retain(ttl = "1h", backend = "by_id_async")]
async fn by_id_async(id: u64) -> Value {
    Arc::new([id as u8; 100])
}

#[retain(ttl = "1h", backend = "by_name")]
fn by_name(name: &str) -> Value {
    Arc::new([name.len() as u8; 100])
}

/// quick_cache with the least that a ttl needs.
struct Raw<K>(Cache<K, (Value, i64)>);

impl<K: Eq + std::hash::Hash> Raw<K> {
    fn filled(keys: impl Iterator<Item = K>) -> Raw<K> {
        let cache = Cache::new(CAPACITY);
        keys.for_each(|key| cache.insert(key, (Arc::new([0; 100]), seconds() + 3_600)));
        Raw(cache)
    }

    fn get<Q: std::hash::Hash + quick_cache::Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Value> {
        let (value, deadline) = self.0.get(key)?;
        (deadline > seconds()).then_some(value)
    }
}

fn seconds() -> i64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    clock_gettime(CLOCK).tv_sec
}

/// Returns the keys in the order in which they are stored.
fn keys() -> Vec<u64> {
    (0..KEYS).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)).collect()
}

/// Returns the keys in a shuffled order, which no prefetcher guesses.
fn shuffled() -> Vec<u64> {
    let mut keys = keys();
    keys.sort_by_key(|key| key.wrapping_mul(0xbf58_476d_1ce4_e5b9).swap_bytes());
    keys
}

fn name(id: &u64) -> String {
    format!("user:{:08}", id % 100_000_000)
}

fn hits(criterion: &mut Criterion) {
    let config = MemoryConfig::new().max_entries(CAPACITY);
    let backends = ["by_id", "by_id_async", "by_name"];
    let builder = backends.into_iter().fold(Retainit::builder(), |b, name| b.register_backend(name, config.clone()));
    let retainit = builder.build().expect("three backends of different names");
    retainit.install().expect("every function here names a backend that there is");
    ids(criterion);
    names(criterion);
}

fn ids(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
    let raw = Raw::filled(keys().into_iter());
    keys().into_iter().for_each(|id| drop(by_id(id)));
    runtime.block_on(async {
        for id in keys() {
            by_id_async(id).await;
        }
    });
    let keys = shuffled();
    let mut group = criterion.benchmark_group("u64");
    let mut key = keys.iter().copied().cycle();
    let mut next = move || key.next().unwrap_or_default();
    group.bench_function("floor", |b| b.iter(|| black_box(next())));
    group.bench_function("quick_cache, own coarse deadline", |b| b.iter(|| raw.get(&black_box(next()))));
    group.bench_function("retainit", |b| b.iter(|| by_id(black_box(next()))));
    group.bench_function("retainit, async", |b| b.to_async(&runtime).iter(|| by_id_async(black_box(next()))));
    group.finish();
}

fn names(criterion: &mut Criterion) {
    let raw = Raw::filled(keys().iter().map(name));
    keys().iter().map(name).for_each(|name| drop(by_name(&name)));
    let names: Vec<String> = shuffled().iter().map(name).collect();
    let mut group = criterion.benchmark_group("str");
    let mut name = names.iter().cycle();
    let mut next = move || name.next().map(String::as_str).unwrap_or_default();
    group.bench_function("floor", |b| b.iter(|| black_box(next())));
    group.bench_function("quick_cache, own coarse deadline", |b| b.iter(|| raw.get(black_box(next()))));
    group.bench_function("retainit", |b| b.iter(|| by_name(black_box(next()))));
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
