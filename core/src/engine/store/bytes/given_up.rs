//! Handles stores whose caller has stopped waiting, so that none takes effect after a removal that was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use retainit_plugin::CancellationToken;

/// Fate of a store without a fence whose caller has stopped waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It never happens, or the caller cannot leave before it has.
    Dropped,
    /// It may happen at any time, so it gets a fence: a removal that comes before it breaks that.
    Fenced,
    /// It may happen at any time and has no fence: removals are not acknowledged before it is over.
    Awaited,
}

/// Cancels a token when the future that waits is dropped.
#[derive(Debug)]
pub(super) struct CancelOnDrop(pub(super) CancellationToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Number of stores whose caller has stopped waiting and that are not over.
#[derive(Clone, Debug, Default)]
pub(super) struct Late(Arc<AtomicI64>);

impl Late {
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::SeqCst) <= 0
    }

    /// Begins a store: one end is for the caller that waits, the other for the operation.
    pub(super) fn begin(&self) -> (LateEnd, LateEnd) {
        let one_ended = Arc::new(AtomicBool::new(false));
        let end = |by| LateEnd { late: self.clone(), one_ended: Arc::clone(&one_ended), by };
        (end(1), end(-1))
    }
}

/// One end of a store. If the waiting caller drops its end first, the store counts as late until the other end is
/// dropped.
#[derive(Debug)]
pub(super) struct LateEnd {
    late: Late,
    one_ended: Arc<AtomicBool>,
    by: i64,
}

impl Drop for LateEnd {
    fn drop(&mut self) {
        let was_first = !self.one_ended.swap(true, Ordering::SeqCst);
        // The caller may stop waiting before the store is over, or after it.
        if was_first == (self.by > 0) {
            self.late.0.fetch_add(self.by, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_late_from_when_it_is_given_up_until_it_is_over() {
        let late = Late::default();
        let (waits, does) = late.begin();
        assert!(late.is_empty());
        drop(waits);
        assert!(!late.is_empty());
        drop(does);
        assert!(late.is_empty());
        let (waits, does) = late.begin();
        drop(does);
        drop(waits);
        assert!(late.is_empty(), "it was over before");
    }
}
