//! Switch that takes calls off the shortest way to a hit while a scope or a subscriber needs the whole one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of reasons in the process to leave the shortest way. A hit pays one relaxed load to see zero.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Returns true if a scope could be in force on some thread.
#[inline(always)]
pub(crate) fn possible() -> bool {
    ALIVE.load(Ordering::Relaxed) != 0
}

/// Guard that counts a scope, or an instance whose hits have a subscriber, in `ALIVE`.
#[derive(Debug)]
pub(crate) struct Alive;

impl Alive {
    pub(crate) fn new() -> Alive {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Alive
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes every call of this process off the shortest way for good. A forked child does so: functions may still have
/// plans of its parent's, and the whole way notices that.
pub(crate) fn leave_shortest_way() {
    ALIVE.fetch_add(1, Ordering::Relaxed);
}
