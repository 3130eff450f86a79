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
    owed: Mutex<Vec<Owed>>,
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
        let mut owed = self.owed.lock();
        if !owed.contains(&removal) {
            owed.push(removal);
        }
        if owed.len() > MOST
            && let Some(all) = all()
        {
            owed.clear();
            owed.push(all);
        }
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn list(&self) -> Vec<Owed> {
        self.owed.lock().clone()
    }

    /// A removal was acknowledged.
    pub(crate) fn done(&self, removal: &Owed) {
        let mut owed = self.owed.lock();
        owed.retain(|other| other != removal);
        if owed.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }
}
