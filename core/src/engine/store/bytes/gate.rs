//! Passes every call to a byte backend: limits its time, measures it and counts its outcome.
//!
//! A [`Side`] is reachable only through a [`Passage`], which [`Gate::pass`] and [`Gate::pass_at_once`] create. While the
//! circuit breaker is open they refuse before there is one; [`Gate::ended`] tells it successes and failures. The caller
//! reports the failure of a function, since only the caller knows the function.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use retainit_plugin::{
    Backend, CancellationToken, Capabilities, Clock, Error, ErrorKind, LocalBackend, Moment, Result, SystemClock,
    caught,
};

use super::circuit::Circuit;
use super::given_up::CancelOnDrop;
use crate::breaker::BreakerPermit;
use crate::engine::{Caller, CallerKind, Outcomes, Patience};
use crate::runtime::{Io, Stopwatch};

/// A byte backend behind its gate.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    side: Side,
    io: Arc<Io>,
    op_timeout: Duration,
    /// Time of the last timeout of a caller's operation, in milliseconds of real time; 0 if none.
    timed_out: Arc<AtomicU64>,
    outcomes: Arc<Outcomes>,
    clock: Arc<dyn Clock>,
    circuit: Arc<Circuit>,
}

/// A byte backend, async or blocking.
#[derive(Clone, Debug)]
pub(super) enum Side {
    Remote(Arc<dyn Backend>),
    Local(Arc<dyn LocalBackend>),
}

/// Kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A read of a call.
    Read,
    /// A store of a call, with the reads that belong to it.
    Write,
    /// Anything else that a caller waits for.
    Other,
    /// An operation without a waiting caller, or of the instance itself.
    Background,
    /// An operation whatever the breaker says: its probe, or the end of the backend.
    Unguarded,
}

impl Gate {
    pub(super) fn new(
        side: Side,
        io: &Arc<Io>,
        op_timeout: Duration,
        outcomes: Arc<Outcomes>,
        clock: Arc<dyn Clock>,
        circuit: Circuit,
    ) -> Gate {
        let (io, circuit) = (Arc::clone(io), Arc::new(circuit));
        Gate { side, io, op_timeout, timed_out: Arc::default(), outcomes, clock, circuit }
    }

    pub(super) fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        match &self.side {
            Side::Remote(backend) => backend.capabilities(),
            Side::Local(backend) => backend.capabilities(),
        }
    }

    /// Returns true for a blocking backend.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.side, Side::Local(_))
    }

    pub(super) fn op_timeout(&self) -> Duration {
        self.op_timeout
    }

    pub(super) fn io(&self) -> &Arc<Io> {
        &self.io
    }

    // ------------------------------------------------------------------------------------------------------- passing

    /// Calls the backend, for as long as `patience` lasts.
    ///
    /// # Errors
    ///
    /// Those of the call, and [`ErrorKind::Unreachable`] without a call while the breaker is not closed.
    pub(super) async fn pass<'a, T, F: Future<Output = Result<T>>>(
        &'a self,
        operation: Operation,
        patience: &Patience,
        call: impl FnOnce(Passage<'a>) -> F,
    ) -> Result<T> {
        let (permit, limit) = (self.permit(operation)?, patience.left()?);
        let watch = Stopwatch::start();
        let outcome = call(Passage { gate: self, limit }).await;
        self.ended(operation, patience, (limit, watch), permit, &outcome);
        outcome
    }

    /// Calls a blocking backend on this thread, without a future.
    ///
    /// # Errors
    ///
    /// Those of the backend, and [`ErrorKind::Unsupported`] for one that has to be awaited.
    pub(super) fn pass_at_once<T>(
        &self,
        operation: Operation,
        patience: &Patience,
        call: impl FnOnce(&dyn LocalBackend, Duration) -> Result<T>,
    ) -> Result<T> {
        let Side::Local(backend) = &self.side else {
            return Err(Error::new(ErrorKind::Unsupported, "this backend has to be awaited"));
        };
        let (permit, limit) = (self.permit(operation)?, patience.left()?);
        let watch = Stopwatch::start();
        let outcome = caught(ErrorKind::Backend, "the backend", || call(backend.as_ref(), limit)).flatten();
        self.ended(operation, patience, (limit, watch), permit, &outcome);
        outcome
    }

    fn permit(&self, operation: Operation) -> Result<Option<BreakerPermit>> {
        match operation {
            Operation::Unguarded => Ok(None),
            _ => self.circuit.permit().map(Some),
        }
    }

    /// Notes the outcome of a call. A call whose caller was dropped is not noted: its outcome is unknown.
    fn ended<T>(
        &self,
        operation: Operation,
        patience: &Patience,
        (limit, watch): (Duration, Stopwatch),
        permit: Option<BreakerPermit>,
        outcome: &Result<T>,
    ) {
        patience.spend(watch.elapsed(), outcome);
        let timed_out = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout);
        if timed_out && !matches!(operation, Operation::Background | Operation::Unguarded) {
            self.timed_out.store(SystemClock.now().as_millis(), Ordering::Relaxed);
        }
        if let Some(permit) = permit {
            // With less than half of its time left, a call that times out shows that the calls before it were slow.
            self.circuit.note(permit, outcome, limit >= self.op_timeout / 2);
        }
    }

    /// Asks the backend whether it can be reached, whatever the breaker says. Returns the time that it took.
    pub(super) async fn probe(&self, limit: Duration) -> Result<Duration> {
        let watch = Stopwatch::start();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                passage.detached(async move { backend.health().await }).await
            }
            Side::Local(backend) => passage.there(backend, |backend, _| backend.health()).await,
        };
        self.pass(Operation::Unguarded, &Patience::new(limit), call).await?;
        Ok(watch.elapsed())
    }

    /// Counts the outcome of an operation of a call, for `health()`.
    pub(super) fn note<T>(&self, operation: Operation, outcome: &Result<T>) {
        match operation {
            Operation::Read => self.outcomes.read.note(outcome, &*self.clock),
            Operation::Write => self.outcomes.write.note(outcome, &*self.clock),
            Operation::Other | Operation::Background | Operation::Unguarded => {}
        }
    }

    /// Forgets the last failures of calls.
    pub(super) fn forget_outcomes(&self) {
        self.outcomes.read.succeeded();
        self.outcomes.write.succeeded();
    }

    // ------------------------------------------------------------------------------------------------------ patience

    /// Returns the patience of a call that begins now.
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.op_timeout)
    }

    /// Returns the patience of an attribute's operation. After a timeout there is none for `op_timeout`, since several
    /// attributes come one after the other; their removals are pending then.
    pub(super) fn patience_of_attribute(&self) -> Patience {
        let timed_out = self.timed_out.load(Ordering::Relaxed);
        let since = || SystemClock.now().since(Moment::from_millis(timed_out));
        let is_recent = timed_out > 0 && since() < self.op_timeout;
        if is_recent { Patience::used_up(self.op_timeout) } else { self.patience() }
    }

    // ------------------------------------------------------------------------------------------------- in background

    /// Returns this gate for a task in the background, without holding the instance's threads.
    pub(super) fn detached(self) -> DetachedGate {
        DetachedGate { io: Arc::downgrade(&self.io), gate: Gate { io: Arc::default(), ..self } }
    }
}

/// A gate that does not hold the threads of its instance.
#[derive(Debug)]
pub(super) struct DetachedGate {
    gate: Gate,
    io: Weak<Io>,
}

impl DetachedGate {
    /// Returns the gate, unless the instance has ended.
    pub(super) fn attached(&self) -> Option<Gate> {
        Some(Gate { io: self.io.upgrade()?, ..self.gate.clone() })
    }
}

/// Permission to call the backend once, for at most `limit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'a> {
    gate: &'a Gate,
    pub(super) limit: Duration,
}

impl<'a> Passage<'a> {
    pub(super) fn side(&self) -> &'a Side {
        &self.gate.side
    }

    /// Awaits an operation in the caller's task.
    pub(super) async fn within<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        self.gate.io.within(self.limit, operation).await
    }

    /// Awaits an operation that goes on when its caller stops waiting.
    pub(super) async fn detached<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.gate.io.detached(self.limit, operation).await
    }

    /// Calls a blocking backend on the caller's thread.
    pub(super) fn here<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        caught(ErrorKind::Backend, "the backend", call)?
    }

    /// Calls a blocking backend on a thread of the pool.
    pub(super) async fn there<T: Send + 'static>(
        &self,
        backend: &Arc<dyn LocalBackend>,
        call: impl FnOnce(&dyn LocalBackend, &CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (backend, token) = (Arc::clone(backend), CancellationToken::new());
        let of_the_thread = token.clone();
        let _given_up = CancelOnDrop(token);
        let call = move || {
            // The caller may have left while the call waited for a thread.
            if of_the_thread.is_cancelled() {
                return Err(Error::new(ErrorKind::Timeout, "its caller has given it up"));
            }
            call(backend.as_ref(), &of_the_thread)
        };
        let io = &self.gate.io;
        io.within(self.limit, io.off_thread(call)).await
    }

    /// Calls a blocking backend on the caller's thread or the pool, for an operation without a limit of its own.
    pub(super) async fn locally<T: Send + 'static>(
        &self,
        backend: &Arc<dyn LocalBackend>,
        caller: Caller<'_>,
        call: impl FnOnce(&dyn LocalBackend) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match caller.caller_kind {
            CallerKind::Blocking => {
                caller.patience.left_for_all_of_it()?;
                self.here(|| call(backend.as_ref()))
            }
            CallerKind::Async => self.there(backend, |backend, _| call(backend)).await,
        }
    }
}
