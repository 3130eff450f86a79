//! A circuit breaker: after several failures in a row nothing is attempted for a time, then one probe decides.
//!
//! The pattern is Nygard's (Release It!, 2007). [`Breaker`] is a state machine without clock, lock or thread: whoever
//! uses it says what time it is, and acts on the changes that it returns.

use std::fmt;
use std::time::Duration;

use retainit_plugin::Moment;

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Everything is attempted.
    Closed,
    /// Nothing is attempted.
    Open,
    /// One probe is on its way, and nothing else is attempted.
    HalfOpen,
}

impl BreakerState {
    /// Returns the name used in logs and events: `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Limits of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerLimits {
    /// Number of failures in a row that open it; 0 for a breaker that never opens.
    pub(crate) threshold: u64,
    /// Time from its opening to the probe.
    pub(crate) timeout: Duration,
}

impl Default for BreakerLimits {
    fn default() -> BreakerLimits {
        BreakerLimits { threshold: 5, timeout: Duration::from_secs(60) }
    }
}

/// A change of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerChange {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
}

/// Permission for one attempt, whose outcome the breaker is told. One that is dropped counts as nothing, unless it is a
/// probe's: that has to be told to be [`cancelled`](Breaker::cancelled).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerPermit {
    /// Number of the breaker's state: an outcome that comes after the next change says nothing about the state then.
    pub(crate) epoch: u64,
}

/// The state machine.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    limits: BreakerLimits,
    phase: BreakerPhase,
    /// Number of changes so far, and of probes that were no change.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerPhase {
    Closed { failures: u64 },
    Open { since: Moment, probing: bool },
    HalfOpen { since: Moment },
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits) -> Breaker {
        Breaker { limits, phase: BreakerPhase::Closed { failures: 0 }, epoch: 0 }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.phase {
            BreakerPhase::Closed { .. } => BreakerState::Closed,
            BreakerPhase::Open { .. } => BreakerState::Open,
            BreakerPhase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Returns the number of failures since the last success, while it is closed.
    pub(crate) fn failures(&self) -> u64 {
        if let BreakerPhase::Closed { failures } = self.phase { failures } else { 0 }
    }

    /// Returns when the pause of an open breaker is over.
    pub(crate) fn due(&self) -> Option<Moment> {
        match self.phase {
            BreakerPhase::Open { since, .. } => Some(since.after(self.limits.timeout)),
            BreakerPhase::Closed { .. } | BreakerPhase::HalfOpen { .. } => None,
        }
    }

    /// Permits an attempt while it is closed.
    pub(crate) fn permit(&self) -> Option<BreakerPermit> {
        matches!(self.phase, BreakerPhase::Closed { .. }).then_some(BreakerPermit { epoch: self.epoch })
    }

    /// Permits the one probe of an open breaker, once its pause is over; an `early` one at any time. While the pause
    /// lasts a probe is no change of the state, and its failure does not begin the pause anew.
    pub(crate) fn probe(&mut self, now: Moment, early: bool) -> Option<(BreakerPermit, Option<BreakerChange>)> {
        let BreakerPhase::Open { since, probing: false } = self.phase else { return None };
        let changed = if self.due().is_some_and(|due| due <= now) {
            self.change(BreakerPhase::HalfOpen { since })
        } else if early {
            self.epoch += 1;
            self.phase = BreakerPhase::Open { since, probing: true };
            None
        } else {
            return None;
        };
        Some((BreakerPermit { epoch: self.epoch }, changed))
    }

    /// Notes a success: it ends the failures in a row, and that of a probe closes the breaker.
    pub(crate) fn succeeded(&mut self, permit: BreakerPermit) -> Option<BreakerChange> {
        if permit.epoch != self.epoch {
            return None;
        }
        match &mut self.phase {
            BreakerPhase::Closed { failures } => {
                *failures = 0;
                None
            }
            BreakerPhase::Open { .. } | BreakerPhase::HalfOpen { .. } => {
                self.change(BreakerPhase::Closed { failures: 0 })
            }
        }
    }

    /// Notes a failure: the last of as many as the threshold opens the breaker, and that of a probe opens it again.
    pub(crate) fn failed(&mut self, permit: BreakerPermit, now: Moment) -> Option<BreakerChange> {
        if permit.epoch != self.epoch {
            return None;
        }
        match &mut self.phase {
            BreakerPhase::Closed { failures } => {
                *failures = failures.saturating_add(1);
                let is_last = self.limits.threshold > 0 && *failures >= self.limits.threshold;
                is_last.then(|| self.change(BreakerPhase::Open { since: now, probing: false })).flatten()
            }
            BreakerPhase::Open { probing, .. } => {
                *probing = false;
                None
            }
            BreakerPhase::HalfOpen { .. } => self.change(BreakerPhase::Open { since: now, probing: false }),
        }
    }

    /// Notes that an attempt was given up, or says nothing. A probe is then due at once, as before.
    pub(crate) fn cancelled(&mut self, permit: BreakerPermit) -> Option<BreakerChange> {
        if permit.epoch != self.epoch {
            return None;
        }
        match &mut self.phase {
            BreakerPhase::Closed { .. } => None,
            BreakerPhase::Open { probing, .. } => {
                *probing = false;
                None
            }
            BreakerPhase::HalfOpen { since } => {
                let since = *since;
                self.change(BreakerPhase::Open { since, probing: false })
            }
        }
    }

    /// Sets other limits. A breaker that never opens is closed.
    pub(crate) fn set_limits(&mut self, limits: BreakerLimits) -> Option<BreakerChange> {
        self.limits = limits;
        if limits.threshold == 0 { self.reset() } else { None }
    }

    /// Closes it, whatever its state.
    pub(crate) fn reset(&mut self) -> Option<BreakerChange> {
        match self.phase {
            BreakerPhase::Closed { .. } => None,
            BreakerPhase::Open { .. } | BreakerPhase::HalfOpen { .. } => {
                self.change(BreakerPhase::Closed { failures: 0 })
            }
        }
    }

    fn change(&mut self, phase: BreakerPhase) -> Option<BreakerChange> {
        let from = self.state();
        self.phase = phase;
        self.epoch += 1;
        Some(BreakerChange { from, to: self.state() })
    }
}

#[cfg(test)]
mod tests;
