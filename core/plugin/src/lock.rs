//! Locks whose state is in the lock itself.
//!
//! Those of the standard library wait on an address or in the lock. Libraries that keep one table of all waiting
//! threads of a process are out of the question: a child of `fork` has a copy of that table, whose queues name threads
//! that it does not have, and its own threads wait and wake through them.
//!
//! They ignore poisoning: whatever may panic under them leaves what they guard whole.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, PoisonError, TryLockError};
use std::time::Duration;

pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A mutual exclusion.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Guards `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Gives back what it guards.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Mutex<T> {
    /// Waits until it is free and takes it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Gives what it guards to its only owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock of many readers or one writer.
#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Guards `value`.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }
}

impl<T> RwLock<T> {
    /// Waits until no writer has it, nor waits for it, and reads.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody has it and writes.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what it guards to its only owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bell for those who wait for a change of what a [`Mutex`] guards. Who makes the change holds the mutex while doing
/// so, and rings under it or later.
#[derive(Debug, Default)]
pub struct Condvar {
    bell: sync::Condvar,
    /// Number of waiting threads, ordered by the mutex: a thread that changes something either comes before one that is
    /// about to wait, which then sees the change, or finds it counted here. Waking nobody would cost a system call.
    waiting: AtomicUsize,
}

impl Condvar {
    /// Makes one without waiting threads.
    pub const fn new() -> Condvar {
        Condvar { bell: sync::Condvar::new(), waiting: AtomicUsize::new(0) }
    }

    /// Lets go of the mutex, waits for a ring and takes it again. May return without a ring.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Waits as [`wait`](Condvar::wait) does, for `limit` at most. True if the time is over.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, limit: Duration) -> (MutexGuard<'a, T>, bool) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (guard, result) = self.bell.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        (guard, result.timed_out())
    }

    /// Waits while something holds, for `limit` at most. True if it still held then.
    pub fn wait_while_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        holds: impl Fn(&T) -> bool,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.bell.wait_timeout_while(guard, limit, |value| holds(value));
        let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        (guard, result.timed_out())
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.bell.notify_one();
        }
    }

    /// Wakes all of those who wait.
    pub fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.bell.notify_all();
        }
    }
}
