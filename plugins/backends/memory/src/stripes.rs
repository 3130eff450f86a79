use std::sync::atomic::{AtomicU64, Ordering};

use retainit_plugin::{EntryAddress, ObjectFence};

const STRIPES: usize = 4_096;

/// The fences: counters that keys share by hash.
///
/// A thread that raises or compares the one of a key holds the lock of the store under which entries of that key
/// change; so a fence is valid as long as no such entry was changed. To take a fence needs no lock: one that is taken
/// while a change is under way is that of after the change, and a thread that has taken it finds the lock held until
/// the change is done.
pub(crate) struct Stripes(Box<[AtomicU64]>);

/// The counter of a key.
#[derive(Clone, Copy)]
pub(crate) struct Stripe<'a>(&'a AtomicU64);

impl Stripes {
    pub(crate) fn new() -> Stripes {
        Stripes((0..STRIPES).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns the stripe of a key, by the bits above those that choose a shard and below those that hashbrown keeps as
    /// tags.
    pub(crate) fn of(&self, address: EntryAddress) -> Stripe<'_> {
        Stripe(&self.0[(address.hash >> 44) as usize % STRIPES])
    }

    pub(crate) fn break_all(&self) {
        self.0.iter().for_each(|stripe| Stripe(stripe).bump());
    }
}

impl Stripe<'_> {
    pub(crate) fn fence(self) -> ObjectFence {
        ObjectFence::new(self.0.load(Ordering::Acquire))
    }

    /// Refuses every fence taken so far.
    pub(crate) fn bump(self) {
        // Keys of several shards may share it, and those have no lock in common.
        self.0.fetch_add(1, Ordering::Release);
    }
}
