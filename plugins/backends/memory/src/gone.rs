use std::mem;

use quick_cache::Lifecycle;
use retainit_plugin::{Listener, Removal, RemovalCause};

use crate::slot::Slot;

/// Entries that have left a store and are told and dropped once no lock is held: the `Drop` of a user's value may
/// come back into the same backend.
#[derive(Default)]
pub(crate) struct Gone {
    /// An insert into a full store pushes one out; it costs no allocation.
    first: Option<(RemovalCause, Slot)>,
    rest: Vec<(RemovalCause, Slot)>,
}

impl Gone {
    pub(crate) fn push(&mut self, cause: RemovalCause, slot: Slot) {
        match self.first {
            None => self.first = Some((cause, slot)),
            Some(_) => self.rest.push((cause, slot)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.first.iter().chain(&self.rest).map(|(_, slot)| slot)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (RemovalCause, Slot)> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Wraps, as the totals do: what was too heavy to go in may weigh anything, and is counted as come and gone.
    pub(crate) fn bytes(&self) -> u64 {
        self.iter().map(Slot::bytes).fold(0, u64::wrapping_add)
    }

    /// Tells of each entry and drops it. Never under a lock.
    pub(crate) fn tell(&mut self, listener: &dyn Listener) {
        for (cause, slot) in self.first.take().into_iter().chain(mem::take(&mut self.rest)) {
            listener.removed(Removal { cause, entry: slot.entry() });
            if let Err(error) = slot.discard() {
                listener.failed("drop", &error);
            }
        }
    }
}

/// Collects what quick_cache pushes out, takes back or does not let in. The store finds out which.
#[derive(Clone, Copy)]
pub(crate) struct Collect;

impl Lifecycle<u64, Slot> for Collect {
    type RequestState = Gone;

    fn on_evict(&self, gone: &mut Gone, _hash: u64, slot: Slot) {
        gone.push(RemovalCause::Evicted, slot);
    }
}
