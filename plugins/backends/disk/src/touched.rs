use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::Clock;
use retainit_plugin::lock::Mutex;

/// Number of uses that are remembered; further ones are forgotten until some have been written down.
const MOST: usize = 4_096;

/// Number of uses from which a process that only reads writes some down, and the pause between.
const MANY: usize = 256;
const EVERY: Duration = Duration::from_secs(10);

/// Entries that were used since they were written or moved, by their place in the order. Reads write nothing: a
/// writer moves what it finds here.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    ids: Mutex<HashSet<i64>>,
    /// Order is worth its cost only when something may have to go soon.
    worth: AtomicBool,
    due: AtomicU64,
    low: AtomicI64,
    high: AtomicI64,
}

impl Touched {
    /// Returns whether the order of use is recorded.
    pub(crate) fn is_worth(&self) -> bool {
        self.worth.load(Ordering::Relaxed)
    }

    /// Notes a use. The newest eighth of the order is left as it is.
    pub(crate) fn note(&self, id: i64) {
        if !self.is_worth() {
            return;
        }
        let (low, high) = (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed));
        if id >= high - (high - low) / 8 {
            return;
        }
        // A use that would have to wait for another is not worth the wait.
        if let Some(mut ids) = self.ids.try_lock().filter(|ids| ids.len() < MOST) {
            ids.insert(id);
        }
    }

    /// Returns whether an entry was used, and forgets that use.
    pub(crate) fn take(&self, id: i64) -> bool {
        self.ids.lock().remove(&id)
    }

    /// Takes some entries that were used.
    pub(crate) fn drain(&self, most: usize) -> Vec<i64> {
        let mut ids = self.ids.lock();
        let some: Vec<i64> = ids.iter().copied().take(most).collect();
        for id in &some {
            ids.remove(id);
        }
        some
    }

    /// Returns whether some should be written down although nobody writes: there are many, and the last time is long
    /// ago.
    pub(crate) fn is_due(&self, clock: &dyn Clock) -> bool {
        if !self.is_worth() {
            return false;
        }
        let now = clock.now();
        let is_due = now.as_millis() >= self.due.load(Ordering::Relaxed)
            && self.ids.try_lock().is_some_and(|ids| ids.len() >= MANY);
        if is_due {
            self.due.store(now.after(EVERY).as_millis(), Ordering::Relaxed);
        }
        is_due
    }

    /// Sets the first and last number of the order.
    pub(crate) fn set_range(&self, low: i64, high: i64) {
        self.low.store(low, Ordering::Relaxed);
        self.high.store(high, Ordering::Relaxed);
    }

    /// Notes that an entry was put at the end.
    pub(crate) fn set_high(&self, high: i64) {
        self.high.fetch_max(high, Ordering::Relaxed);
    }

    pub(crate) fn set_worth(&self, worth: bool) {
        self.worth.store(worth, Ordering::Relaxed);
    }
}
