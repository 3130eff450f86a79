//! Checks the health of a byte backend, and ends it.

use std::sync::Arc;

use retainit_plugin::{LocalBackend, Result};

use super::{ByteStore, Operation, Passage, Side};
use crate::breaker::{BreakerLimits, BreakerState};
use crate::engine::{Caller, CallerKind};

impl ByteStore {
    /// Checks that the path of a blocking backend can be used.
    pub(in crate::engine::store) fn prepare(&self) -> Result<()> {
        if !self.gate.is_local() {
            return Ok(());
        }
        let prepared = self.gate.pass_at_once(Operation::Background, &self.patience(), |backend, _| backend.prepare());
        self.ended(Operation::Background, &prepared);
        prepared
    }

    /// Returns the number of entries of a blocking backend that knows it; else, and where it fails, zero.
    pub(in crate::engine::store) fn len(&self) -> u64 {
        if !self.gate.is_local() {
            return 0;
        }
        let counted = self.gate.pass_at_once(Operation::Background, &self.patience(), |backend, _| backend.count());
        self.ended(Operation::Background, &counted);
        counted.ok().flatten().unwrap_or_default()
    }

    /// Sets the limits of the breaker.
    pub(in crate::engine::store) fn set_limits(&self, limits: BreakerLimits) {
        self.gate.circuit().set_limits(limits);
        if !self.gate.circuit().is_closed() || self.gate.circuit().is_unreported() {
            self.keep();
        }
    }

    /// Returns the state of the breaker and the number of pending removals.
    pub(in crate::engine::store) fn availability(&self) -> (BreakerState, usize) {
        (self.gate.circuit().state(), self.pending.len())
    }

    /// Checks that the backend answers, stores an entry under `trial` and returns it, all within the limit of one
    /// operation. For that limit even a sync caller does not call on its own thread. An operation that has begun ends
    /// in the background.
    pub(in crate::engine::store) async fn health(&self, trial: String) -> Result<()> {
        let patience = self.patience();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let ask = async move {
                    backend.health().await?;
                    backend.try_out(&trial).await
                };
                passage.detached(ask).await
            }
            Side::Local(backend) => {
                let ask = move |backend: &dyn LocalBackend, _: &_| {
                    backend.health()?;
                    backend.try_out(&trial)
                };
                passage.there(backend, ask).await
            }
        };
        // Not counted with the operations of calls: a trial that succeeds would hide calls that fail.
        self.ask(Operation::Other, Caller { caller_kind: CallerKind::Async, patience: &patience }, call).await
    }

    pub(in crate::engine::store) async fn close(&self, caller_kind: CallerKind) -> Result<()> {
        // First, for the backend cannot be asked any more once it is closed.
        let settled = self.flush_finally().await;
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => passage.within(backend.close()).await,
            Side::Local(backend) if caller_kind == CallerKind::Blocking => passage.here(|| backend.close()),
            Side::Local(backend) => passage.there(backend, |backend, _| backend.close()).await,
        };
        let closed = self.gate.pass(Operation::Unguarded, &self.patience(), call).await;
        settled.and(closed)
    }
}
