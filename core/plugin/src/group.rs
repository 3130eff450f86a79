use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

/// Strength of an invalidation: whether old entries may still be served as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    /// Forbids to serve older entries in any mode (`invalidate_*`, `clear`).
    Hard,
    /// Makes older entries stale: they are loaded again, and may bridge that load or its failure where the function
    /// allows it (`expire_*`).
    Soft,
}

/// The two counters of a group in a shared store.
///
/// A group is named by its full text in the store's key space, such as `r1:t:default:-:user`: plane, namespace and
/// name, escaped. Its counters start at a random base, so that a lost counter never looks like an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct GroupVersion {
    /// Counts hard invalidations.
    pub hard: u64,
    /// Counts soft ones.
    pub soft: u64,
}

/// Versions of groups, in the order in which the groups were named. `None` is a group that has none, because it is new
/// or was lost: it matches no entry.
pub type GroupVersions = SmallVec<[Option<GroupVersion>; 4]>;

/// Groups with the versions that were found for them.
pub type KnownVersions<'a> = (&'a [&'a str], &'a [Option<GroupVersion>]);

/// Epoch of a group's last invalidation in this process, one of each strength.
///
/// An entry of an older epoch was loaded before that invalidation.
#[derive(Debug, Default)]
pub struct TagEpoch {
    hard: AtomicU64,
    soft: AtomicU64,
}

impl TagEpoch {
    /// Makes a group that was never invalidated.
    pub const fn new() -> TagEpoch {
        TagEpoch { hard: AtomicU64::new(0), soft: AtomicU64::new(0) }
    }

    /// Raises the epoch. The caller publishes the instance's new epoch afterwards, never before: a reader in between
    /// would confirm an older entry for the new epoch.
    pub fn raise(&self, strength: Strength, epoch: u64) {
        match strength {
            Strength::Hard => self.hard.fetch_max(epoch, Ordering::AcqRel),
            Strength::Soft => self.soft.fetch_max(epoch, Ordering::AcqRel),
        };
    }

    /// Returns the epoch of the last invalidation of that strength.
    pub fn epoch(&self, strength: Strength) -> u64 {
        match strength {
            Strength::Hard => self.hard.load(Ordering::Acquire),
            Strength::Soft => self.soft.load(Ordering::Acquire),
        }
    }
}
