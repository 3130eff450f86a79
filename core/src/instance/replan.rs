//! Caches keep their plans themselves; they are told when what plans are made from has changed.

use std::fmt;
use std::sync::Weak;

/// A cache, whose plan is its own to keep.
pub(crate) trait Replan: Send + Sync {
    /// Makes the plan anew.
    fn replan(&self);
}

/// The caches that are alive.
#[derive(Clone, Default)]
pub(super) struct Followers(Vec<Weak<dyn Replan>>);

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Followers").field(&self.0.len()).finish()
    }
}

impl Followers {
    pub(super) fn add(&mut self, cache: Weak<dyn Replan>) {
        self.0.retain(|cache| cache.strong_count() > 0);
        self.0.push(cache);
    }

    pub(super) fn replan(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|cache| cache.replan());
    }
}
