use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Moment};

const START_MILLIS: u64 = 1_000_000;
const START_WALL: Duration = Duration::from_secs(1_750_000_000);
const NANOS_PER_MILLI: u64 = 1_000_000;

/// A clock that pauses until it is moved by hand.
///
/// Clones show and move the same time, so a test keeps one and gives the other away. It starts at the moment of
/// 1 000 000 ms and at 2025-06-15 15:06:40 UTC, the same in every run.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use retainit_plugin::{Clock, Moment};
/// use retainit_testkit::ManualClock;
///
/// let clock = ManualClock::new();
/// let given_away: Arc<dyn Clock> = Arc::new(clock.clone());
/// assert_eq!(given_away.now(), Moment::from_millis(1_000_000));
///
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(given_away.now(), Moment::from_millis(1_005_000));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Time>);

#[derive(Debug)]
struct Time {
    /// Time in nanoseconds, so that many advances of less than a millisecond add up.
    now: AtomicU64,
    wall: Mutex<SystemTime>,
}

impl ManualClock {
    /// Makes a clock at its start.
    pub fn new() -> ManualClock {
        ManualClock(Arc::new(Time {
            now: AtomicU64::new(START_MILLIS * NANOS_PER_MILLI),
            wall: Mutex::new(SystemTime::UNIX_EPOCH + START_WALL),
        }))
    }

    /// Moves monotonic and wall time forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut wall = self.0.wall.lock();
        *wall += duration;
        self.0.now.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the wall time, also backwards, and leaves monotonic time as it is: a corrected or a skewed clock.
    pub fn set_wall(&self, wall: SystemTime) {
        *self.0.wall.lock() = wall;
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment::from_millis(self.0.now.load(Ordering::SeqCst) / NANOS_PER_MILLI)
    }

    fn wall(&self) -> SystemTime {
        *self.0.wall.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_time() {
        let clock = ManualClock::new();
        let other = clock.clone();
        let (now, wall) = (other.now(), other.wall());
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(other.now().since(now), Duration::from_millis(1_500));
        assert_eq!(other.wall(), wall + Duration::from_millis(1_500));
    }

    #[test]
    fn small_steps_add_up() {
        let clock = ManualClock::new();
        let start = clock.now();
        for _ in 0..10 {
            clock.advance(Duration::from_micros(100));
        }
        assert_eq!(clock.now().since(start), Duration::from_millis(1));
    }

    #[test]
    fn the_wall_moves_alone() {
        let clock = ManualClock::new();
        let now = clock.now();
        clock.set_wall(SystemTime::UNIX_EPOCH);
        assert_eq!((clock.now(), clock.wall()), (now, SystemTime::UNIX_EPOCH));
    }
}
