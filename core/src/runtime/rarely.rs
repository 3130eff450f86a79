use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::Clock;

/// Limiter that returns `true` at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Rarely(AtomicU64);

impl Rarely {
    pub(crate) fn now(&self, clock: &dyn Clock) -> bool {
        const PAUSE: Duration = Duration::from_secs(60);
        let (next, now) = (self.0.load(Ordering::Relaxed), clock.now());
        now.as_millis() >= next
            && self.0.compare_exchange(next, now.after(PAUSE).as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
