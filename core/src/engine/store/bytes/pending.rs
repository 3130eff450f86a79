//! Queues removals that a backend has not acknowledged. They are flushed first when it answers again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retainit_plugin::Strength;
use retainit_plugin::lock::Mutex;
use tokio::sync::{Notify, watch};

use crate::engine::groups::Group;

/// One pending removal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PendingRemoval {
    Remove(String),
    Raise(Group, Strength),
}

/// Pending removals of one backend. While there are any, the backend is not read.
///
/// One task flushes them, in attempts. A caller that needs the backend meanwhile requests an attempt and waits for its
/// end.
#[derive(Debug, Default)]
pub(super) struct Pending {
    any: AtomicBool,
    list: Mutex<PendingList>,
    attempts: watch::Sender<Attempts>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct PendingList {
    pending_removals: HashMap<PendingRemoval, u64>,
    next: u64,
    /// True while a task in the background flushes.
    is_flushing: bool,
}

/// Number of attempts that have begun and ended.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    begun: u64,
    ended: u64,
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
        let PendingList { pending_removals, next, .. } = &mut *self.list.lock();
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

    /// Returns true if the caller has to start flushing in the background.
    pub(super) fn begin_flushing(&self) -> bool {
        !std::mem::replace(&mut self.list.lock().is_flushing, true)
    }

    /// Ends flushing, if nothing is pending any more.
    pub(super) fn end_flushing(&self) -> bool {
        let mut list = self.list.lock();
        list.is_flushing = !list.pending_removals.is_empty();
        !list.is_flushing
    }

    /// Ends flushing because no task can do it.
    pub(super) fn stop_flushing(&self) {
        self.list.lock().is_flushing = false;
    }

    /// Drops all pending removals, when no task is left to flush them. Returns their number.
    pub(super) fn abandon(&self) -> usize {
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut list.pending_removals).len()
    }

    pub(super) fn list(&self) -> Vec<(PendingRemoval, u64)> {
        self.list
            .lock()
            .pending_removals
            .iter()
            .map(|(pending_removals, number)| (pending_removals.clone(), *number))
            .collect()
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

    /// Requests an attempt, and waits until one has ended that began after this call, or nothing is pending.
    pub(super) async fn attempted(&self) {
        let mut attempts = self.attempts.subscribe();
        let begun = attempts.borrow_and_update().begun;
        self.wanted.notify_one();
        // The sender exists as long as this does.
        drop(attempts.wait_for(|attempts| attempts.ended > begun || self.is_empty()).await);
    }

    /// Waits until an attempt is requested, in the flushing task.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Begins an attempt, which ends when it is dropped, in the flushing task.
    pub(super) fn attempt(self: &Arc<Self>) -> Attempt {
        self.attempts.send_modify(|attempts| attempts.begun += 1);
        Attempt(Arc::clone(self))
    }
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt(Arc<Pending>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.attempts.send_modify(|attempts| attempts.ended = attempts.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_is_added_again_during_a_flush_stays_pending() {
        let (pending, pending_removals) = (Pending::default(), || PendingRemoval::Remove("key".into()));
        pending.add(pending_removals(), || None);
        let flushing = pending.list();
        pending.add(pending_removals(), || None);
        flushing.iter().for_each(|(pending_removals, number)| pending.done(pending_removals, *number));
        assert_eq!(pending.list().len(), 1);
        pending.list().iter().for_each(|(pending_removals, number)| pending.done(pending_removals, *number));
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
        assert_eq!(pending.list().len(), 1);
    }
}
