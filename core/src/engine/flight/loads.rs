//! Holds the loads under way in one shard of the table of flights.

use hashbrown::HashTable;

use super::{At, FlightEntry};

/// The loads of a shard. The first of them is in the shard itself: nearly always there is no other, and joining and
/// ending it touches no memory but the shard's own. Thousands at once need the table.
#[derive(Debug, Default)]
pub(super) struct Loads {
    first: Option<FlightEntry>,
    rest: HashTable<FlightEntry>,
}

impl Loads {
    pub(super) fn find_mut(
        &mut self,
        hash: u64,
        mut is_it: impl FnMut(&FlightEntry) -> bool,
    ) -> Option<&mut FlightEntry> {
        match &mut self.first {
            Some(first) if first.hash == hash && is_it(first) => Some(first),
            _ if self.rest.is_empty() => None,
            _ => self.rest.find_mut(hash, |entry| entry.hash == hash && is_it(entry)),
        }
    }

    pub(super) fn of(&mut self, at: At) -> Option<&mut FlightEntry> {
        self.find_mut(at.hash, |entry| entry.id == at.id)
    }

    pub(super) fn insert(&mut self, entry: FlightEntry) {
        if self.first.is_none() {
            self.first = Some(entry);
        } else {
            self.rest.insert_unique(entry.hash, entry, |entry| entry.hash);
        }
    }

    pub(super) fn remove(&mut self, at: At) -> Option<FlightEntry> {
        if self.first.as_ref().is_some_and(|first| first.id == at.id) {
            return self.first.take();
        }
        let entry = self.rest.find_entry(at.hash, |entry| entry.id == at.id).ok()?;
        Some(entry.remove().0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}
