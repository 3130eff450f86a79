//! Bounds on the entries of single functions: which of its entries goes when a function has too many.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashlink::LinkedHashMap;
use retainit_plugin::lock::{Mutex, RwLock};
use retainit_plugin::{CachedEntry, EntryAddress, Moment, NewEntry, RemovalCause, Visit};

use crate::gone::Gone;
use crate::slot::SameHash;
use crate::store::Store;

/// The queues of sites that are or were bounded. A site that never was costs its inserts one load.
#[derive(Default)]
pub(crate) struct Sites {
    has_any: AtomicBool,
    queues: RwLock<HashMap<u32, Arc<Mutex<Queue>>>>,
}

/// The entries of one site in the order in which they go: a clock, in which one that was read since it was passed last
/// gets another round. Each has the time of the last read that was seen.
///
/// It has every entry of the site, and maybe some that have just left, so that its length bounds theirs. Inserts of the
/// site hold its lock; the lock of a shard is taken inside it, never the other way round.
pub(crate) struct Queue {
    site: u32,
    hashes: LinkedHashMap<u64, Moment, SameHash>,
}

impl Sites {
    /// Returns the queue of an entry's site, if the entry bounds it or an earlier one has.
    pub(crate) fn queue(&self, entry: &NewEntry<'_>, store: &impl Store) -> Option<Arc<Mutex<Queue>>> {
        if entry.max_entries.is_none() && !self.has_any.load(Ordering::Acquire) {
            return None;
        }
        let site = entry.address.site;
        if let Some(queue) = self.queues.read().get(&site) {
            return Some(Arc::clone(queue));
        }
        entry.max_entries?;
        let mut queues = self.queues.write();
        // Before the site's entries are looked up: an insert without a bound that begins from now on waits for the
        // queue. One that is under way may be missed and not be counted, which can only be where a bound is set while
        // the function is being called.
        self.has_any.store(true, Ordering::Release);
        Some(Arc::clone(queues.entry(site).or_insert_with(|| Arc::new(Mutex::new(Queue::of(site, store))))))
    }

    /// Takes entries that have left out of their queues.
    pub(crate) fn forget(&self, gone: &Gone, store: &impl Store) {
        if !self.has_any.load(Ordering::Acquire) {
            return;
        }
        for left in gone.all().filter(|left| left.cause != RemovalCause::Replaced) {
            let queue = self.queues.read().get(&left.slot.site()).cloned();
            let Some(queue) = queue else { continue };
            let mut queue = queue.lock();
            // Its key may be in again by now, and an entry must never be missing here.
            if !queue.is_in(left.hash, store, &mut LastRead(None)) {
                queue.hashes.remove(&left.hash);
            }
        }
    }
}

impl Queue {
    fn of(site: u32, store: &impl Store) -> Queue {
        let mut found = Vec::new();
        store.of_site(site, &mut |hash, cached| found.push((cached.created(), hash)));
        found.sort_unstable();
        let mut hashes = LinkedHashMap::with_hasher(SameHash::default());
        hashes.extend(found.into_iter().map(|(created, hash)| (hash, created)));
        Queue { site, hashes }
    }

    fn is_in(&self, hash: u64, store: &impl Store, visit: &mut dyn Visit) -> bool {
        store.peek(EntryAddress { hash, site: self.site }, visit)
    }

    /// Inserts an entry by `insert`, with room made before, so that the bound holds at every moment.
    pub(crate) fn insert<E>(
        &mut self,
        entry: NewEntry<'_>,
        store: &impl Store,
        evicted: &mut Gone,
        insert: impl FnOnce(NewEntry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (hash, created, most) = (entry.address.hash, entry.cached.created(), entry.max_entries);
        let before = self.hashes.remove(&hash);
        while most.is_some_and(|most| self.hashes.len() as u64 >= most.max(1)) {
            self.evict(store, evicted);
        }
        let inserted = insert(entry);
        if let Some(at) = inserted.as_ref().map_or(before, |()| Some(created)) {
            self.hashes.insert(hash, at);
        }
        inserted
    }

    /// Evicts one entry, or takes one out that has left by itself.
    fn evict(&mut self, store: &impl Store, evicted: &mut Gone) {
        for again in (0..=self.hashes.len()).rev() {
            let Some((hash, seen)) = self.hashes.pop_front() else { return };
            let mut read = LastRead(None);
            if !self.is_in(hash, store, &mut read) {
                return;
            }
            match read.0.filter(|read| *read > seen && again > 0) {
                Some(read) => drop(self.hashes.insert(hash, read)),
                None => {
                    if let Some(slot) = store.evict(EntryAddress { hash, site: self.site }) {
                        evicted.push(RemovalCause::Evicted, hash, slot);
                    }
                    return;
                }
            }
        }
    }
}

/// Takes the time of an entry's last read, if that is noted.
struct LastRead(Option<Moment>);

impl Visit for LastRead {
    fn visit(&mut self, _key: &[u8], cached: &CachedEntry) -> bool {
        self.0 = cached.extra().map(|extra| extra.accessed());
        true
    }
}
