//! Turns of those who wait for a lock that sweeps hold for long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Time between two looks at those who wait.
const LOOK: Duration = Duration::from_micros(20);

/// Counts of threads that wait for a lock, and of those that have taken it.
///
/// The locks of the standard library are not fair: a thread that lets go and comes back at once is usually faster than
/// the one it has woken. Sweeps that follow each other would keep a caller waiting for as long as they go on.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: AtomicUsize,
    /// Wraps around; only differences count.
    taken: AtomicUsize,
}

impl Turns {
    /// Takes the lock for a caller that found it taken.
    pub(crate) fn wait<T>(&self, lock: impl FnOnce() -> T) -> T {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = lock();
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Waits until as many callers have taken the lock as are waiting now. The caller, a sweep, does not hold it.
    pub(crate) fn let_pass(&self) {
        let (before, turns) = (self.taken.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed));
        while self.waiting.load(Ordering::Relaxed) > 0
            && self.taken.load(Ordering::Relaxed).wrapping_sub(before) < turns
        {
            // Sleeps, since a caller that was woken may still need a processor.
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use retainit_plugin::lock::Mutex;

    use super::*;

    #[test]
    fn a_sweep_that_lets_pass_goes_on_after_those_who_waited() {
        let (lock, turns) = (Mutex::new(()), Turns::default());
        for _ in 0..20 {
            let has_passed = AtomicBool::new(false);
            let swept = lock.lock();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let guard = turns.wait(|| {
                        let guard = lock.lock();
                        has_passed.store(true, Ordering::Relaxed);
                        guard
                    });
                    drop(guard);
                });
                while turns.waiting.load(Ordering::Relaxed) == 0 {
                    thread::yield_now();
                }
                drop(swept);
                turns.let_pass();
                assert!(has_passed.load(Ordering::Relaxed));
            });
        }
    }

    #[test]
    fn nobody_waits_where_nobody_has_come() {
        let turns = Turns::default();
        turns.let_pass();
        turns.wait(|| ());
        turns.let_pass();
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
    }
}
