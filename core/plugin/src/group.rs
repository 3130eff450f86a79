use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much an invalidation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    /// Nothing older may be served any more, in no mode (`invalidate_*`, `clear`).
    Hard,
    /// What is older has become stale: it is loaded again, and may bridge that load or its failure where the function
    /// allows it (`expire_*`).
    Soft,
}

/// The name of a group in a store's own key space: plane, namespace and name, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(Arc<str>);

impl Group {
    /// A group by its full text, such as `r1:t:default:-:user`.
    pub fn new(text: impl Into<Arc<str>>) -> Group {
        Group(text.into())
    }

    /// The full text.
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
pub struct Version {
    /// Counts hard invalidations.
    pub hard: u64,
    /// Counts soft ones.
    pub soft: u64,
}

/// When a group was last invalidated in this process, as a generation of its instance.
///
/// An entry whose generation lies below a mark was loaded before that invalidation.
#[derive(Debug, Default)]
pub struct Mark {
    hard: AtomicU64,
    soft: AtomicU64,
}

impl Mark {
    /// A group that was never invalidated.
    pub const fn new() -> Mark {
        Mark { hard: AtomicU64::new(0), soft: AtomicU64::new(0) }
    }

    /// Raises the mark. The caller publishes the new generation afterwards, never before.
    pub fn raise(&self, strength: Strength, generation: u64) {
        match strength {
            Strength::Hard => self.hard.fetch_max(generation, Ordering::AcqRel),
            Strength::Soft => self.soft.fetch_max(generation, Ordering::AcqRel),
        };
    }

    /// The generation of the last invalidation of that strength.
    pub fn generation(&self, strength: Strength) -> u64 {
        match strength {
            Strength::Hard => self.hard.load(Ordering::Acquire),
            Strength::Soft => self.soft.load(Ordering::Acquire),
        }
    }
}
