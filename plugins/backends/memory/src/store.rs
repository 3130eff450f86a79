use std::sync::atomic::{AtomicU64, Ordering};

use retainit_plugin::{
    CachedEntry, EntryAddress, EntryRef, InsertMode, Inserted, Moment, NewEntry, RemovalCause, Visit,
};

use crate::gone::Gone;
use crate::slot::Slot;
use crate::stripes::Stripe;
use crate::totals::Totals;

/// Judges each entry of a sweep: returns the cause of its removal, `None` to keep it.
pub(crate) type Keep<'a> = dyn FnMut(EntryRef<'_>) -> Option<RemovalCause> + 'a;

/// A bounded map of slots. It drops none of them itself: removed ones go into a [`Gone`].
///
/// Visitors and `keep` run under its locks.
pub(crate) trait Store: Send + Sync + 'static {
    /// Finds the entry `visit` accepts and counts it as used.
    fn get(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool;

    /// Finds an entry as `get` does, without counting.
    fn peek(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool;

    /// A number that changes whenever an entry is put in here, before its fence is broken. Visitors that are shown none
    /// are told it under the lock.
    fn inserts(&self, address: EntryAddress) -> u64;

    /// Puts an entry in, in the place of one of the same key, if [`admit`] lets it; hands it back if not. `gone` is
    /// empty before.
    fn insert(
        &self,
        entry: NewEntry<'_>,
        put: &InsertMode<'_>,
        stripe: Stripe<'_>,
        gone: &mut Gone,
    ) -> Result<(), (Inserted, Slot)>;

    /// Takes out the entry `visit` accepts, and breaks a fence before.
    fn remove(&self, address: EntryAddress, visit: &mut dyn Visit, fence: Stripe<'_>) -> Option<Slot>;

    /// Takes out the entry of a site to make room. No fence is broken: what it held is not outdated.
    fn evict(&self, address: EntryAddress) -> Option<Slot>;

    /// Passes the entries of one site to `found`, each with its hash.
    fn of_site(&self, site: u32, found: &mut dyn FnMut(u64, &CachedEntry));

    /// Takes out the entries for which `keep` returns a cause, and gives memory back. Calls `gone` without a lock,
    /// maybe often.
    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone));

    /// Passes every entry to `visit`.
    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>));

    /// Returns the totals of the entries it holds.
    fn totals(&self) -> &Totals;

    /// Returns a moment before which no entry ends.
    fn next_deadline(&self) -> Moment;
}

/// Counts what is put in. The first number is the process's own: that of another store is never taken for this one's.
pub(crate) struct Inserts(AtomicU64);

impl Inserts {
    pub(crate) fn new() -> Inserts {
        static STORES: AtomicU64 = AtomicU64::new(0);
        Inserts(AtomicU64::new(STORES.fetch_add(1 << 32, Ordering::Relaxed)))
    }

    /// Under the lock it is current; without it, as current as what the caller knows of the store.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only under the lock.
    pub(crate) fn count(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }
}

/// Decides whether an entry goes in, under the lock under which it does; breaks its fence where that is requested.
/// `lies` is the entry of its hash.
pub(crate) fn admit<'a>(
    put: &InsertMode<'_>,
    stripe: Stripe<'_>,
    slot: &Slot,
    lies: impl FnOnce() -> Option<&'a Slot>,
) -> Result<(), Inserted> {
    match put {
        InsertMode::Fenced(fence) | InsertMode::Replace(fence) if stripe.fence() != *fence => {
            return Err(Inserted::Refused);
        }
        InsertMode::Fenced(_) => return Ok(()),
        InsertMode::Absent { live } if lies().is_some_and(|lies| lies.has_key_of(slot) && live(lies.cached())) => {
            return Err(Inserted::Present);
        }
        InsertMode::Replace(_) | InsertMode::Absent { .. } | InsertMode::Always => stripe.bump(),
    }
    Ok(())
}

/// The hash of an entry for which `keep` returned a cause.
pub(crate) type Doomed = (u64, RemovalCause);

/// Calls `keep` for every slot; also returns the earliest end of those that stay.
pub(crate) fn judge<'a>(
    slots: impl Iterator<Item = (&'a u64, &'a Slot)>,
    keep: &mut Keep<'_>,
) -> (Vec<Doomed>, Moment) {
    let (mut doomed, mut ends) = (Vec::new(), Moment::NEVER);
    for (hash, slot) in slots {
        match keep(slot.entry()) {
            Some(cause) => doomed.push((*hash, cause)),
            None => ends = ends.min(slot.cached().discard_at()),
        }
    }
    (doomed, ends)
}
