//! Bounds the time that an operation may still wait.
//!
//! An operation has one budget, `busy_timeout`, from its first step to its last. All waits on its thread check the
//! budget: locks of other threads and of other processes, and SQLite's own pauses (see [`vfs`](crate::vfs)). A thread
//! that has set no bound does not wait at all.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use retainit_plugin::{Clock, Moment, SystemClock};

thread_local! {
    /// Real time, whatever clock the instance has: locks do not follow a manual one.
    static UNTIL: Cell<Moment> = const { Cell::new(Moment::from_millis(0)) };
}

/// Bound of all waits of its thread, until it is dropped.
#[derive(Debug)]
#[must_use = "the bound holds until this is dropped"]
pub(crate) struct Bound {
    before: Moment,
}

impl Bound {
    fn set(until: Moment) -> Bound {
        Bound { before: UNTIL.replace(until) }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        UNTIL.set(self.before);
    }
}

/// Bounds the waits of the thread from here on by `patience` in all, or by what is left of a bound around it.
pub(crate) fn at_most(patience: Duration) -> Bound {
    let (now, outer) = (SystemClock.now(), UNTIL.get());
    let until = now.after(patience);
    Bound::set(if outer > now { until.min(outer) } else { until })
}

/// Keeps the thread from waiting at all: for work that no caller waits for, and that can be done another time.
pub(crate) fn not_at_all() -> Bound {
    Bound::set(Moment::from_millis(0))
}

/// Returns what is left of the budget.
pub(crate) fn left() -> Duration {
    UNTIL.get().since(SystemClock.now())
}

/// Pauses for `step`, or for what is left of the budget if that is less. False if nothing was left.
pub(crate) fn pause(step: Duration) -> bool {
    let step = step.min(left());
    thread::sleep(step);
    !step.is_zero()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_thread_without_a_bound_does_not_wait() {
        assert!(left().is_zero());
        assert!(!pause(LONG));
    }

    #[test]
    fn a_bound_holds_for_all_pauses_together_and_ends_with_its_scope() {
        let outer = at_most(LONG);
        {
            let _inner = at_most(Duration::from_millis(20));
            while pause(Duration::from_millis(3)) {}
            assert!(!pause(LONG), "the budget is used up");
            let _none = not_at_all();
            assert!(left().is_zero());
        }
        assert!(left() > LONG / 2, "the outer bound holds again");
        {
            let _outer = at_most(Duration::from_millis(20));
            let _inner = at_most(LONG);
            while pause(Duration::from_millis(3)) {}
            assert!(!pause(LONG), "what is done in several steps has one budget");
        }
        drop(outer);
        assert!(left().is_zero());
    }
}
