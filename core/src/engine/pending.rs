//! Removals that a backend has not acknowledged: they wait in this process and go first when it answers again.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use retainit_plugin::{Group, Strength};

/// One removal that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    Remove(String),
    Raise(Group, Strength),
}

/// What is owed to one backend. While there is anything, the backend is not read.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    any: AtomicBool,
    /// Whether a task in the background is at it.
    paying: AtomicBool,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    owed: Vec<(u64, Owed)>,
    next: u64,
}

/// More than this is owed as one invalidation of the namespace.
const MOST: usize = 10_000;

impl Pending {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Adds a removal. `all` takes the place of everything when there is too much.
    pub(crate) fn add(&self, removal: Owed, all: impl FnOnce() -> Option<Owed>) {
        let List { owed, next } = &mut *self.list.lock();
        // One that is owed again has to be paid again: a payment under way may have been too early for it.
        owed.retain(|(_, other)| *other != removal);
        *next += 1;
        owed.push((*next, removal));
        if owed.len() > MOST
            && let Some(all) = all()
        {
            *owed = vec![(*next, all)];
        }
        self.any.store(true, Ordering::Release);
    }

    /// True for the one who is to pay in the background from now on.
    pub(crate) fn begin_paying(&self) -> bool {
        !self.paying.swap(true, Ordering::AcqRel)
    }

    /// Ends that, if nothing is owed any more.
    pub(crate) fn end_paying(&self) -> bool {
        let list = self.list.lock();
        let is_paid = list.owed.is_empty();
        self.paying.store(!is_paid, Ordering::Release);
        is_paid
    }

    /// Forgets everything: nobody is left who could pay. Gives how much it was.
    pub(crate) fn forgive(&self) -> usize {
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut list.owed).len()
    }

    pub(crate) fn list(&self) -> Vec<(u64, Owed)> {
        self.list.lock().owed.clone()
    }

    /// The removal of that number was acknowledged.
    pub(crate) fn done(&self, number: u64) {
        let owed = &mut self.list.lock().owed;
        owed.retain(|(other, _)| *other != number);
        if owed.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_again_while_it_is_being_paid_stays_owed() {
        let (pending, owed) = (Pending::default(), || Owed::Remove("key".into()));
        pending.add(owed(), || None);
        let paying = pending.list();
        pending.add(owed(), || None);
        paying.iter().for_each(|(number, _)| pending.done(*number));
        assert_eq!(pending.list().len(), 1);
        pending.list().iter().for_each(|(number, _)| pending.done(*number));
        assert!(pending.is_empty());
    }
}
