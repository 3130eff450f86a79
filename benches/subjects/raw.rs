//! quick_cache with a deadline beside each value, on the coarse clock: the least that a cache with a ttl costs.

use std::hash::Hash;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use rustix::time::{ClockId, clock_gettime};

use super::{CAPACITY, TTL, Value, load};

pub(crate) struct Raw<K, V = Value> {
    cache: Cache<K, (V, u64)>,
}

/// Returns nanoseconds of the coarse monotonic clock.
#[inline(always)]
fn now() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl<K: Eq + Hash> Raw<K> {
    pub(crate) fn filled(keys: impl IntoIterator<Item = K>) -> Raw<K> {
        let raw = Raw::new(CAPACITY);
        keys.into_iter().zip(0..).for_each(|(key, id)| raw.set(key, load(id)));
        raw
    }
}

impl<K: Eq + Hash, V: Clone> Raw<K, V> {
    pub(crate) fn new(capacity: usize) -> Raw<K, V> {
        Raw { cache: Cache::new(capacity) }
    }

    #[inline(always)]
    pub(crate) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        self.cache.get(key).filter(|(_, deadline)| *deadline > now()).map(|(value, _)| value)
    }

    #[inline(always)]
    pub(crate) fn set(&self, key: K, value: V) {
        self.cache.insert(key, (value, now() + TTL.as_nanos() as u64));
    }

    /// Reads a key and loads a missing one. True for a hit.
    #[inline(always)]
    pub(crate) fn read_through(&self, key: K, load: impl FnOnce() -> V) -> bool {
        let hit = self.get(&key).is_some();
        if !hit {
            self.set(key, load());
        }
        hit
    }
}

/// Finds `(u64, String)` without making one.
#[derive(Hash)]
pub(crate) struct Pair<'a>(pub(crate) u64, pub(crate) &'a str);

impl Equivalent<(u64, String)> for Pair<'_> {
    #[inline(always)]
    fn equivalent(&self, key: &(u64, String)) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}
