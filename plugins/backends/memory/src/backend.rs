use std::fmt;
use std::sync::Arc;

use retainit_plugin::{
    Capabilities, Entry, Fence, Inserted, Kept, Listener, Moment, NewEntry, ObjectBackend, Place, Put, RemovalCause,
    Visit,
};

use crate::gone::Gone;
use crate::store::Store;
use crate::stripes::Stripes;

/// A store with fences, that tells what leaves it.
///
/// Lock order: stripe, then store. Nothing is told or dropped under either.
pub(crate) struct MemoryBackend<S> {
    name: Arc<str>,
    store: S,
    stripes: Stripes,
    listener: Arc<dyn Listener>,
}

impl<S: Store> MemoryBackend<S> {
    pub(crate) fn new(name: Arc<str>, store: S, listener: Arc<dyn Listener>) -> MemoryBackend<S> {
        MemoryBackend { name, store, stripes: Stripes::new(), listener }
    }

    /// Decides under the stripe; an entry that does not go in is handed back, to be dropped without it.
    fn admit<'a>(&self, entry: NewEntry<'a>, put: &Put<'_>, gone: &mut Gone) -> Result<(), (Inserted, NewEntry<'a>)> {
        let mut stripe = self.stripes.hold(entry.place);
        match put {
            Put::Fenced(fence) | Put::Replace(fence) if stripe.fence() != *fence => {
                return Err((Inserted::Refused, entry));
            }
            Put::Fenced(_) => {}
            Put::Absent { live } if self.knows(&entry, live) => {
                return Err((Inserted::Present, entry));
            }
            Put::Replace(_) | Put::Absent { .. } | Put::Always => stripe.bump(),
        }
        self.store.insert(entry, gone);
        Ok(())
    }

    fn knows(&self, entry: &NewEntry<'_>, live: &dyn Fn(&Kept) -> bool) -> bool {
        let mut look = Look { key: entry.key, live, found: false };
        self.store.peek(entry.place, &mut look);
        look.found
    }

    fn tell(&self, mut gone: Gone) -> usize {
        let count = gone.len();
        if count > 0 {
            self.store.totals().fell();
            gone.tell(&*self.listener);
        }
        count
    }

    fn leave(&self, slot: Option<crate::slot::Slot>, cause: RemovalCause) -> bool {
        let Some(slot) = slot else { return false };
        let mut gone = Gone::default();
        gone.push(cause, slot);
        self.tell(gone) > 0
    }
}

/// Whether there is a live entry of a key.
struct Look<'a> {
    key: &'a [u8],
    live: &'a dyn Fn(&Kept) -> bool,
    found: bool,
}

impl Visit for Look<'_> {
    fn visit(&mut self, key: &[u8], kept: &Kept) -> bool {
        let known = key == self.key;
        self.found = known && (self.live)(kept);
        known
    }
}

impl<S: Store> ObjectBackend for MemoryBackend<S> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().scan().set_if_absent().strict()
    }

    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool {
        self.store.get(place, visit)
    }

    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool {
        self.store.peek(place, visit)
    }

    fn fence(&self, place: Place) -> Fence {
        self.stripes.hold(place).fence()
    }

    fn insert(&self, mut entry: NewEntry<'_>, put: Put<'_>) -> Inserted {
        if !self.weighs() {
            entry.bytes = 0;
        }
        let mut gone = Gone::default();
        if let Err((why, entry)) = self.admit(entry, &put, &mut gone) {
            if let Err(error) = entry.kept.discard() {
                self.listener.failed("drop", &error);
            }
            return why;
        }
        self.tell(gone);
        if let Some((used, capacity)) = self.store.totals().nearly_full() {
            self.listener.near_capacity(used, capacity);
        }
        Inserted::Yes
    }

    fn remove(&self, place: Place, visit: &mut dyn Visit) -> bool {
        let slot = {
            let mut stripe = self.stripes.hold(place);
            stripe.bump();
            self.store.remove(place, visit)
        };
        self.leave(slot, RemovalCause::Removed)
    }

    fn discard(&self, place: Place, dead: &mut dyn Visit, cause: RemovalCause) -> bool {
        let slot = self.store.remove(place, dead);
        self.leave(slot, cause)
    }

    fn break_fences(&self) {
        self.stripes.break_all();
    }

    fn retain(&self, keep: &mut dyn FnMut(Entry<'_>) -> Option<RemovalCause>) -> usize {
        let mut count = 0;
        self.store.retain(keep, &mut |gone| count += self.tell(gone));
        count
    }

    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>)) {
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
