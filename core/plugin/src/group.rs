use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Strength of an invalidation: whether old entries may still be served as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    /// Forbids to serve older entries in any mode (`invalidate_*`, `clear`).
    Hard,
    /// Makes older entries stale: they are loaded again, and may bridge that load or its failure where the function
    /// allows it (`expire_*`).
    Soft,
}

/// The name of a group in a store's own key space: plane, namespace and name, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(Arc<str>);

impl Group {
    /// Makes a group by its full text, such as `r1:t:default:-:user`.
    pub fn new(text: impl Into<Arc<str>>) -> Group {
        Group(text.into())
    }

    /// Returns the full text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two counters of a group in a shared store. They start at a random base, so that a lost counter never looks
/// like an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct GroupVersion {
    /// Counts hard invalidations.
    pub hard: u64,
    /// Counts soft ones.
    pub soft: u64,
}

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
