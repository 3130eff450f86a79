//! Removes expired entries from stores in memory, so that they take no room from entries that can be served.

use std::sync::atomic::Ordering;
use std::time::Duration;

use retainit_plugin::Moment;

use super::{EngineContext, invalidate};
use crate::runtime::{Stopwatch, Task};

/// The shortest time between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

impl EngineContext {
    /// Removes expired entries from stores in memory, and counts them.
    pub(crate) fn cleanup_expired(&self) -> u64 {
        let expired = self.stores().iter().map(|store| invalidate::sweep(self, store)).sum();
        self.tags.sweep();
        expired
    }

    /// Schedules a sweep soon after `deadline`.
    pub(crate) fn sweep_by(&self, deadline: Moment) {
        // Nearly every insert ends here, before the clock is read: a sweep that comes first is scheduled already.
        let scheduled = self.sweep_due.load(Ordering::Relaxed);
        if deadline.as_millis() >= scheduled {
            return;
        }
        let due = deadline.max(self.clock.now().after(SWEEP_EVERY)).as_millis();
        if due >= scheduled {
            return;
        }
        if self.sweep_due.fetch_min(due, Ordering::AcqRel) <= due {
            return;
        }
        let instance = self.downgrade();
        let sweep = move |now: Moment| instance()?.sweep(now);
        self.timers.add(Moment::from_millis(due), Task::Sweep(Box::new(sweep)));
    }

    /// Removes expired entries, and returns the time of the next sweep.
    fn sweep(&self, now: Moment) -> Option<Moment> {
        if self.sweep_due.load(Ordering::Acquire) > now.as_millis() {
            // A later call has scheduled an earlier sweep, which has run and has scheduled the next one.
            return None;
        }
        self.sweep_due.store(u64::MAX, Ordering::Release);
        let watch = Stopwatch::start();
        self.cleanup_expired();
        // At most a twentieth of one thread goes into sweeping.
        let pause = SWEEP_EVERY.max(watch.elapsed() * 20);
        let next = self.stores().into_iter().filter_map(|store| store.next_deadline());
        let next = next.min().filter(|next| *next != Moment::NEVER)?;
        let due = next.max(now.after(pause));
        (self.sweep_due.fetch_min(due.as_millis(), Ordering::AcqRel) > due.as_millis()).then_some(due)
    }
}
