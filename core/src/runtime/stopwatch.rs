use std::time::{Duration, Instant};

/// Stopwatch for the duration of a load. It measures real time whatever the instance's clock is: a load is work, not
/// freshness.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a load's cost is real time, finer than the coarse clock")]
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
