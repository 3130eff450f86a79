//! The default store: quick_cache's CLOCK-Pro in shards.
//!
//! Each shard is an unsynchronized quick_cache behind a lock of ours, so that a sweep can read beside the hits,
//! values are dropped without a lock, and memory can be given back shard by shard. Its keys are bare hashes and its
//! values the slots: an entry takes 96 bytes of the slab, and the probe for it compares one word.

use std::mem;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use parking_lot::{RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};
use quick_cache::unsync::Cache;
use quick_cache::{Options, OptionsBuilder, Weighter};
use retainit_plugin::{Entry, Moment, NewEntry, Place, RemovalCause, Visit};

use crate::gone::{Collect, Gone};
use crate::slot::{SameHash, Slot};
use crate::store::{Keep, Store, judge};
use crate::totals::{Bounds, Totals};

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

/// A shard in cache lines of its own: what a hit reads of it lies in the first.
#[repr(align(64))]
struct Line(RwLock<Shard>);

struct Shard {
    cache: Slots,
    ends: Moment,
}

type Slots = Cache<u64, Slot, Scale, SameHash, Collect>;

/// How every shard is made.
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
    /// With `exact`, one shard: then `max_entries` entries are there at once if they are put in.
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
        let shards: Box<[_]> = (0..shards).map(|_| Line(RwLock::new(plan.shard()))).collect();
        ClockPro { mask: shards.len() as u64 - 1, shards, plan, totals: Totals::new(bounds) }
    }

    /// The bits above those that hashbrown probes with.
    #[inline(always)]
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[((hash >> 32) & self.mask) as usize].0
    }

    fn sweep(&self, shard: &RwLock<Shard>, keep: &mut Keep<'_>) -> Gone {
        let mut gone = Gone::default();
        // Hits go on while the shard is judged. Writers wait, so that the verdicts stay true.
        let mut reading = shard.upgradable_read();
        let (doomed, ends) = judge(reading.cache.iter(), keep);
        for turn in doomed.chunks(TURN) {
            let mut writing = RwLockUpgradableReadGuard::upgrade(reading);
            for (hash, cause) in turn {
                if let Some((_, slot)) = writing.cache.remove(hash) {
                    gone.push(*cause, slot);
                }
            }
            reading = RwLockWriteGuard::downgrade_to_upgradable(writing);
        }
        self.totals.change((0, 0), (gone.len(), gone.bytes()));
        let mut writing = RwLockUpgradableReadGuard::upgrade(reading);
        writing.ends = ends;
        let husk = writing.shrink(&self.plan);
        drop(writing);
        drop(husk);
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
    /// quick_cache keeps its memory however little is left in it, so a shard that has become nearly empty moves into
    /// a new cache. The entries lose their standing; the old cache is empty and is freed without the lock.
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
    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool {
        let shard = self.shard(place.hash).read();
        shard.cache.get(&place.hash).is_some_and(|slot| slot.known(place, visit))
    }

    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool {
        let shard = self.shard(place.hash).read();
        shard.cache.peek(&place.hash).is_some_and(|slot| slot.known(place, visit))
    }

    fn insert(&self, entry: NewEntry<'_>, gone: &mut Gone) {
        let (place, key) = (entry.place, entry.key);
        let slot = Slot::new(entry);
        let (bytes, ends) = (slot.bytes(), slot.kept().ends());
        let mut shard = self.shard(place.hash).write();
        shard.cache.insert_with_lifecycle(place.hash, slot, gone);
        shard.ends = shard.ends.min(ends);
        self.totals.change((1, bytes), (gone.len(), gone.bytes()));
        find_replaced(place, key, &shard.cache, gone);
    }

    fn remove(&self, place: Place, visit: &mut dyn Visit) -> Option<Slot> {
        let mut shard = self.shard(place.hash).write();
        let known = |slot: &Slot| slot.known(place, visit);
        let (_, slot) = shard.cache.remove_if(&place.hash, known)?;
        self.totals.change((0, 0), (1, slot.bytes()));
        let husk = if shard.cache.is_empty() { shard.shrink(&self.plan) } else { None };
        drop(shard);
        drop(husk);
        Some(slot)
    }

    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone)) {
        for Line(shard) in &self.shards {
            gone(self.sweep(shard, keep));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>)) {
        for Line(shard) in &self.shards {
            shard.read().cache.iter().for_each(|(_, slot)| visit(slot.entry()));
        }
    }

    fn totals(&self) -> &Totals {
        &self.totals
    }

    fn next_deadline(&self) -> Moment {
        self.shards.iter().map(|line| line.0.read().ends).min().unwrap_or(Moment::NEVER)
    }
}

/// A power of two: four per processor, more in a large store, fewer in a small one.
fn shards(Bounds { entries, bytes }: Bounds) -> u64 {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let wanted = (processors * 4).max(entries / LARGEST_SHARD).min(MOST_SHARDS);
    let most = (entries / SMALLEST_SHARD)
        .min(bytes.map_or(MOST_SHARDS, |bytes| bytes / SMALLEST_SHARD_BYTES))
        .clamp(1, MOST_SHARDS);
    wanted.next_power_of_two().min(1 << most.ilog2())
}

/// Among what an insert of this key pushed out, names the entry whose place it took.
///
/// quick_cache hands back the old entry first, and then the new one too if that is too heavy or could not hold its
/// place.
fn find_replaced(place: Place, key: &[u8], cache: &Slots, gone: &mut Gone) {
    let replaced = match gone.iter().filter(|slot| slot.is(place, key)).count() {
        0 => false,
        1 => cache.peek(&place.hash).is_some_and(|slot| slot.is(place, key)),
        _ => true,
    };
    let old = gone.iter_mut().find(|(_, slot)| slot.is(place, key));
    if let (true, Some((cause, _))) = (replaced, old) {
        *cause = RemovalCause::Replaced;
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
    fn entries_weigh_what_they_must() {
        let both = Bounds { entries: 10, bytes: Some(100) };
        assert_eq!(Scale::new(both), Scale { per_byte: 10, at_least: 100, capacity: 1_000 });
        assert_eq!((entry(both, 1), entry(both, 10), entry(both, 11)), (100, 100, 110));
        let plain = Bounds { entries: 10, bytes: None };
        assert_eq!(Scale::new(plain), Scale { per_byte: 0, at_least: 1, capacity: 10 });
    }
}
