use std::fmt;
use std::time::{Duration, SystemTime};

/// A point of monotonic time in milliseconds. Only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Later than everything: the deadline of what never expires.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// Makes a moment from milliseconds.
    #[inline(always)]
    pub const fn from_millis(millis: u64) -> Moment {
        Moment(millis)
    }

    /// Milliseconds.
    #[inline(always)]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the moment `duration` later, rounded up to a millisecond; saturates below [`Moment::NEVER`].
    pub fn after(self, duration: Duration) -> Moment {
        // Every insert of an entry with a ttl comes here: in parts, for a division of 128 bits is a loop.
        let part = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
        let millis = duration.as_secs().saturating_mul(1_000).saturating_add(part);
        Moment(self.0.saturating_add(millis).min(u64::MAX - 1))
    }

    /// Returns the time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The only source of time in retainit.
///
/// Tests give an instance a manual clock (`retainit_testkit::ManualClock`) and move it by hand.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Returns monotonic time. Called on every hit: it may be coarse by a few milliseconds but must be cheap.
    fn now(&self) -> Moment;

    /// Returns wall time, for what is shared with other processes or shown to people.
    fn wall(&self) -> SystemTime;
}

/// The clock of the operating system: `CLOCK_MONOTONIC_COARSE` on Linux (a tick of 1 to 10 ms, six nanoseconds to
/// read), [`Instant`](std::time::Instant) elsewhere.
///
/// `now` pauses while the machine sleeps: entries in memory expire later by that long. There is no coarse clock that
/// goes on, and one that is exact would double the time of a hit. Wall time, which byte backends and envelopes use,
/// does not stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Moment {
        monotonic()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock everything else asks")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn monotonic() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Moment(time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the clock everything else asks")]
fn monotonic() -> Moment {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    Moment(START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_never_reaches_never_by_addition() {
        let late = Moment::from_millis(u64::MAX - 5).after(Duration::from_secs(1));
        assert!(late < Moment::NEVER);
        assert_eq!(Moment::from_millis(1).after(Duration::from_micros(1)).as_millis(), 2);
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let before = SystemClock.now();
        std::thread::sleep(Duration::from_millis(20));
        assert!(SystemClock.now() > before);
    }
}
