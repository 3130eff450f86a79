//! Flushes pending removals, by one task in the background.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Result, Strength};

use super::{ByteStore, Operation, PendingRemoval};
use crate::engine::groups::namespace_group;
use crate::engine::{Caller, CallerKind};
use crate::runtime::Stopwatch;

/// The pause between two attempts at pending removals. A caller that comes meanwhile does not wait for it.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl ByteStore {
    /// Queues a removal that the backend did not acknowledge. Returns false if a repetition cannot help.
    pub(super) fn queue_removal(&self, error: &Error, removal: PendingRemoval, namespace: &str) -> bool {
        if !error.is_retryable() {
            return false;
        }
        let versioned = self.capabilities().has_versions();
        self.pending
            .add(removal, || versioned.then(|| PendingRemoval::Raise(namespace_group(namespace), Strength::Hard)));
        if let Err(error) = self.retry_in_background() {
            tracing::warn!(target: "retainit", error = error.report(), "removals wait for the next call");
        }
        true
    }

    /// Waits until no removal is pending, for as long as the caller has patience: pending removals go first.
    pub(super) async fn wait_until_flushed(&self, caller: Caller<'_>) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let limit = caller.patience.left()?;
        self.retry_in_background()?;
        let attempted = async {
            self.pending.attempted().await;
            match self.pending.is_empty() {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Backend, "pending removals go first, and it does not answer")),
            }
        };
        let watch = Stopwatch::start();
        let outcome = self.gate.io().within(limit, attempted).await;
        caller.patience.spend(watch.elapsed(), &outcome);
        outcome
    }

    /// Starts the task that flushes pending removals once the backend answers, even if this process makes no further
    /// call. It ends with the instance.
    fn retry_in_background(&self) -> Result<()> {
        if !self.pending.begin_flushing() {
            return Ok(());
        }
        let ByteStore { name, gate, pending, late, removals, known } = self.clone();
        let gate = gate.detached();
        let flush = async move {
            let mut pause = PAUSE;
            loop {
                drop(tokio::time::timeout(pause, pending.wanted()).await);
                pause = (pause * 2).min(LONGEST_PAUSE);
                let Some(gate) = gate.attached() else { return };
                let (name, pending) = (Arc::clone(&name), Arc::clone(&pending));
                let (late, removals, known) = (late.clone(), Arc::clone(&removals), known.clone());
                let store = ByteStore { name, gate, pending, late, removals, known };
                let attempt = store.pending.attempt();
                // The failure was reported when the removal was queued.
                let flushed = store.flush(CallerKind::Async).await;
                let is_over = flushed.is_ok() && store.pending.end_flushing();
                drop(attempt);
                if is_over {
                    return;
                }
            }
        };
        self.gate.io().spawn(flush).inspect_err(|_| self.pending.stop_flushing())
    }

    /// Flushes pending removals until the backend fails.
    async fn flush(&self, caller_kind: CallerKind) -> Result<()> {
        for (removal, number) in self.pending.list() {
            let patience = self.patience();
            let caller = Caller { caller_kind, patience: &patience };
            let gate = &self.gate;
            match &removal {
                PendingRemoval::Remove(key) => {
                    let call = |passage| self.remove_now(caller, passage, key);
                    gate.pass(Operation::Background, &patience, call).await?;
                }
                PendingRemoval::Raise(group, strength) => {
                    let call = |passage| self.raise_now(caller, passage, group.clone(), *strength);
                    gate.pass(Operation::Background, &patience, call).await?;
                }
            }
            self.pending.done(&removal, number);
        }
        Ok(())
    }

    /// Flushes pending removals for the last time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when the backend still does not acknowledge it: it is lost with this process.
    pub(super) async fn flush_finally(&self, caller_kind: CallerKind) -> Result<()> {
        let settled = self.flush(caller_kind).await;
        match self.pending.abandon() {
            0 => Ok(()),
            removal => {
                let (removals, end, their) = match removal {
                    1 => ("removal was", "ends", "its"),
                    _ => ("removals were", "end", "their"),
                };
                let text = format!(
                    "{removal} {removals} never acknowledged and {end} with this process: {their} ttl is the bound"
                );
                Err(settled.err().map_or_else(
                    || Error::new(ErrorKind::Pending, text.clone()),
                    |error| Error::new(ErrorKind::Pending, text.clone()).with_source(error),
                ))
            }
        }
    }
}
