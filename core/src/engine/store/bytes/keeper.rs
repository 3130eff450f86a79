//! The keeper of a byte backend: the one task that probes it while its breaker is open and flushes pending removals.
//!
//! Callers do neither and wait for neither: while there is something to do they skip the backend.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Error, ErrorKind, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::circuit::Circuit;
use super::gate::DetachedGate;
use super::known::KnownGroups;
use super::pending::Pending;
use super::{ByteStore, Late};
use crate::breaker::BreakerPermit;

/// The first pause between two attempts at pending removals; each is twice the last one.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts at pending removals, which also ends the pause of an open breaker.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest sleep, whatever is due then: timers of the runtime have an end.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// State of the keeper's task, and its alarm.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    state: Mutex<KeeperState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct KeeperState {
    is_running: bool,
    is_closed: bool,
}

impl Keeper {
    /// Returns true if the caller has to start the task.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        !state.is_closed && !std::mem::replace(&mut state.is_running, true)
    }

    /// Ends the task if there is nothing to do. What comes later finds that it does not run: both happen under the lock.
    fn end(&self, is_idle: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        state.is_running = !state.is_closed && !is_idle();
        !state.is_running
    }

    fn stop(&self) {
        self.state.lock().is_running = false;
    }

    /// Ends the task for good.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// Lets the task look again what is due.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Parts of a store that the task has while it waits: they do not keep the threads of the instance alive.
struct Kept {
    name: Arc<str>,
    gate: DetachedGate,
    circuit: Arc<Circuit>,
    pending: Arc<Pending>,
    late: Late,
    removals: Arc<AtomicU64>,
    known: Option<Arc<KnownGroups>>,
    keeper: Arc<Keeper>,
}

/// Time at which pending removals are tried again.
struct Retry {
    pause: Duration,
    at: Instant,
}

impl ByteStore {
    /// Starts the keeper if there is something to do for it and it does not run. It works even if this process makes no
    /// further call, and ends with the instance.
    pub(super) fn keep(&self) {
        if !self.keeper.begin() {
            return self.keeper.wake();
        }
        let ByteStore { name, gate, pending, late, removals, known, keeper } = self.clone();
        let circuit = Arc::clone(gate.circuit());
        let kept = Kept { name, gate: gate.detached(), circuit, pending, late, removals, known, keeper };
        if let Err(error) = self.gate.io().spawn(kept.run()) {
            self.keeper.stop();
            // Without a task nothing would ever close the breaker.
            self.gate.circuit().give_way();
            tracing::warn!(target: "retainit", backend = &*self.name, error = error.report(), "removals stay pending");
        }
    }

    /// Asks the backend whether it can be reached. The time to connect is not the one that callers wait: once that is
    /// done, it has to answer as fast as they need it.
    async fn probe(&self) -> Result<()> {
        let first = self.gate.probe(LONGEST_PAUSE.max(self.gate.op_timeout())).await?;
        match first > self.gate.op_timeout() {
            true => self.gate.probe(self.gate.op_timeout()).await.map(drop),
            false => Ok(()),
        }
    }
}

impl Kept {
    async fn run(self) {
        let running = KeeperGuard(&self.keeper);
        let mut retry = Retry { pause: Duration::ZERO, at: Instant::now() };
        loop {
            self.circuit.report();
            let is_idle = || self.pending.is_empty() && self.circuit.is_closed() && !self.circuit.is_unreported();
            if self.keeper.end(is_idle) {
                std::mem::forget(running);
                return;
            }
            let wait = self.wait(&retry);
            if !wait.is_zero() {
                drop(timeout(wait.min(LONGEST_SLEEP), self.keeper.wake.notified()).await);
                continue;
            }
            let Some(store) = self.store() else { return };
            if store.attempt(retry.is_due()).await {
                retry = Retry { pause: Duration::ZERO, at: Instant::now() };
            } else {
                retry.put_off();
            }
        }
    }

    /// Returns the time until something is due.
    fn wait(&self, retry: &Retry) -> Duration {
        let probe = self.circuit.due_in();
        let flush = (!self.pending.is_empty()).then(|| retry.at.saturating_duration_since(Instant::now()));
        [probe, flush].into_iter().flatten().min().unwrap_or_default()
    }

    /// Returns the store, unless the instance has ended.
    fn store(&self) -> Option<ByteStore> {
        let Kept { name, gate, pending, late, removals, known, keeper, .. } = self;
        Some(ByteStore {
            name: Arc::clone(name),
            gate: gate.attached()?,
            pending: Arc::clone(pending),
            late: late.clone(),
            removals: Arc::clone(removals),
            known: known.clone(),
            keeper: Arc::clone(keeper),
        })
    }
}

impl ByteStore {
    /// Probes the backend if its breaker is open, and flushes pending removals if it is closed then. Returns false if it
    /// has failed; `early` lets the probe begin before the pause of the breaker is over.
    async fn attempt(&self, early: bool) -> bool {
        let circuit = self.gate.circuit();
        if !circuit.is_closed() {
            let early = early && !self.pending.is_empty();
            let Some(permit) = circuit.probe(early) else { return false };
            circuit.report();
            let probe = ProbeGuard { circuit, permit: Some(permit) };
            let reached = self.probe().await;
            probe.ended(&reached);
            if !circuit.is_closed() {
                return false;
            }
            // What failed before the backend was away says nothing any more.
            self.gate.forget_outcomes();
        }
        self.flush().await.is_ok()
    }
}

impl Retry {
    fn is_due(&self) -> bool {
        self.at <= Instant::now()
    }

    fn put_off(&mut self) {
        self.pause = (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        self.at = Instant::now() + self.pause;
    }
}

/// The task while it runs: dropped before it has ended, it lets another begin.
struct KeeperGuard<'a>(&'a Keeper);

impl Drop for KeeperGuard<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A probe under way: dropped before its outcome is known, it leaves the breaker open and due.
struct ProbeGuard<'a> {
    circuit: &'a Circuit,
    permit: Option<BreakerPermit>,
}

impl ProbeGuard<'_> {
    /// Notes the outcome. Whatever the backend answers, it can be reached; any other error is a failure here, since the
    /// next probe would follow at once.
    fn ended(mut self, outcome: &Result<()>) {
        let Some(permit) = self.permit.take() else { return };
        let unknown = |error: &Error| Err(Error::new(ErrorKind::Unreachable, error.report()));
        match outcome {
            Err(error) if !error.is_unreachable() && error.kind() != ErrorKind::Refused => {
                self.circuit.note::<()>(permit, &unknown(error), true)
            }
            outcome => self.circuit.note(permit, outcome, true),
        };
    }
}

impl Drop for ProbeGuard<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.circuit.cancelled(permit);
        }
    }
}
