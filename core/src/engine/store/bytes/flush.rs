//! Flushes pending removals, in batches.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, LocalBackend, Result, Strength};

use super::{ByteStore, Operation, Passage, PendingRemoval, Side};
use crate::engine::groups::namespace_group;
use crate::engine::{Caller, CallerKind, Patience};

/// The most keys that are removed at once.
const BATCH: usize = 512;

/// The time for a batch: nobody waits for it.
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);

impl ByteStore {
    /// Queues a removal that the backend did not acknowledge. Returns false if a repetition cannot help.
    pub(super) fn queue_removal(&self, error: &Error, removal: PendingRemoval, namespace: &str) -> bool {
        if !error.is_retryable() {
            return false;
        }
        // Loads under way that have no fence would be stored behind the removal.
        self.removed();
        let versioned = self.capabilities().has_versions();
        self.pending
            .add(removal, || versioned.then(|| PendingRemoval::Raise(namespace_group(namespace), Strength::Hard)));
        self.keep();
        true
    }

    /// Flushes pending removals until the backend fails.
    pub(super) async fn flush(&self) -> Result<()> {
        loop {
            let batch = self.pending.batch(BATCH);
            if batch.is_empty() {
                return Ok(());
            }
            let (keys, rest): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|(removal, _)| matches!(removal, PendingRemoval::Remove(_)));
            let several: Arc<[String]> = keys.iter().filter_map(|(removal, _)| removal.key().cloned()).collect();
            match self.flush_keys(several).await {
                Ok(()) => keys.iter().for_each(|(removal, number)| self.pending.done(removal, *number)),
                // One key that is refused must not hold up the others.
                Err(error) if error.is_unreachable() => return Err(error),
                Err(_) => self.flush_each(keys).await?,
            }
            self.flush_each(rest).await?;
        }
    }

    /// Flushes removals one by one. What is refused for good is given up, and reported.
    async fn flush_each(&self, removals: Vec<(PendingRemoval, u64)>) -> Result<()> {
        let mut first = None;
        for (removal, number) in removals {
            let flushed = match &removal {
                PendingRemoval::Remove(key) => self.flush_keys([key.clone()].into()).await,
                PendingRemoval::Raise(group, strength) => {
                    let patience = self.batch_patience();
                    let caller = Caller { caller_kind: CallerKind::Async, patience: &patience };
                    let call = |passage| self.raise_now(caller, passage, group.clone(), *strength);
                    self.gate.pass(Operation::Background, &patience, call).await.map(drop)
                }
            };
            match flushed {
                Ok(()) => self.pending.done(&removal, number),
                Err(error) if error.is_unreachable() => return Err(error),
                Err(error) if error.is_retryable() => first = first.or(Some(error)),
                Err(error) => {
                    self.pending.done(&removal, number);
                    self.gate.circuit().gave_up_removal(&error);
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn flush_keys(&self, keys: Arc<[String]>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let was_late = self.is_late();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let remove = async move { backend.remove_many(&borrowed(&keys)).await };
                passage.detached(remove).await
            }
            Side::Local(backend) => {
                let remove = move |backend: &dyn LocalBackend, _: &_| backend.remove_many(&borrowed(&keys));
                passage.there(backend, remove).await
            }
        };
        let removed = self.gate.pass(Operation::Background, &self.batch_patience(), call).await;
        // The removals were counted when they were queued: loads that began since then have found no backend to store in.
        self.unless_late(removed.map(drop), was_late)
    }

    fn batch_patience(&self) -> Patience {
        Patience::new(BATCH_TIMEOUT.max(self.gate.op_timeout()))
    }

    /// Flushes pending removals for the last time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when the backend still does not acknowledge it: it is lost with this process.
    pub(super) async fn flush_finally(&self) -> Result<()> {
        self.keeper.close();
        if self.pending.is_empty() {
            return Ok(());
        }
        // Whatever its breaker says: there is no later.
        self.gate.circuit().give_way();
        let settled = self.flush().await;
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

fn borrowed(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}
