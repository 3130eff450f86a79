//! Counters that cost a hit less than a nanosecond.
//!
//! Every thread has a block of its own, which only it writes: a load and a store, no locked instruction. A reader
//! sums over all blocks. Blocks outlive their threads and are handed to the next one, so nothing has to be folded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// What is counted per function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Hit,
    Miss,
    Load,
    Evicted,
    LoadNanos,
}

const KINDS: usize = 5;
const CHUNK: usize = 1 << 8;
const CHUNKS: usize = 1 << 10;

type Chunk = [AtomicU64; CHUNK * KINDS];

struct Block {
    /// The first chunk is in the block itself: a program with fewer functions follows no pointer.
    first: Chunk,
    chunks: [OnceLock<Box<Chunk>>; CHUNKS],
}

impl Block {
    const fn new() -> Block {
        Block { first: [const { AtomicU64::new(0) }; CHUNK * KINDS], chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    #[inline(always)]
    fn counter(&self, site: u32, count: Count) -> Option<&AtomicU64> {
        if let Some(counter) = self.first.get(site as usize * KINDS + count as usize) {
            return Some(counter);
        }
        let chunk = self.chunks.get(site as usize / CHUNK)?.get()?;
        Some(&chunk[site as usize % CHUNK * KINDS + count as usize])
    }

    #[cold]
    fn counter_made(&self, site: u32, count: Count) -> &AtomicU64 {
        let chunk = self.chunks[site as usize / CHUNK % CHUNKS]
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK * KINDS]));
        &chunk[site as usize % CHUNK * KINDS + count as usize]
    }
}

/// Sites: who has a number, which are free, and which blocks there are.
struct Registry {
    next: u32,
    free: Vec<u32>,
    blocks: Vec<&'static Block>,
    idle: Vec<&'static Block>,
    /// Where threads count that are ending and have no block of their own any more.
    last: Option<&'static Block>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { next: 1, free: Vec::new(), blocks: Vec::new(), idle: Vec::new(), last: None });

impl Registry {
    /// Out of line: a new block lies on the stack for a moment, and a thread that is given an idle one need not have the
    /// room.
    #[inline(never)]
    fn another(&mut self) -> &'static Block {
        let block: &'static Block = Box::leak(Box::new(Block::new()));
        self.blocks.push(block);
        block
    }
}

/// Gives the block back when its thread ends.
struct Lease(&'static Block);

impl Drop for Lease {
    fn drop(&mut self) {
        BLOCK.set(None);
        REGISTRY.lock().idle.push(self.0);
    }
}

thread_local! {
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

#[cold]
fn block() -> Option<&'static Block> {
    let block = {
        let mut registry = REGISTRY.lock();
        match registry.idle.pop() {
            Some(block) => block,
            None => registry.another(),
        }
    };
    match LEASE.try_with(|lease| lease.set(Some(Lease(block)))) {
        Ok(()) => BLOCK.set(Some(block)),
        Err(_) => {
            REGISTRY.lock().idle.push(block);
            return None;
        }
    }
    Some(block)
}

/// Counts for a thread that is ending, and has no lease any more. Others may do so at the same time.
#[cold]
fn add_at_the_end(site: u32, count: Count, n: u64) {
    let block = {
        let mut registry = REGISTRY.lock();
        let last = registry.last.unwrap_or_else(|| registry.another());
        *registry.last.insert(last)
    };
    let counter = block.counter(site, count).unwrap_or_else(|| block.counter_made(site, count));
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Counts one.
#[inline(always)]
pub(crate) fn count(site: u32, count: Count) {
    add(site, count, 1);
}

/// Counts several.
#[inline(always)]
pub(crate) fn add(site: u32, count: Count, n: u64) {
    let Some(block) = BLOCK.get().or_else(block) else {
        return add_at_the_end(site, count, n);
    };
    let counter = block.counter(site, count).unwrap_or_else(|| block.counter_made(site, count));
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// A number for a function in an instance; entries carry it, counters are found by it.
#[derive(Debug)]
pub(crate) struct SiteNumber {
    number: u32,
    /// What earlier owners of the number had counted.
    base: [u64; KINDS],
}

/// One more would not fit the counters.
pub(crate) const MOST_SITES: u32 = (CHUNK * CHUNKS) as u32;

impl SiteNumber {
    /// `None` when a quarter of a million functions and caches are alive at once.
    pub(crate) fn take() -> Option<SiteNumber> {
        let mut registry = REGISTRY.lock();
        let number = match registry.free.pop() {
            Some(number) => number,
            None if registry.next == MOST_SITES => return None,
            None => {
                registry.next += 1;
                registry.next - 1
            }
        };
        let base = sums(&registry, number);
        Some(SiteNumber { number, base })
    }

    pub(crate) fn get(&self) -> u32 {
        self.number
    }

    /// What was counted since this number was taken.
    pub(crate) fn counted(&self, count: Count) -> u64 {
        sums(&REGISTRY.lock(), self.number)[count as usize] - self.base[count as usize]
    }
}

impl Drop for SiteNumber {
    fn drop(&mut self) {
        REGISTRY.lock().free.push(self.number);
    }
}

fn sums(registry: &Registry, site: u32) -> [u64; KINDS] {
    [Count::Hit, Count::Miss, Count::Load, Count::Evicted, Count::LoadNanos].map(|count| {
        registry
            .blocks
            .iter()
            .filter_map(|block| block.counter(site, count))
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    })
}

/// What a function, a cache or a whole instance has done so far. Counts are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls answered from the cache.
    pub hits: u64,
    /// Calls that found nothing they could use; those who waited for another call's load are among them.
    pub misses: u64,
    /// Runs of the function.
    pub loads: u64,
    /// Entries that left because their backend was full.
    pub evictions: u64,
    /// Time spent in those runs.
    pub load_time: Duration,
    /// Cache operations that failed; the calls were answered all the same.
    pub errors: u64,
    /// The same by operation, such as `read` or `store`.
    pub errors_by_operation: BTreeMap<&'static str, u64>,
    /// Hits on which the function ran too, because of `verify`; those runs are not among the loads.
    pub verified: u64,
    /// Verified hits that were not what the function then returned.
    pub verify_mismatches: u64,
    /// Keys held now; in a shared store, only what this process can count at no cost.
    pub total_keys: u64,
    /// The type of the backend, such as `memory`; the backends' types for a whole instance.
    pub storage_type: String,
}

impl Stats {
    /// Counts failures of several operations.
    pub(crate) fn add_errors(&mut self, by_operation: &BTreeMap<&'static str, u64>) {
        for (operation, count) in by_operation {
            *self.errors_by_operation.entry(operation).or_default() += count;
            self.errors += count;
        }
    }

    /// The share of calls answered from the cache, 0 before the first call.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            calls => self.hits as f64 / calls as f64,
        }
    }

    /// The mean time of a run, zero before the first one.
    pub fn mean_load_time(&self) -> Duration {
        match u32::try_from(self.loads) {
            Ok(0) => Duration::ZERO,
            Ok(loads) => self.load_time / loads,
            Err(_) => Duration::from_nanos((self.load_time.as_nanos() / u128::from(self.loads)) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_over_threads_that_come_and_go() {
        let site = SiteNumber::take().expect("there is room");
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..1_000).for_each(|_| count(site.get(), Count::Hit)));
                }
            });
        }
        assert_eq!((site.counted(Count::Hit), site.counted(Count::Miss)), (12_000, 0));
    }

    #[test]
    fn a_number_used_again_starts_at_zero() {
        let site = SiteNumber::take().expect("there is room");
        count(site.get(), Count::Miss);
        assert_eq!(site.counted(Count::Miss), 1);
        drop(site);
        let again = SiteNumber::take().expect("there is room");
        assert_eq!(again.counted(Count::Miss), 0);
    }
}
