//! Lets callers call a byte backend, or go without it.

use std::future::Future;

use retainit_plugin::{Error, ErrorKind, Result};

use super::{ByteStore, Operation, Passage, PendingRemoval};
use crate::engine::Caller;

impl ByteStore {
    /// Returns true while callers may call the backend: its breaker is closed and no removal is pending.
    #[inline]
    pub(super) fn is_available(&self) -> bool {
        let is_available = self.gate.circuit().is_closed() && self.pending.is_empty();
        if !is_available && self.gate.circuit().is_due() {
            self.keeper.wake();
        }
        is_available
    }

    /// Returns the error of a call that is not made.
    #[cold]
    pub(super) fn unavailable(&self) -> Error {
        if !self.gate.circuit().is_closed() {
            return self.gate.circuit().refusal();
        }
        Error::new(ErrorKind::Pending, "it is not called while a removal is pending, which goes first")
    }

    /// Calls the backend for a caller, unless it is not available: nobody waits for that to change.
    pub(super) async fn ask<'a, T, F: Future<Output = Result<T>>>(
        &'a self,
        operation: Operation,
        caller: Caller<'_>,
        call: impl FnOnce(Passage<'a>) -> F,
    ) -> Result<T> {
        if !self.is_available() {
            return Err(self.unavailable());
        }
        let outcome = self.gate.pass(operation, caller.patience, call).await;
        self.ended(operation, &outcome);
        outcome
    }

    /// Calls the backend for a removal. That may be while others are pending: it reads nothing, and its caller asks for an
    /// acknowledgement. One that succeeds does the same pending one too.
    pub(super) async fn ask_removal<'a, T, F: Future<Output = Result<T>>>(
        &'a self,
        caller: Caller<'_>,
        removal: impl FnOnce() -> PendingRemoval,
        call: impl FnOnce(Passage<'a>) -> F,
    ) -> Result<T> {
        let begun = self.pending.begin();
        let outcome = self.gate.pass(Operation::Other, caller.patience, call).await;
        self.ended(Operation::Other, &outcome);
        if outcome.is_ok()
            && let Some(begun) = begun
        {
            self.pending.settle(&removal(), begun);
        }
        outcome
    }

    /// Notes the outcome of a call, which may have opened the breaker.
    #[inline]
    pub(super) fn ended<T>(&self, operation: Operation, outcome: &Result<T>) {
        self.gate.note(operation, outcome);
        if outcome.is_err() && !self.gate.circuit().is_closed() {
            self.keep();
        }
    }
}
