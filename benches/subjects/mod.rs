//! The measured caches: all with equal keys, values and capacity.

pub(crate) mod peers;
pub(crate) mod raw;
pub(crate) mod retained;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::harness::Random;

pub(crate) type Value = Arc<[u8; 100]>;

/// Number of entries that every cache has room for.
pub(crate) const CAPACITY: usize = 100_000;
/// Number of entries that the caches of calls which all miss have room for.
pub(crate) const SMALL: usize = 10_000;
/// Number of keys that are read.
pub(crate) const HOT: usize = 10_000;
/// Time for which every entry is fresh.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);

/// Returns the value of a key, as the retained function would.
pub(crate) fn load(id: u64) -> Value {
    let mut bytes = [7; 100];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    Arc::new(bytes)
}

thread_local! {
    static RAN: Cell<bool> = const { Cell::new(false) };
}

/// Loads as [`load`] does, and notes for this thread that it ran.
pub(crate) fn noted(id: u64) -> Value {
    RAN.set(true);
    load(id)
}

/// Loads as [`number`] does, and notes for this thread that it ran.
pub(crate) fn noted_number(id: u64) -> u64 {
    RAN.set(true);
    number(id)
}

/// Returns the number of a key, which costs a load nothing.
pub(crate) fn number(id: u64) -> u64 {
    black_box(id) / 2
}

/// Returns whether a call was answered without running [`noted`].
#[inline(always)]
pub(crate) fn is_hit<T>(call: impl FnOnce() -> T) -> bool {
    black_box(&call());
    !RAN.replace(false)
}

/// Number of times [`slow`] began.
pub(crate) static RUNS: AtomicU64 = AtomicU64::new(0);

/// Loads as [`load`] does, after 50 ms.
pub(crate) async fn slow(id: u64) -> Value {
    RUNS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(50)).await;
    load(id)
}

const ORDER: usize = 1 << 16;

/// The hot keys and the order in which they are read.
pub(crate) struct Keys {
    pub(crate) ids: Vec<u64>,
    pub(crate) names: Vec<String>,
    pub(crate) long: Vec<String>,
    order: Vec<u32>,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut random = Random::new(12);
    let names: Vec<String> = (0..HOT).map(|i| format!("user:{:08}", i * 7_919)).collect();
    Keys {
        ids: (0..HOT).map(|_| random.next()).collect(),
        long: names.iter().map(|name| format!("{name:0>200}")).collect(),
        names,
        order: (0..ORDER).map(|_| random.below(HOT) as u32).collect(),
    }
});

impl Keys {
    /// Returns the index of the key that the `i`-th call reads.
    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> usize {
        self.order[i % ORDER] as usize
    }

    #[inline(always)]
    pub(crate) fn id(&self, i: usize) -> u64 {
        self.ids[self.at(i)]
    }

    #[inline(always)]
    pub(crate) fn name(&self, i: usize) -> &str {
        &self.names[self.at(i)]
    }
}
