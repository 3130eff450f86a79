use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;
use parking_lot::Mutex;
use retainit_plugin::{Entry, Moment, NewEntry, Place, RemovalCause, Visit};

use crate::gone::Gone;
use crate::slot::{SameHash, Slot};
use crate::store::{Keep, Store, judge};
use crate::totals::{Bounds, Totals};

/// Below this many nodes memory is not worth giving back.
const SMALL: usize = 1_024;

/// The exact store: one lock, the least recently used entry goes first, and every entry within the bounds fits.
pub(crate) struct Lru {
    inner: Mutex<Inner>,
    totals: Totals,
}

struct Inner {
    /// Least recently used first.
    map: LinkedHashMap<u64, Slot, SameHash>,
    bytes: u64,
    ends: Moment,
    /// The most entries it held since memory was given back.
    peak: usize,
}

impl Lru {
    pub(crate) fn new(bounds: Bounds) -> Lru {
        let map = LinkedHashMap::with_hasher(SameHash::default());
        let inner = Inner { map, bytes: 0, ends: Moment::NEVER, peak: 0 };
        Lru { inner: Mutex::new(inner), totals: Totals::new(bounds) }
    }
}

impl Inner {
    fn take(&mut self, hash: u64) -> Option<Slot> {
        let slot = self.map.remove(&hash)?;
        self.bytes -= slot.bytes();
        Some(slot)
    }

    fn evict_until(&mut self, entries: u64, bytes: u64, gone: &mut Gone) {
        while self.map.len() as u64 > entries || self.bytes > bytes {
            let Some((_, slot)) = self.map.pop_front() else {
                return;
            };
            self.bytes -= slot.bytes();
            gone.push(RemovalCause::Evicted, slot);
        }
    }

    fn push(&mut self, hash: u64, slot: Slot) {
        self.bytes += slot.bytes();
        self.ends = self.ends.min(slot.kept().ends());
        self.map.insert(hash, slot);
        self.peak = self.peak.max(self.map.len());
    }

    fn shrink(&mut self) {
        if self.peak > SMALL && self.map.len() < self.peak / 4 {
            self.map.shrink_to_fit();
            self.peak = self.map.len();
        }
        if self.map.is_empty() {
            self.ends = Moment::NEVER;
        }
    }
}

impl Store for Lru {
    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool {
        let mut inner = self.inner.lock();
        match inner.map.raw_entry_mut().from_key_hashed_nocheck(place.hash, &place.hash) {
            RawEntryMut::Occupied(mut entry) if entry.get().known(place, visit) => {
                entry.to_back();
                true
            }
            _ => false,
        }
    }

    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool {
        self.inner.lock().map.get(&place.hash).is_some_and(|slot| slot.known(place, visit))
    }

    fn insert(&self, entry: NewEntry<'_>, gone: &mut Gone) {
        let Bounds { entries, bytes } = self.totals.bounds();
        let (place, key) = (entry.place, entry.key);
        let slot = Slot::new(entry);
        let mut inner = self.inner.lock();
        let before = (inner.map.len(), inner.bytes);
        if let Some(old) = inner.take(place.hash) {
            let same = old.is(place, key);
            gone.push(if same { RemovalCause::Replaced } else { RemovalCause::Evicted }, old);
        }
        match bytes.unwrap_or(u64::MAX).checked_sub(slot.bytes()) {
            None => gone.push(RemovalCause::Evicted, slot),
            Some(room) => {
                inner.evict_until(entries - 1, room, gone);
                inner.push(place.hash, slot);
            }
        }
        self.totals.change((inner.map.len(), inner.bytes), before);
    }

    fn remove(&self, place: Place, visit: &mut dyn Visit) -> Option<Slot> {
        let mut inner = self.inner.lock();
        if !inner.map.get(&place.hash)?.known(place, visit) {
            return None;
        }
        let slot = inner.take(place.hash)?;
        if inner.map.is_empty() {
            inner.shrink();
        }
        self.totals.change((0, 0), (1, slot.bytes()));
        Some(slot)
    }

    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone)) {
        let mut left = Gone::default();
        let mut inner = self.inner.lock();
        let (doomed, ends) = judge(inner.map.iter(), keep);
        for (hash, cause) in doomed {
            if let Some(slot) = inner.take(hash) {
                left.push(cause, slot);
            }
        }
        inner.ends = ends;
        inner.shrink();
        self.totals.change((0, 0), (left.len(), left.bytes()));
        drop(inner);
        gone(left);
    }

    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>)) {
        self.inner.lock().map.values().for_each(|slot| visit(slot.entry()));
    }

    fn totals(&self) -> &Totals {
        &self.totals
    }

    fn next_deadline(&self) -> Moment {
        self.inner.lock().ends
    }
}
