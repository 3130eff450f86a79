use std::fmt;
use std::sync::Arc;

use retainit_plugin::{
    Capabilities, EntryAddress, EntryRef, InsertMode, Inserted, Listener, Moment, NewEntry, ObjectBackend, ObjectFence,
    RemovalCause, Visit,
};

use crate::gone::Gone;
use crate::sites::Sites;
use crate::slot::Slot;
use crate::store::Store;
use crate::stripes::Stripes;

/// A store with fences, that reports removals.
///
/// Nothing is reported or dropped under a lock.
pub(crate) struct MemoryBackend<S> {
    name: Arc<str>,
    store: S,
    stripes: Stripes,
    sites: Sites,
    listener: Arc<dyn Listener>,
}

impl<S: Store> MemoryBackend<S> {
    pub(crate) fn new(name: Arc<str>, store: S, listener: Arc<dyn Listener>) -> MemoryBackend<S> {
        MemoryBackend { name, store, stripes: Stripes::new(), sites: Sites::default(), listener }
    }

    fn tell(&self, mut gone: Gone) -> usize {
        let count = gone.len();
        if count > 0 {
            self.sites.forget(&gone, &self.store);
            self.store.totals().fell();
            gone.tell(&*self.listener);
        }
        count
    }

    /// Inserts an entry into its store, within the bound of its site if it has one.
    fn put(
        &self,
        entry: NewEntry<'_>,
        put: &InsertMode<'_>,
        evicted: &mut Gone,
        gone: &mut Gone,
    ) -> Result<(), (Inserted, Slot)> {
        let stripe = self.stripes.of(entry.address);
        let mut insert = |entry: NewEntry<'_>| self.store.insert(entry, put, stripe, gone);
        let Some(queue) = self.sites.queue(&entry, &self.store) else { return insert(entry) };
        if let InsertMode::Fenced(fence) | InsertMode::Replace(fence) = put
            && stripe.fence() != *fence
        {
            // Before room is made: nothing is evicted for an entry that does not go in.
            return Err((Inserted::Refused, Slot::new(entry)));
        }
        queue.lock().insert(entry, &self.store, evicted, insert)
    }
}

impl<S: Store> ObjectBackend for MemoryBackend<S> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().scan().set_if_absent().function_bounds()
    }

    fn get(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.store.get(address, visit)
    }

    fn peek(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.store.peek(address, visit)
    }

    fn fence(&self, address: EntryAddress) -> ObjectFence {
        self.stripes.of(address).fence()
    }

    fn inserts(&self, address: EntryAddress) -> Option<u64> {
        Some(self.store.inserts(address))
    }

    fn insert(&self, mut entry: NewEntry<'_>, put: InsertMode<'_>) -> Inserted {
        if !self.weighs() {
            entry.bytes = 0;
        }
        let (mut evicted, mut gone) = (Gone::default(), Gone::default());
        let inserted = self.put(entry, &put, &mut evicted, &mut gone);
        if evicted.len() > 0 {
            self.tell(evicted);
        }
        if let Err((why, slot)) = inserted {
            if let Err(error) = slot.discard() {
                self.listener.failed("drop", &error);
            }
            return why;
        }
        if gone.len() > 0 {
            self.sites.forget(&gone, &self.store);
            gone.tell(&*self.listener);
        }
        // Looks at falls too: an entry may push out many.
        if let Some((used, capacity)) = self.store.totals().nearly_full() {
            self.listener.near_capacity(used, capacity);
        }
        Inserted::Yes
    }

    fn remove(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        let Some(slot) = self.store.remove(address, visit, self.stripes.of(address)) else { return false };
        let mut gone = Gone::default();
        gone.push(RemovalCause::Removed, address.hash, slot);
        self.tell(gone) > 0
    }

    fn break_fences(&self) {
        self.stripes.break_all();
    }

    fn retain(&self, keep: &mut dyn FnMut(EntryRef<'_>) -> Option<RemovalCause>) -> usize {
        let mut count = 0;
        self.store.retain(keep, &mut |gone| count += self.tell(gone));
        count
    }

    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        self.store.scan(visit);
    }

    fn weighs(&self) -> bool {
        self.store.totals().bounds().bytes.is_some()
    }

    fn len(&self) -> usize {
        usize::try_from(self.store.totals().entries()).unwrap_or(usize::MAX)
    }

    fn bytes(&self) -> u64 {
        self.store.totals().bytes()
    }

    fn next_deadline(&self) -> Moment {
        self.store.next_deadline()
    }
}

impl<S: Store> fmt::Debug for MemoryBackend<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("name", &self.name)
            .field("totals", self.store.totals())
            .finish_non_exhaustive()
    }
}
