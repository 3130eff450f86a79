use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;
use retainit_plugin::lock::{Mutex, MutexGuard};
use retainit_plugin::{
    CachedEntry, EntryAddress, EntryRef, InsertMode, Inserted, Moment, NewEntry, RemovalCause, Visit,
};

use crate::gone::Gone;
use crate::slot::{SameHash, Slot};
use crate::store::{Inserts, Keep, Store, admit, judge};
use crate::stripes::Stripe;
use crate::totals::{Bounds, Totals};
use crate::turns::Turns;

/// Below this many nodes memory is not worth giving back.
const SMALL: usize = 1_024;

/// The exact store: one lock, the least recently used entry goes first, and every entry within the bounds fits.
pub(crate) struct Lru {
    inner: Mutex<Inner>,
    inserts: Inserts,
    totals: Totals,
    turns: Turns,
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
        let (inserts, totals) = (Inserts::new(), Totals::new(bounds));
        Lru { inner: Mutex::new(inner), inserts, totals, turns: Turns::default() }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.try_lock().unwrap_or_else(|| self.turns.wait(|| self.inner.lock()))
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
            let Some((hash, slot)) = self.map.pop_front() else {
                return;
            };
            self.bytes -= slot.bytes();
            gone.push(RemovalCause::Evicted, hash, slot);
        }
    }

    fn push(&mut self, hash: u64, slot: Slot) {
        self.bytes += slot.bytes();
        self.ends = self.ends.min(slot.cached().discard_at());
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
    fn get(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        let mut inner = self.lock();
        match inner.map.raw_entry_mut().from_key_hashed_nocheck(address.hash, &address.hash) {
            RawEntryMut::Occupied(mut entry) if entry.get().known(address, visit) => {
                entry.to_back();
                true
            }
            _ => {
                visit.absent(address, self.inserts.get());
                false
            }
        }
    }

    fn peek(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.lock().map.get(&address.hash).is_some_and(|slot| slot.known(address, visit))
    }

    fn inserts(&self, _address: EntryAddress) -> u64 {
        self.inserts.get()
    }

    fn insert(
        &self,
        entry: NewEntry<'_>,
        put: &InsertMode<'_>,
        stripe: Stripe<'_>,
        gone: &mut Gone,
    ) -> Result<(), (Inserted, Slot)> {
        let Bounds { entries, bytes } = self.totals.bounds();
        let (address, key) = (entry.address, entry.key);
        let slot = Slot::new(entry);
        let mut inner = self.lock();
        self.inserts.count();
        if let Err(why) = admit(put, stripe, &slot, || inner.map.get(&address.hash)) {
            return Err((why, slot));
        }
        let before = (inner.map.len(), inner.bytes);
        if let Some(old) = inner.take(address.hash) {
            let same = old.is(address, key);
            gone.push(if same { RemovalCause::Replaced } else { RemovalCause::Evicted }, address.hash, old);
        }
        match bytes.unwrap_or(u64::MAX).checked_sub(slot.bytes()) {
            None => gone.push(RemovalCause::Evicted, address.hash, slot),
            Some(room) => {
                inner.evict_until(entries - 1, room, gone);
                inner.push(address.hash, slot);
            }
        }
        self.totals.change((inner.map.len(), inner.bytes), before);
        Ok(())
    }

    fn remove(&self, address: EntryAddress, visit: &mut dyn Visit, fence: Stripe<'_>) -> Option<Slot> {
        let mut inner = self.lock();
        fence.bump();
        if !inner.map.get(&address.hash)?.known(address, visit) {
            return None;
        }
        let slot = inner.take(address.hash)?;
        if inner.map.is_empty() {
            inner.shrink();
        }
        self.totals.change((0, 0), (1, slot.bytes()));
        Some(slot)
    }

    fn evict(&self, address: EntryAddress) -> Option<Slot> {
        let mut inner = self.lock();
        inner.map.get(&address.hash).filter(|slot| slot.site() == address.site)?;
        let slot = inner.take(address.hash)?;
        self.totals.change((0, 0), (1, slot.bytes()));
        Some(slot)
    }

    fn of_site(&self, site: u32, found: &mut dyn FnMut(u64, &CachedEntry)) {
        let inner = self.lock();
        let of_site = inner.map.iter().filter(|(_, slot)| slot.site() == site);
        of_site.for_each(|(hash, slot)| found(*hash, slot.cached()));
    }

    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone)) {
        let mut left = Gone::default();
        self.turns.let_pass();
        let mut inner = self.lock();
        let (doomed, ends) = judge(inner.map.iter(), keep);
        for (hash, cause) in doomed {
            if let Some(slot) = inner.take(hash) {
                left.push(cause, hash, slot);
            }
        }
        inner.ends = ends;
        inner.shrink();
        self.totals.change((0, 0), (left.len(), left.bytes()));
        drop(inner);
        gone(left);
    }

    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        self.lock().map.values().for_each(|slot| visit(slot.entry()));
    }

    fn totals(&self) -> &Totals {
        &self.totals
    }

    fn next_deadline(&self) -> Moment {
        self.lock().ends
    }
}
