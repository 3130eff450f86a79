//! Queues removals that a backend has not acknowledged. They are flushed first when it answers again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use retainit_plugin::Strength;
use retainit_plugin::lock::Mutex;

use crate::engine::groups::Group;

/// One pending removal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PendingRemoval {
    Remove(String),
    Raise(Group, Strength),
}

impl PendingRemoval {
    /// Returns the key of a single removal.
    pub(super) fn key(&self) -> Option<&String> {
        match self {
            PendingRemoval::Remove(key) => Some(key),
            PendingRemoval::Raise(..) => None,
        }
    }
}

/// Pending removals of one backend. While there are any, callers skip the backend: a read would find what was removed,
/// and what is stored now would be removed later.
#[derive(Debug, Default)]
pub(super) struct Pending {
    any: AtomicBool,
    list: Mutex<PendingList>,
}

#[derive(Debug, Default)]
struct PendingList {
    pending_removals: HashMap<PendingRemoval, u64>,
    next: u64,
}

/// The most pending removals; more become one invalidation of the namespace.
const MOST: usize = 10_000;

impl Pending {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Adds a removal. `all` replaces all of them when there are too many.
    pub(super) fn add(&self, removal: PendingRemoval, all: impl FnOnce() -> Option<PendingRemoval>) {
        let PendingList { pending_removals, next } = &mut *self.list.lock();
        *next += 1;
        // A removal that is added again gets a new number: a flush that is under way may have come too early for it.
        pending_removals.insert(removal, *next);
        if pending_removals.len() > MOST
            && let Some(all) = all()
        {
            *pending_removals = HashMap::from([(all, *next)]);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Drops all pending removals, when no task is left to flush them. Returns their number.
    pub(super) fn abandon(&self) -> usize {
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut list.pending_removals).len()
    }

    /// Returns the number of pending removals.
    pub(super) fn len(&self) -> usize {
        self.list.lock().pending_removals.len()
    }

    /// Returns up to `most` of them, with their numbers.
    pub(super) fn batch(&self, most: usize) -> Vec<(PendingRemoval, u64)> {
        let list = self.list.lock();
        list.pending_removals.iter().take(most).map(|(removal, number)| (removal.clone(), *number)).collect()
    }

    /// Returns the number for a removal that a caller begins now, for [`settle`](Pending::settle); `None` while nothing is
    /// pending.
    pub(super) fn begin(&self) -> Option<u64> {
        (!self.is_empty()).then(|| self.list.lock().next)
    }

    /// Removes a pending removal that was there when the caller of an equal one, which was acknowledged, had `begun`.
    pub(super) fn settle(&self, removal: &PendingRemoval, begun: u64) {
        let number = self.list.lock().pending_removals.get(removal).copied();
        if let Some(number) = number.filter(|number| *number <= begun) {
            self.done(removal, number);
        }
    }

    /// Removes a removal that was acknowledged, unless it was added again since.
    pub(super) fn done(&self, removal: &PendingRemoval, number: u64) {
        let pending_removals = &mut self.list.lock().pending_removals;
        if pending_removals.get(removal) == Some(&number) {
            pending_removals.remove(removal);
        }
        if pending_removals.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_is_added_again_during_a_flush_stays_pending() {
        let (pending, pending_removals) = (Pending::default(), || PendingRemoval::Remove("key".into()));
        pending.add(pending_removals(), || None);
        let flushing = pending.batch(MOST);
        pending.add(pending_removals(), || None);
        flushing.iter().for_each(|(pending_removals, number)| pending.done(pending_removals, *number));
        assert_eq!(pending.batch(MOST).len(), 1);
        pending.batch(MOST).iter().for_each(|(pending_removals, number)| pending.done(pending_removals, *number));
        assert!(pending.is_empty());
    }

    #[test]
    fn an_equal_removal_of_a_caller_settles_what_was_pending_before_it() {
        let (pending, removal) = (Pending::default(), PendingRemoval::Remove("key".into()));
        assert_eq!(pending.begin(), None);
        pending.add(removal.clone(), || None);
        let begun = pending.begin().expect("one is pending");
        pending.add(removal.clone(), || None);
        pending.settle(&removal, begun);
        assert!(!pending.is_empty(), "it was asked for again meanwhile");
        pending.settle(&removal, pending.begin().expect("one is pending"));
        assert!(pending.is_empty());
    }

    #[test]
    fn too_much_becomes_one() {
        let pending = Pending::default();
        for number in 0..=MOST {
            pending.add(PendingRemoval::Remove(number.to_string()), || {
                Some(PendingRemoval::Raise(Group::new("namespace"), Strength::Hard))
            });
        }
        assert_eq!(pending.len(), 1);
    }
}
