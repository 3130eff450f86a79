use std::mem;

use quick_cache::Lifecycle;
use retainit_plugin::{Listener, Removal, RemovalCause};

use crate::slot::Slot;

/// Entries that have left a store and are reported and dropped once no lock is held: the `Drop` of a user's value may
/// come back into the same backend.
#[derive(Default)]
pub(crate) struct Gone {
    /// An insert into a full store pushes one out; it costs no allocation.
    first: Option<Left>,
    rest: Vec<Left>,
}

/// An entry that has left a store, with the hash under which it was there.
pub(crate) struct Left {
    pub(crate) cause: RemovalCause,
    pub(crate) hash: u64,
    pub(crate) slot: Slot,
}

impl Gone {
    pub(crate) fn push(&mut self, cause: RemovalCause, hash: u64, slot: Slot) {
        let left = Left { cause, hash, slot };
        match self.first {
            None => self.first = Some(left),
            Some(_) => self.rest.push(left),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Left> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.all().map(|left| &left.slot)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Left> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Wraps, as the totals do: an entry that was too heavy to go in may weigh anything, and is counted as come and
    /// gone.
    pub(crate) fn bytes(&self) -> u64 {
        self.iter().map(Slot::bytes).fold(0, u64::wrapping_add)
    }

    /// Reports each entry and drops it. Never under a lock.
    pub(crate) fn tell(&mut self, listener: &dyn Listener) {
        let tell = |Left { cause, slot, .. }: Left| {
            listener.removed(Removal { cause, entry: slot.entry() });
            if let Err(error) = slot.discard() {
                listener.failed("drop", &error);
            }
        };
        if let Some(first) = self.first.take() {
            tell(first);
        }
        if !self.rest.is_empty() {
            mem::take(&mut self.rest).into_iter().for_each(tell);
        }
    }
}

/// Collects the entries that quick_cache pushes out, takes back or does not let in. The store finds out which.
#[derive(Clone, Copy)]
pub(crate) struct Collect;

impl Lifecycle<u64, Slot> for Collect {
    type RequestState = Gone;

    fn on_evict(&self, gone: &mut Gone, hash: u64, slot: Slot) {
        gone.push(RemovalCause::Evicted, hash, slot);
    }
}
