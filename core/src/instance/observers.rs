//! Notifies caches, which hold their own plans, when settings change.

use std::fmt;
use std::sync::Weak;

/// A cache that holds its own plan.
pub(crate) trait PlanObserver: Send + Sync {
    /// Makes the plan anew.
    fn replan(&self);
}

/// All caches that are alive.
#[derive(Clone, Default)]
pub(super) struct PlanObservers(Vec<Weak<dyn PlanObserver>>);

impl fmt::Debug for PlanObservers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlanObservers").field(&self.0.len()).finish()
    }
}

impl PlanObservers {
    pub(super) fn add(&mut self, cache: Weak<dyn PlanObserver>) {
        self.0.retain(|cache| cache.strong_count() > 0);
        self.0.push(cache);
    }

    pub(super) fn replan(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|cache| cache.replan());
    }
}
