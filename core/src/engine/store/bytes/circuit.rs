//! The circuit breaker of a byte backend, shared by all that call it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Error, ErrorKind, Moment, Result};

use crate::breaker::{Breaker, BreakerChange, BreakerLimits, BreakerPermit, BreakerState};
use crate::event::Bus;

/// A breaker with the clock of its instance, and the changes that are to be reported.
///
/// Callers read two words of it. While it is not closed the keeper probes the backend, see [`keeper`](super::keeper);
/// it also reports the changes, so that they are reported in their order and on nobody's call path.
#[derive(Debug)]
pub(super) struct Circuit {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    bus: Option<Arc<Bus>>,
    /// Number of the breaker's state, plus one, while it is closed; else 0.
    closed: AtomicU64,
    /// Time at which a probe is due, in milliseconds; `u64::MAX` while none is to be.
    due: AtomicU64,
    /// True while there are failures since the last success: a success reads only this, not the lock.
    failing: AtomicBool,
    state: Mutex<CircuitState>,
}

#[derive(Debug)]
struct CircuitState {
    breaker: Breaker,
    /// Text of the last failure.
    last: Option<String>,
    unreported: VecDeque<(BreakerChange, Option<String>)>,
}

impl Circuit {
    pub(super) fn new(name: Arc<str>, clock: Arc<dyn Clock>, bus: Option<Arc<Bus>>, limits: BreakerLimits) -> Circuit {
        let breaker = Breaker::new(limits);
        let state = CircuitState { breaker, last: None, unreported: VecDeque::new() };
        let (closed, due) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
        Circuit { name, clock, bus, closed, due, failing: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Returns true while callers may call the backend.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) != 0
    }

    /// Returns true if the probe of an open breaker is due. The keeper sleeps in real time, which a clock that is moved by
    /// hand does not follow: then callers wake it.
    pub(super) fn is_due(&self) -> bool {
        self.clock.now().as_millis() >= self.due.load(Ordering::Relaxed)
    }

    /// Permits a call of the backend.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unreachable`] while the breaker is not closed.
    pub(super) fn permit(&self) -> Result<BreakerPermit> {
        match self.closed.load(Ordering::Acquire) {
            0 => Err(self.refusal()),
            closed => Ok(BreakerPermit { epoch: closed - 1 }),
        }
    }

    /// Permits the probe of a breaker whose pause is over; an `early` one at any time.
    pub(super) fn probe(&self, early: bool) -> Option<BreakerPermit> {
        let mut state = self.state.lock();
        let (permit, change) = state.breaker.probe(self.clock.now(), early)?;
        self.changed(&mut state, change);
        Some(permit)
    }

    /// Notes the outcome of a call. Returns true if that opened the breaker.
    #[inline]
    pub(super) fn note<T>(&self, permit: BreakerPermit, outcome: &Result<T>, had_time: bool) -> bool {
        match outcome {
            Ok(_) if !self.failing.load(Ordering::Relaxed) && self.is_closed() => false,
            Ok(_) => self.succeeded(permit),
            Err(error) => self.note_error(permit, error, had_time),
        }
    }

    #[cold]
    fn note_error(&self, permit: BreakerPermit, error: &Error, had_time: bool) -> bool {
        match error.kind() {
            ErrorKind::Unreachable => self.failed(permit, error),
            // A call that had used up most of its time before says nothing about the backend.
            ErrorKind::Timeout if had_time => self.failed(permit, error),
            // It has answered.
            ErrorKind::Refused => self.succeeded(permit),
            _ => self.with(|breaker, _| breaker.cancelled(permit)),
        }
    }

    #[cold]
    fn succeeded(&self, permit: BreakerPermit) -> bool {
        self.with(|breaker, _| breaker.succeeded(permit))
    }

    fn failed(&self, permit: BreakerPermit, error: &Error) -> bool {
        let now = self.clock.now();
        self.with(|breaker, last| {
            *last = Some(error.report());
            breaker.failed(permit, now)
        })
    }

    /// Notes that a probe was given up.
    pub(super) fn cancelled(&self, permit: BreakerPermit) {
        self.with(|breaker, _| breaker.cancelled(permit));
    }

    /// Sets other limits.
    pub(super) fn set_limits(&self, limits: BreakerLimits) {
        self.with(|breaker, _| breaker.set_limits(limits));
    }

    /// Closes the breaker, because nothing is there that could probe the backend.
    pub(super) fn give_way(&self) {
        self.with(|breaker, _| breaker.reset());
    }

    /// Returns the time until a probe is due, by the instance's clock; `None` while it is closed or a probe is on its way.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let due = self.state.lock().breaker.due()?;
        Some(due.since(self.clock.now()))
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state.lock().breaker.state()
    }

    /// Returns the error of a call that is not made.
    #[cold]
    pub(super) fn refusal(&self) -> Error {
        let last = self.state.lock().last.clone();
        let error = Error::new(ErrorKind::Unreachable, "it is not called while its circuit breaker is open");
        match last {
            Some(last) => error.with_context("last failure", last),
            None => error,
        }
    }

    /// Applies a step to the breaker. Returns true if it changed its state.
    fn with(&self, step: impl FnOnce(&mut Breaker, &mut Option<String>) -> Option<BreakerChange>) -> bool {
        let mut state = self.state.lock();
        let CircuitState { breaker, last, .. } = &mut *state;
        let change = step(breaker, last);
        self.changed(&mut state, change)
    }

    fn changed(&self, state: &mut CircuitState, change: Option<BreakerChange>) -> bool {
        // All words are written under the lock, so that they never show a state from before another change.
        self.closed.store(state.breaker.permit().map_or(0, |permit| permit.epoch + 1), Ordering::Release);
        self.due.store(state.breaker.due().map_or(u64::MAX, Moment::as_millis), Ordering::Relaxed);
        self.failing.store(state.breaker.failures() > 0, Ordering::Relaxed);
        let Some(change) = change else { return false };
        let error = if change.to == BreakerState::Open { state.last.clone() } else { None };
        state.unreported.push_back((change, error));
        true
    }

    /// Reports a pending removal that the backend refuses for good.
    pub(super) fn gave_up_removal(&self, error: &Error) {
        if let Some(bus) = &self.bus {
            bus.failed("remove", Some(&self.name), error);
        }
    }

    /// Returns true if changes are to be reported.
    pub(super) fn is_unreported(&self) -> bool {
        !self.state.lock().unreported.is_empty()
    }

    /// Reports the changes since the last time. Only the keeper does that.
    pub(super) fn report(&self) {
        while let Some((change, error)) = self.next_unreported() {
            if let Some(bus) = &self.bus {
                bus.breaker_changed(&self.name, change, error.as_deref());
            }
        }
    }

    fn next_unreported(&self) -> Option<(BreakerChange, Option<String>)> {
        self.state.lock().unreported.pop_front()
    }
}
