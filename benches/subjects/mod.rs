//! What is measured: the same keys, the same values, the same room for everyone.

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

/// What a cache may hold.
pub(crate) const CAPACITY: usize = 100_000;
/// Keys that are asked for.
pub(crate) const HOT: usize = 10_000;
/// How long everything is fresh.
pub(crate) const TTL: Duration = Duration::from_secs(3_600);

/// What the function would have returned.
pub(crate) fn load(id: u64) -> Value {
    let mut bytes = [7; 100];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    Arc::new(bytes)
}

thread_local! {
    static RAN: Cell<bool> = const { Cell::new(false) };
}

/// As [`load`], and notes for this thread that it ran.
pub(crate) fn noted(id: u64) -> Value {
    RAN.set(true);
    load(id)
}

/// Whether a call was answered without running [`noted`].
#[inline(always)]
pub(crate) fn is_hit<T>(call: impl FnOnce() -> T) -> bool {
    black_box(&call());
    !RAN.replace(false)
}

/// How often [`slow`] began.
pub(crate) static RUNS: AtomicU64 = AtomicU64::new(0);

/// What the function would have returned, after 50 ms.
pub(crate) async fn slow(id: u64) -> Value {
    RUNS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(50)).await;
    load(id)
}

const ORDER: usize = 1 << 16;

/// The hot keys and the order in which they are asked for.
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
    /// The index of the key that the `i`-th call asks for.
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
