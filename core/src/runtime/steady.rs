use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use retainit_plugin::{Clock, ErrorKind, Moment, SystemClock, caught};

/// Wrapper of a clock that the program brings along. While that panics, time stops, and no call fails.
#[derive(Debug)]
pub(crate) struct SteadyClock<C> {
    clock: C,
    last: AtomicU64,
}

impl<C: Clock> SteadyClock<C> {
    pub(crate) fn new(clock: C) -> SteadyClock<C> {
        SteadyClock { clock, last: AtomicU64::new(0) }
    }
}

impl<C: Clock> Clock for SteadyClock<C> {
    fn now(&self) -> Moment {
        match caught(ErrorKind::Config, "the clock", || self.clock.now()) {
            Ok(now) => {
                self.last.store(now.as_millis(), Ordering::Relaxed);
                now
            }
            Err(_) => Moment::from_millis(self.last.load(Ordering::Relaxed)),
        }
    }

    fn wall(&self) -> SystemTime {
        caught(ErrorKind::Config, "the clock", || self.clock.wall()).unwrap_or_else(|_| SystemClock.wall())
    }
}
