//! Judges loads in memory: none may run for a key whose entry was there when it took its fence.
//!
//! A leader spares its second look if the backend has counted no insert since the first. What it may not overlook is an
//! entry that was put in before the fence which it holds, so that nothing would refuse its result.

use std::collections::HashMap;

use retainit_plugin::EntryAddress;

type Place = (u64, u32);

fn place(address: EntryAddress) -> Place {
    (address.hash, address.site)
}

/// The entries that are there for certain.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Number of the insert that brought each.
    present: HashMap<Place, u64>,
    inserts: u64,
    /// The entry that was there when an operation took the fence of its load.
    seen: HashMap<u64, (Place, u64)>,
    /// Set once something happens after which an entry may be there and not be served.
    uncertain: bool,
}

impl Entries {
    pub(crate) fn put(&mut self, address: EntryAddress) {
        self.inserts += 1;
        self.present.insert(place(address), self.inserts);
    }

    /// Forgets an entry that is about to be removed.
    pub(crate) fn remove(&mut self, address: EntryAddress) {
        self.present.remove(&place(address));
    }

    /// Forgets all entries: some of them are about to be removed, or to expire.
    pub(crate) fn forget(&mut self) {
        self.present.clear();
    }

    /// Judges no load any more: an invalidation of groups begins, which no backend is told of.
    pub(crate) fn be_uncertain(&mut self) {
        self.uncertain = true;
    }

    /// Notes what is there for an operation that is about to take a fence.
    pub(crate) fn look(&mut self, operation: u64, address: EntryAddress) {
        let place = place(address);
        match self.present.get(&place) {
            Some(insert) => self.seen.insert(operation, (place, *insert)),
            None => self.seen.remove(&operation),
        };
    }

    /// Returns true if the load of an operation has overlooked an entry, which is still there.
    pub(crate) fn is_needless(&self, operation: u64) -> bool {
        let seen = self.seen.get(&operation);
        !self.uncertain && seen.is_some_and(|(place, insert)| self.present.get(place) == Some(insert))
    }
}
