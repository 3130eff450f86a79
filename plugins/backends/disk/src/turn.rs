//! A lock that is waited for no longer than the operation may wait.

use std::fmt;
use std::ops::{Deref, DerefMut};

use retainit_plugin::lock::{Condvar, Mutex, MutexGuard};

use crate::wait;

/// A mutual exclusion with a bound on how long it is waited for, see [`wait`].
#[derive(Debug, Default)]
pub(crate) struct Turn<T> {
    value: Mutex<T>,
    /// Held while `value` is found taken and the wait begins, and while the end of a turn is signalled: no end is
    /// missed.
    telling: Mutex<()>,
    ended: Condvar,
}

/// A turn, until it is dropped.
pub(crate) struct Taken<'a, T> {
    // The order of the fields: a woken thread finds the value free.
    value: MutexGuard<'a, T>,
    _end: End<'a>,
}

/// Signals the end of a turn.
struct End<'a> {
    telling: &'a Mutex<()>,
    ended: &'a Condvar,
}

impl<T> Turn<T> {
    pub(crate) fn new(value: T) -> Turn<T> {
        Turn { value: Mutex::new(value), telling: Mutex::new(()), ended: Condvar::new() }
    }

    /// Takes it if it is free.
    pub(crate) fn try_take(&self) -> Option<Taken<'_, T>> {
        let value = self.value.try_lock()?;
        Some(Taken { value, _end: End { telling: &self.telling, ended: &self.ended } })
    }

    /// Takes it as soon as it is free, unless nothing is left of what the thread may wait.
    pub(crate) fn take(&self) -> Option<Taken<'_, T>> {
        if let Some(taken) = self.try_take() {
            return Some(taken);
        }
        let mut telling = self.telling.lock();
        loop {
            if let Some(taken) = self.try_take() {
                return Some(taken);
            }
            let left = wait::left();
            if left.is_zero() {
                return None;
            }
            (telling, _) = self.ended.wait_for(telling, left);
        }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        drop(self.telling.lock());
        self.ended.notify_one();
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Taken<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_turn_is_waited_for_until_it_ends_and_no_end_is_missed() {
        let (turn, most) = (Turn::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _bound = wait::at_most(Duration::from_secs(600));
                    for round in 0..5_000 {
                        let mut taken = turn.take().unwrap();
                        assert_eq!(most.fetch_add(1, Ordering::Relaxed), 0, "it is taken once at a time");
                        *taken += 1;
                        if round % 64 == 0 {
                            thread::yield_now();
                        }
                        most.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(*turn.try_take().unwrap(), 20_000);
    }

    #[test]
    fn who_may_not_wait_any_longer_goes_without() {
        let turn = Turn::new(());
        let taken = turn.try_take().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| assert!(turn.take().is_none(), "a thread without a bound does not wait"));
            scope.spawn(|| {
                let _bound = wait::at_most(Duration::from_millis(20));
                assert!(turn.take().is_none());
                assert!(wait::left().is_zero());
            });
        });
        drop(taken);
        assert!(turn.take().is_some());
    }
}
