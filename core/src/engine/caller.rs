use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Result};

use super::CallerKind;

/// Caller of a byte backend: future or thread, with the patience that is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) caller_kind: CallerKind,
    pub(crate) patience: &'a Patience,
}

/// Time that one call waits for its backend in all: `op_timeout`, however many operations it makes.
///
/// Once it is used up, the call makes no further operation. A follower that leads in the end so does not wait for a
/// dead backend a second time.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Time spent, in microseconds.
    spent: AtomicU64,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { limit, spent: AtomicU64::new(0) }
    }

    /// Creates a patience of which nothing is left.
    pub(crate) fn used_up(limit: Duration) -> Patience {
        let patience = Patience::new(limit);
        patience.spent.store(u64::MAX >> 1, Ordering::Relaxed);
        patience
    }

    /// Returns the time that is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when none is.
    pub(crate) fn left(&self) -> Result<Duration> {
        let left = self.limit.saturating_sub(Duration::from_micros(self.spent.load(Ordering::Relaxed)));
        if left.is_zero() {
            let text = format!("the backend has used up the {:?} that a call waits for it", self.limit);
            return Err(Error::new(ErrorKind::Timeout, text));
        }
        Ok(left)
    }

    /// Returns the time that is left, for an operation that blocks its thread and cannot be given a timeout: it is not
    /// begun with less than half.
    pub(crate) fn left_for_all_of_it(&self) -> Result<Duration> {
        let left = self.left()?;
        if left < self.limit / 2 {
            Err(Error::new(ErrorKind::Timeout, "most of its time is used up"))
        } else {
            Ok(left)
        }
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.left().is_err()
    }

    /// Subtracts the time of an operation; all that is left if the operation timed out.
    pub(crate) fn spend<T>(&self, time: Duration, outcome: &Result<T>) {
        let gave_up = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout);
        let spent = if gave_up { self.limit } else { time };
        self.spent.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX >> 1), Ordering::Relaxed);
    }
}
