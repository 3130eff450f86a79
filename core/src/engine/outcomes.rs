use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Error, ErrorKind, Moment, Result};

/// Last failures of reads and writes by calls on one backend, for `health()`.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) read: LastFailure,
    pub(crate) write: LastFailure,
}

/// Last failure of a kind of operation, until one succeeds.
#[derive(Debug, Default)]
pub(crate) struct LastFailure {
    /// True while there is a failure: a success reads only this, not the lock.
    any: AtomicBool,
    failure: Mutex<Option<FailureRecord>>,
}

#[derive(Debug)]
struct FailureRecord {
    at: Moment,
    kind: ErrorKind,
    text: String,
    in_a_row: u32,
}

/// The age after which a failure does not count any more.
const RECENT: Duration = Duration::from_secs(60);

impl LastFailure {
    /// Notes the outcome of an operation of a backend. An error counts if the backend failed, not if it refused.
    #[inline]
    pub(crate) fn note<T>(&self, outcome: &Result<T>, clock: &dyn Clock) {
        match outcome {
            Ok(_) => self.succeeded(),
            Err(error) => self.backend_failed(error, clock),
        }
    }

    #[cold]
    pub(crate) fn backend_failed(&self, error: &Error, clock: &dyn Clock) {
        if error.is_of_backend() {
            self.failed(error.kind(), error.report(), clock);
        }
    }

    pub(crate) fn failed(&self, kind: ErrorKind, text: String, clock: &dyn Clock) {
        let mut failure = self.failure.lock();
        let in_a_row = failure.take().map_or(1, |last| last.in_a_row.saturating_add(1));
        *failure = Some(FailureRecord { at: clock.now(), kind, text, in_a_row });
        self.any.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn succeeded(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.forget();
        }
    }

    #[cold]
    fn forget(&self) {
        let mut failure = self.failure.lock();
        self.any.store(false, Ordering::Relaxed);
        *failure = None;
    }

    /// Returns the last of `in_a_row` or more failures without a success between, if it was in the last minute.
    pub(crate) fn recent(&self, in_a_row: u32, clock: &dyn Clock) -> Option<Error> {
        let failure = self.failure.lock();
        let last = failure.as_ref().filter(|last| last.in_a_row >= in_a_row && clock.now().since(last.at) <= RECENT)?;
        Some(Error::new(last.kind, last.text.clone()))
    }
}
