//! The default store: quick_cache's CLOCK-Pro in shards.
//!
//! Each shard is an unsynchronized quick_cache behind a lock of ours, so that a sweep can read beside the hits,
//! values are dropped without a lock, and memory can be given back shard by shard. Its keys are bare hashes and its
//! values the slots: an entry takes 96 bytes of the slab, and the probe for it compares one word.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use quick_cache::unsync::Cache;
use quick_cache::{Options, OptionsBuilder, Weighter};
use retainit_plugin::lock::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use retainit_plugin::{
    CachedEntry, EntryAddress, EntryRef, InsertMode, Inserted, Moment, NewEntry, RemovalCause, Visit,
};

use crate::gone::{Collect, Gone};
use crate::slot::{SameHash, Slot};
use crate::store::{Inserts, Keep, Store, admit, judge};
use crate::stripes::Stripe;
use crate::totals::{Bounds, Totals};
use crate::turns::Turns;

/// Shards per processor, of a small store and of one whose shards are roomy. A miss holds its shard while it searches an
/// entry to evict: with 16, threads seldom want one shard at once. Shards of few entries are full before the others.
const SHARDS_PER_PROCESSOR: (u64, u64) = (4, 16);
/// Entries and bytes of a roomy shard.
const ROOMY_SHARD: u64 = 1_500;
const ROOMY_SHARD_BYTES: u64 = 32 << 20;
/// A shard of fewer entries would be full long before the others.
const SMALLEST_SHARD: u64 = 128;
/// An entry has to fit into one shard.
const SMALLEST_SHARD_BYTES: u64 = 4 << 20;
/// A sweep holds one shard at a time.
const LARGEST_SHARD: u64 = 65_536;
const MOST_SHARDS: u64 = 1_024;
/// Entries taken out by a sweep before readers get a turn.
const TURN: usize = 512;
/// Below this a shard's memory is not worth giving back.
const SMALL: usize = 64 << 10;

pub(crate) struct ClockPro {
    shards: Box<[Line]>,
    mask: u64,
    plan: Plan,
    totals: Totals,
}

/// A shard in cache lines of its own: what a hit reads of it is in the first.
#[repr(align(64))]
struct Line {
    shard: RwLock<Shard>,
    inserts: Inserts,
    /// Set under both locks, and cleared before `sweeping` is let go.
    is_swept: AtomicBool,
    /// Held by a sweep, from before it looks at the first entry until after it has changed the last.
    sweeping: Mutex<()>,
    turns: Turns,
}

/// A sweep of one shard, until it is dropped: writers wait.
struct Sweep<'a> {
    line: &'a Line,
    _alone: MutexGuard<'a, ()>,
}

impl Line {
    fn new(shard: Shard) -> Line {
        Line {
            shard: RwLock::new(shard),
            inserts: Inserts::new(),
            is_swept: AtomicBool::new(false),
            sweeping: Mutex::new(()),
            turns: Turns::default(),
        }
    }

    /// Writes, after a sweep if there is one. A writer that waits for the shard itself makes readers wait behind it, so
    /// it waits for the sweep elsewhere.
    #[inline]
    fn write(&self) -> RwLockWriteGuard<'_, Shard> {
        if !self.is_swept.load(Ordering::Relaxed)
            && let Some(shard) = self.write_unswept()
        {
            return shard;
        }
        self.write_after_sweep()
    }

    /// Writes, unless a sweep has begun: that set its mark under the same lock.
    #[inline]
    fn write_unswept(&self) -> Option<RwLockWriteGuard<'_, Shard>> {
        let shard = self.shard.write();
        (!self.is_swept.load(Ordering::Relaxed)).then_some(shard)
    }

    #[cold]
    fn write_after_sweep(&self) -> RwLockWriteGuard<'_, Shard> {
        self.turns.wait(|| {
            loop {
                drop(self.sweeping.lock());
                if let Some(shard) = self.write_unswept() {
                    return shard;
                }
            }
        })
    }

    fn sweep(&self) -> Sweep<'_> {
        self.turns.let_pass();
        let alone = self.sweeping.lock();
        let shard = self.shard.write();
        self.is_swept.store(true, Ordering::Relaxed);
        drop(shard);
        Sweep { line: self, _alone: alone }
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.line.is_swept.store(false, Ordering::Relaxed);
    }
}

struct Shard {
    cache: Slots,
    ends: Moment,
}

type Slots = Cache<u64, Slot, Scale, SameHash, Collect>;

/// Parameters of every shard.
struct Plan {
    options: Options,
    scale: Scale,
}

/// Entries and bytes as one weight: the larger of the two shares, so that neither bound is passed.
///
/// Both shares are multiplied by `max_bytes · per_byte`, which keeps a byte a whole number, and an entry too where
/// `per_byte` is `max_entries`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    per_byte: u64,
    at_least: u64,
    capacity: u64,
}

impl Scale {
    fn new(Bounds { entries, bytes }: Bounds) -> Scale {
        /// Sums of weights stay far from overflowing.
        const TOP: u64 = 1 << 62;
        let Some(bytes) = bytes.map(|bytes| bytes.min(TOP)) else {
            return Scale { per_byte: 0, at_least: 1, capacity: entries.min(TOP) };
        };
        let per_byte = (TOP / bytes).min(entries);
        let capacity = bytes * per_byte;
        Scale { per_byte, at_least: capacity.div_ceil(entries), capacity }
    }
}

impl Weighter<u64, Slot> for Scale {
    #[inline]
    fn weight(&self, _hash: &u64, slot: &Slot) -> u64 {
        slot.bytes().saturating_mul(self.per_byte).max(self.at_least)
    }
}

impl ClockPro {
    /// Makes a store; with `exact`, of one shard, so that it holds `max_entries` entries at once.
    pub(crate) fn new(bounds: Bounds, exact: bool) -> ClockPro {
        let scale = Scale::new(bounds);
        let shards = if exact { 1 } else { shards(bounds) };
        let items = usize::try_from(bounds.entries / shards).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        options.weight_capacity(scale.capacity / shards).estimated_items_capacity(items);
        if bounds.entries == 1 {
            // Otherwise the only entry there may be, which weighs as much as the capacity, would be too heavy.
            options.hot_allocation(1.0);
        }
        let options = options.build().expect("both capacities are set");
        let plan = Plan { options, scale };
        let shards: Box<[_]> = (0..shards).map(|_| Line::new(plan.shard())).collect();
        ClockPro { mask: shards.len() as u64 - 1, shards, plan, totals: Totals::new(bounds) }
    }

    /// Returns the line of a hash, by the bits above those that hashbrown probes with.
    #[inline(always)]
    fn line(&self, hash: u64) -> &Line {
        &self.shards[((hash >> 32) & self.mask) as usize]
    }

    fn sweep(&self, line: &Line, keep: &mut Keep<'_>) -> Gone {
        let mut gone = Gone::default();
        // Hits go on while the shard is judged. Writers wait, so that the verdicts stay true.
        let sweep = line.sweep();
        let (doomed, ends) = judge(line.shard.read().cache.iter(), keep);
        for turn in doomed.chunks(TURN) {
            let mut shard = line.shard.write();
            for (hash, cause) in turn {
                if let Some((_, slot)) = shard.cache.remove(hash) {
                    gone.push(*cause, *hash, slot);
                }
            }
        }
        self.totals.change((0, 0), (gone.len(), gone.bytes()));
        let mut shard = line.shard.write();
        shard.ends = ends;
        let emptied = shard.shrink(&self.plan);
        drop(shard);
        drop(sweep);
        drop(emptied);
        gone
    }
}

impl Plan {
    fn shard(&self) -> Shard {
        Shard { cache: self.cache(), ends: Moment::NEVER }
    }

    fn cache(&self) -> Slots {
        Cache::with_options(self.options.clone(), self.scale, SameHash::default(), Collect)
    }
}

impl Shard {
    /// Shrinks a shard: quick_cache keeps its memory however little is left in it, so one that has become nearly empty
    /// moves into a new cache. The entries lose their standing; the old cache is empty and is freed without the lock.
    fn shrink(&mut self, plan: &Plan) -> Option<Slots> {
        if self.cache.is_empty() {
            self.ends = Moment::NEVER;
        }
        let used = self.cache.memory_used().total();
        if used < SMALL || used / 8 < self.cache.len() * size_of::<(u64, Slot)>() {
            return None;
        }
        let mut old = mem::replace(&mut self.cache, plan.cache());
        for (hash, slot) in old.drain() {
            self.cache.insert(hash, slot);
        }
        Some(old)
    }
}

impl Store for ClockPro {
    #[inline]
    fn get(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        let line = self.line(address.hash);
        let shard = line.shard.read();
        let is_known = shard.cache.get(&address.hash).is_some_and(|slot| slot.known(address, visit));
        if !is_known {
            visit.absent(address, line.inserts.get());
        }
        is_known
    }

    fn peek(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        let shard = self.line(address.hash).shard.read();
        shard.cache.peek(&address.hash).is_some_and(|slot| slot.known(address, visit))
    }

    fn inserts(&self, address: EntryAddress) -> u64 {
        self.line(address.hash).inserts.get()
    }

    fn insert(
        &self,
        entry: NewEntry<'_>,
        put: &InsertMode<'_>,
        stripe: Stripe<'_>,
        gone: &mut Gone,
    ) -> Result<(), (Inserted, Slot)> {
        let (address, key) = (entry.address, entry.key);
        let slot = Slot::new(entry);
        let (bytes, ends) = (slot.bytes(), slot.cached().discard_at());
        let line = self.line(address.hash);
        let mut shard = line.write();
        // Before the fence is broken: whoever takes one that this insert has broken looks for what it put in.
        line.inserts.count();
        let lies = || shard.cache.peek(&address.hash);
        if let Err(why) = admit(put, stripe, &slot, lies) {
            return Err((why, slot));
        }
        shard.cache.insert_with_lifecycle(address.hash, slot, gone);
        shard.ends = shard.ends.min(ends);
        self.totals.change((1, bytes), (gone.len(), gone.bytes()));
        find_replaced(address, key, &shard.cache, gone);
        Ok(())
    }

    fn remove(&self, address: EntryAddress, visit: &mut dyn Visit, fence: Stripe<'_>) -> Option<Slot> {
        let mut shard = self.line(address.hash).write();
        fence.bump();
        let known = |slot: &Slot| slot.known(address, visit);
        let (_, slot) = shard.cache.remove_if(&address.hash, known)?;
        self.totals.change((0, 0), (1, slot.bytes()));
        let emptied = if shard.cache.is_empty() { shard.shrink(&self.plan) } else { None };
        drop(shard);
        drop(emptied);
        Some(slot)
    }

    fn evict(&self, address: EntryAddress) -> Option<Slot> {
        let mut shard = self.line(address.hash).write();
        let (_, slot) = shard.cache.remove_if(&address.hash, |slot| slot.site() == address.site)?;
        self.totals.change((0, 0), (1, slot.bytes()));
        Some(slot)
    }

    fn of_site(&self, site: u32, found: &mut dyn FnMut(u64, &CachedEntry)) {
        for line in &self.shards {
            let shard = line.shard.read();
            let of_site = shard.cache.iter().filter(|(_, slot)| slot.site() == site);
            of_site.for_each(|(hash, slot)| found(*hash, slot.cached()));
        }
    }

    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone)) {
        for line in &self.shards {
            gone(self.sweep(line, keep));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        for line in &self.shards {
            line.shard.read().cache.iter().for_each(|(_, slot)| visit(slot.entry()));
        }
    }

    fn totals(&self) -> &Totals {
        &self.totals
    }

    fn next_deadline(&self) -> Moment {
        self.shards.iter().map(|line| line.shard.read().ends).min().unwrap_or(Moment::NEVER)
    }
}

/// Returns the number of shards, a power of two: four per processor or more, fewer in a small store.
fn shards(Bounds { entries, bytes }: Bounds) -> u64 {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let (few, many) = SHARDS_PER_PROCESSOR;
    // How many there can be of a size, in entries and in bytes.
    let of_size = |of: u64, of_bytes: u64| (entries / of).min(bytes.map_or(u64::MAX, |bytes| bytes / of_bytes));
    let below = |shards: u64| 1 << shards.max(1).ilog2();
    let roomy = below(of_size(ROOMY_SHARD, ROOMY_SHARD_BYTES).min(processors * many));
    let wanted = (processors * few).max(entries / LARGEST_SHARD).max(roomy).min(MOST_SHARDS);
    let most = below(of_size(SMALLEST_SHARD, SMALLEST_SHARD_BYTES).min(MOST_SHARDS));
    wanted.next_power_of_two().min(most)
}

/// Finds the entry whose place an insert of this key took, among those that it pushed out.
///
/// quick_cache hands back the old entry first, and then the new one too if that is too heavy or could not hold its
/// place.
fn find_replaced(address: EntryAddress, key: &[u8], cache: &Slots, gone: &mut Gone) {
    let replaced = match gone.iter().filter(|slot| slot.is(address, key)).count() {
        0 => false,
        1 => cache.peek(&address.hash).is_some_and(|slot| slot.is(address, key)),
        _ => true,
    };
    let old = gone.iter_mut().find(|left| left.slot.is(address, key));
    if let (true, Some(left)) = (replaced, old) {
        left.cause = RemovalCause::Replaced;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(bounds: Bounds, bytes: u64) -> u64 {
        let Scale { per_byte, at_least, .. } = Scale::new(bounds);
        bytes.saturating_mul(per_byte).max(at_least)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        // C-25
        #[test]
        fn what_fits_by_weight_fits_both_bounds(entries in 1u64.., bytes in 1u64.., share in 0u64..) {
            let bounds = Bounds { entries, bytes: Some(bytes) };
            let capacity = Scale::new(bounds).capacity;
            let weight = entry(bounds, share % bytes);
            prop_assert!(weight >= 1);
            let most = capacity / weight;
            prop_assert!(most <= entries);
            prop_assert!(u128::from(most) * u128::from(share % bytes) <= u128::from(bytes));
        }

        #[test]
        fn shards_stay_within_the_bounds(entries in 1u64..10_000_000, bytes in proptest::option::of(1u64..1 << 40)) {
            let bounds = Bounds { entries, bytes };
            let shards = shards(bounds);
            let scale = Scale::new(bounds);
            prop_assert!(shards.is_power_of_two() && shards <= MOST_SHARDS);
            prop_assert!(shards * (scale.capacity / shards / scale.at_least) <= entries);
            prop_assert!(shards == 1 || entries / shards >= SMALLEST_SHARD);
        }
    }

    #[test]
    fn more_shards_than_four_per_processor_only_where_each_is_roomy() {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
        let few = (processors * SHARDS_PER_PROCESSOR.0).next_power_of_two();
        let of = |entries, bytes| shards(Bounds { entries, bytes });
        assert!(of(10_000, None) <= few.max(4));
        assert!(of(100_000, Some(64 << 20)) <= few);
        let entries = processors * SHARDS_PER_PROCESSOR.1 * ROOMY_SHARD;
        let many = of(entries, None);
        assert!(entries / many >= ROOMY_SHARD && (many > few || few == MOST_SHARDS));
    }

    #[test]
    fn entries_weigh_what_they_must() {
        let both = Bounds { entries: 10, bytes: Some(100) };
        assert_eq!(Scale::new(both), Scale { per_byte: 10, at_least: 100, capacity: 1_000 });
        assert_eq!((entry(both, 1), entry(both, 10), entry(both, 11)), (100, 100, 110));
        let plain = Bounds { entries: 10, bytes: None };
        assert_eq!(Scale::new(plain), Scale { per_byte: 0, at_least: 1, capacity: 10 });
    }
}
