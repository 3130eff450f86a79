//! Counters that cost a hit less than a nanosecond.
//!
//! Every thread writes a block of its own: a load and a store, no locked instruction. A reader sums over all blocks.
//! Blocks outlive their threads and are handed to the next one, so nothing has to be folded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{PerProcess, Process};

/// Counters of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Hit,
    Miss,
    Load,
    Evicted,
    LoadNanos,
    /// Entries that came into stores of values.
    Stored,
    /// Entries that left them, for whatever reason.
    Left,
}

const KINDS: usize = 7;
const CHUNK: usize = 1 << 8;
const CHUNKS: usize = 1 << 10;

type Chunk = [AtomicU64; CHUNK * KINDS];

struct Block {
    /// First chunk, in the block itself: a program with few functions follows no pointer.
    first: Chunk,
    chunks: [OnceLock<Box<Chunk>>; CHUNKS],
}

impl Block {
    const fn new() -> Block {
        Block { first: [const { AtomicU64::new(0) }; CHUNK * KINDS], chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    #[inline(always)]
    fn counter(&self, site: u32, count: Counter) -> Option<&AtomicU64> {
        if let Some(counter) = self.first.get(site as usize * KINDS + count as usize) {
            return Some(counter);
        }
        let chunk = self.chunks.get(site as usize / CHUNK)?.get()?;
        Some(&chunk[site as usize % CHUNK * KINDS + count as usize])
    }

    #[cold]
    fn counter_made(&self, site: u32, count: Counter) -> &AtomicU64 {
        let chunk = self.chunks[site as usize / CHUNK % CHUNKS]
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK * KINDS]));
        &chunk[site as usize % CHUNK * KINDS + count as usize]
    }
}

/// Registry of sites: the numbers in use, the free ones, and all blocks.
struct SiteRegistry {
    next: u32,
    free: Vec<u32>,
    blocks: Vec<&'static Block>,
    idle: Vec<&'static Block>,
    /// Shared block for threads that are ending and have none of their own any more.
    last: Option<&'static Block>,
}

static REGISTRY: PerProcess<Mutex<SiteRegistry>> = PerProcess::new(|| {
    // The thread that goes on in a forked child has its block from the parent.
    let blocks = Vec::from_iter(BLOCK.get());
    Mutex::new(SiteRegistry { next: 1, free: Vec::new(), blocks, idle: Vec::new(), last: None })
});

impl SiteRegistry {
    /// Adds a block. Out of line: a new block is on the stack for a moment, and a thread that receives an idle one need
    /// not have the room.
    #[inline(never)]
    fn another(&mut self) -> &'static Block {
        let block: &'static Block = Box::leak(Box::new(Block::new()));
        self.blocks.push(block);
        block
    }
}

/// Guard that returns a thread's block when the thread ends.
struct Lease(&'static Block);

impl Drop for Lease {
    fn drop(&mut self) {
        BLOCK.set(None);
        REGISTRY.get().lock().idle.push(self.0);
    }
}

thread_local! {
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

#[cold]
fn block() -> Option<&'static Block> {
    let block = {
        let mut registry = REGISTRY.get().lock();
        match registry.idle.pop() {
            Some(block) => block,
            None => registry.another(),
        }
    };
    // A thread that is ending has lost its lease: a block it took would never be returned.
    match LEASE.try_with(|lease| lease.set(Some(Lease(block)))) {
        Ok(()) => BLOCK.set(Some(block)),
        Err(_) => {
            REGISTRY.get().lock().idle.push(block);
            return None;
        }
    }
    Some(block)
}

/// Counts for a thread that is ending and has no block any more, by an atomic addition: such threads share one block.
#[cold]
fn add_at_the_end(site: u32, count: Counter, n: u64) {
    let block = {
        let mut registry = REGISTRY.get().lock();
        let last = registry.last.unwrap_or_else(|| registry.another());
        *registry.last.insert(last)
    };
    let counter = block.counter(site, count).unwrap_or_else(|| block.counter_made(site, count));
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Counts one.
#[inline(always)]
pub(crate) fn count(site: u32, count: Counter) {
    add(site, count, 1);
}

/// Counts several.
#[inline(always)]
pub(crate) fn add(site: u32, count: Counter, n: u64) {
    let Some(block) = BLOCK.get().or_else(block) else {
        return add_at_the_end(site, count, n);
    };
    let counter = block.counter(site, count).unwrap_or_else(|| block.counter_made(site, count));
    // Only this thread writes its block, so no locked instruction is needed.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Number of a function in an instance; entries carry it, counters are found by it.
#[derive(Debug)]
pub(crate) struct SiteNumber {
    number: u32,
    /// Counts of earlier owners of the number.
    base: [u64; KINDS],
    /// Process that has assigned the number.
    process: Process,
}

/// Limit on the numbers: one more would not fit the counters.
pub(crate) const MAX_SITES: u32 = (CHUNK * CHUNKS) as u32;

impl SiteNumber {
    /// Takes a free number; `None` when a quarter of a million functions and caches are alive at once.
    pub(crate) fn take() -> Option<SiteNumber> {
        let mut registry = REGISTRY.get().lock();
        let number = match registry.free.pop() {
            Some(number) => number,
            None if registry.next == MAX_SITES => return None,
            None => {
                registry.next += 1;
                registry.next - 1
            }
        };
        let base = sums(&registry, number);
        Some(SiteNumber { number, base, process: Process::current() })
    }

    pub(crate) fn get(&self) -> u32 {
        self.number
    }

    /// Returns the count since this number was taken.
    pub(crate) fn counted(&self, count: Counter) -> u64 {
        sums(&REGISTRY.get().lock(), self.number)[count as usize] - self.base[count as usize]
    }
}

impl SiteNumber {
    /// Returns the number of entries that were stored in stores of values and not removed.
    pub(crate) fn held(&self) -> u64 {
        // The removed ones first: an entry removed between the two reads is then counted as present, instead of another
        // as never stored.
        let left = self.counted(Counter::Left);
        self.counted(Counter::Stored).saturating_sub(left)
    }
}

impl Drop for SiteNumber {
    fn drop(&mut self) {
        if self.process.is_current() {
            REGISTRY.get().lock().free.push(self.number);
        }
    }
}

fn sums(registry: &SiteRegistry, site: u32) -> [u64; KINDS] {
    use Counter::{Evicted, Hit, Left, Load, LoadNanos, Miss, Stored};
    [Hit, Miss, Load, Evicted, LoadNanos, Stored, Left].map(|count| {
        registry
            .blocks
            .iter()
            .filter_map(|block| block.counter(site, count))
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    })
}

/// Statistics of a function, a cache or a whole instance so far. Counts are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls answered from the cache.
    pub hits: u64,
    /// Calls that found no usable entry, including those that waited for another call's load.
    pub misses: u64,
    /// Runs of the function.
    pub loads: u64,
    /// Entries that left because their backend was full.
    pub evictions: u64,
    /// Calls that ran without the cache: under `disabled`, after `close()`, where the configuration, the function's plan,
    /// its key or its tags cannot be used, and where the backend could not be reached. The last are among the misses
    /// too, the others are neither hits nor misses nor loads.
    pub uncached: u64,
    /// Total time of the loads.
    pub load_time: Duration,
    /// Failed cache operations; the calls were answered all the same.
    pub errors: u64,
    /// Failed cache operations by name, such as `read` or `store`.
    pub errors_by_operation: BTreeMap<&'static str, u64>,
    /// Hits on which the function ran too, because of `verify`; those runs are not among the loads.
    pub verified: u64,
    /// Verified hits whose value differed from the function's.
    pub verify_mismatches: u64,
    /// Present keys, including expired ones that no read or sweep has met yet. For an instance, those of its backends in
    /// memory, counted on the way, and of its disk caches that are in use: SQLite counts them at each call, some
    /// milliseconds for a million. For a function or cache, the difference of stored and removed entries in memory;
    /// zero in stores of bytes, which would have to be walked.
    pub total_keys: u64,
    /// Type of the backend, such as `memory`; the backends' types for a whole instance.
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

    /// Returns the share of calls answered from the cache, 0 before the first call.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            calls => self.hits as f64 / calls as f64,
        }
    }

    /// Returns the mean time of a load, zero before the first one.
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
                    scope.spawn(|| (0..1_000).for_each(|_| count(site.get(), Counter::Hit)));
                }
            });
        }
        assert_eq!((site.counted(Counter::Hit), site.counted(Counter::Miss)), (12_000, 0));
    }

    #[test]
    fn a_number_used_again_starts_at_zero() {
        let site = SiteNumber::take().expect("there is room");
        count(site.get(), Counter::Miss);
        assert_eq!(site.counted(Counter::Miss), 1);
        drop(site);
        let again = SiteNumber::take().expect("there is room");
        assert_eq!(again.counted(Counter::Miss), 0);
    }
}
