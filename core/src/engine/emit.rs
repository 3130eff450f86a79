//! Emits the engine's events. Failed cache operations are reported here and nowhere else.

use retainit_plugin::{Error, ErrorKind, EventKind, EventParts, Result};

use super::{Function, Plan};
use crate::breaker::{BreakerChange, BreakerState};
use crate::event::{Bus, held_back};
use crate::key::KeyBuf;
use crate::meta::Evicted;
use crate::runtime::{Stopwatch, quietly};
use crate::stats::{Counter, count};
use crate::value::is_altered;

impl Plan {
    /// Emits an event of this function on its backend, with the key if there is one. Without a subscriber nothing is
    /// made.
    #[inline]
    pub(crate) fn emit(&self, kind: EventKind, key: Option<&KeyBuf>, fill: impl FnOnce(&mut EventParts)) {
        let function = &*self.function;
        function.bus.emit(kind, |parts| {
            function.describe(parts, key.map(KeyBuf::text).as_deref());
            parts.backend = Some(self.store.name.clone());
            fill(parts);
        });
    }

    /// Counts a hit and emits its event; `watch` was started when the call began to look.
    pub(crate) fn hit(&self, key: &KeyBuf, watch: Option<&Stopwatch>) {
        count(self.site, Counter::Hit);
        self.emit(EventKind::CacheHit, Some(key), |parts| parts.duration = watch.map(Stopwatch::elapsed));
    }

    /// Reports a failed cache operation of this function.
    pub(crate) fn failed(&self, operation: &'static str, error: &Error) {
        self.function.failed(operation, &self.store.name, error);
    }

    /// Reports a failed operation because of which a call runs uncached, or its result is not stored.
    pub(crate) fn not_cached(&self, operation: &'static str, error: &Error) {
        if operation == "read" {
            self.store.note_failed_read(error, &**self.instance.clock());
        }
        self.function.not_cached(operation, &self.store.name, error);
    }

    /// Reports a hit that differs from the function's result.
    pub(crate) fn mismatched(&self, key: &KeyBuf, difference: &'static str) {
        const KIND: EventKind = EventKind::VerifyMismatch;
        let (bus, function, backend) = (&self.function.bus, self.function.id.as_str(), &*self.store.name);
        let held = bus.pass(KIND, Some(function), "verify", Some(backend));
        if let Some(held) = held.filter(|_| !bus.writes_log()) {
            let detail = held_back(held);
            quietly(|| tracing::warn!(target: "retainit", function, backend, difference, detail, "verify_mismatch"));
        }
        bus.emit_sparse(KIND, held, |parts| {
            self.function.describe(parts, Some(&key.text()));
            parts.backend = Some(self.store.name.clone());
            parts.error = Some(difference.into());
        });
    }

    /// Starts the stopwatch of a hit, if hits have a subscriber.
    pub(crate) fn watch_hit(&self) -> Option<Stopwatch> {
        self.function.bus.is_subscribed(EventKind::CacheHit).then(Stopwatch::start)
    }

    /// Counts a miss and emits its event.
    pub(crate) fn missed(&self, key: &KeyBuf) {
        count(self.site, Counter::Miss);
        self.emit(EventKind::CacheMiss, Some(key), |_| {});
    }
}

/// Sets the outcome of a removal in its event.
pub(crate) trait RemovalOutcome {
    /// Sets the number of removed entries, or the error of a backend that has not acknowledged yet.
    fn outcome(&mut self, evicted: Result<Evicted, &Error>);
}

impl RemovalOutcome for EventParts {
    fn outcome(&mut self, evicted: Result<Evicted, &Error>) {
        match evicted {
            Ok(evicted) => self.count = evicted.count(),
            Err(error) => self.error = Some(error.report().into()),
        }
    }
}

impl Function {
    /// Sets the function of an event, and the key as this instance shows it.
    pub(crate) fn describe(&self, parts: &mut EventParts, key: Option<&str>) {
        parts.function = Some(self.id.as_str().into());
        parts.key = key.filter(|_| !self.pii).map(|key| self.bus.key(&self.id, key));
    }

    /// Reports a failed cache operation, which never becomes the caller's failure.
    pub(crate) fn failed(&self, operation: &'static str, backend: &str, error: &Error) {
        // A value that does not come back unchanged is counted and reported where it was written.
        if !is_altered(error) {
            self.count_failure(operation);
            self.record(EventKind::CacheError, operation, backend, error);
        }
    }

    /// Reports a failure because of which a call runs uncached, or its result is not stored. Without a log it is
    /// printed to standard error.
    pub(crate) fn not_cached(&self, operation: &'static str, backend: &str, error: &Error) {
        // The problem of a plan is noted with the plan, and may exist only under an override.
        if operation != "plan" {
            self.note_problem(error.kind(), self.shown(error));
        }
        if !is_altered(error) {
            self.count_failure(operation);
            self.report_uncached(operation, backend, error);
        }
    }

    /// Reports a failed operation that is counted already.
    pub(crate) fn report_uncached(&self, operation: &'static str, backend: &str, error: &Error) {
        let text = self.record(EventKind::CacheError, operation, backend, error);
        // After `close()` running uncached is what the program asked for.
        if error.kind() != ErrorKind::Closed {
            self.bus.print_uncached(Some(&self.id), operation, &text);
        }
    }

    /// Reports a possible attack, such as a tampered or oversized entry. It counts as a failed operation.
    pub(crate) fn security(&self, operation: &'static str, backend: &str, error: &Error) {
        self.count_failure(operation);
        self.record(EventKind::Security, operation, backend, error);
    }

    fn record(&self, kind: EventKind, operation: &'static str, backend: &str, error: &Error) -> String {
        let text = self.shown(error);
        self.bus.record(kind, Some(&self.id), operation, Some(backend), &text);
        text
    }

    /// Returns the text of an error; only its kind for personal data, which the text may quote.
    fn shown(&self, error: &Error) -> String {
        if self.pii { error.kind().to_string() } else { error.report() }
    }
}

impl Bus {
    /// Reports a failed operation that belongs to no function.
    pub(crate) fn failed(&self, operation: &'static str, backend: Option<&str>, error: &Error) {
        self.count_failure(operation);
        self.record(EventKind::CacheError, None, operation, backend, &error.report());
    }

    /// Reports a failure because of which a call runs uncached, see [`Function::not_cached`].
    pub(crate) fn not_cached(&self, operation: &'static str, error: &Error) {
        self.failed(operation, None, error);
        self.print_uncached(None, operation, &error.report());
    }

    /// Records one failure: the engine logs it unless a subscriber writes the log. Equal failures are recorded once a
    /// minute, with their number.
    fn record(
        &self,
        kind: EventKind,
        function: Option<&str>,
        operation: &'static str,
        backend: Option<&str>,
        error: &str,
    ) {
        let held = self.pass(kind, function, operation, backend);
        if let Some(held) = held.filter(|_| !self.writes_log()) {
            let detail = held_back(held);
            quietly(|| tracing::warn!(target: "retainit", function, operation, backend, error, detail, "{kind}"));
        }
        self.emit_sparse(kind, held, |parts| {
            parts.function = function.map(Into::into);
            parts.operation = Some(operation.into());
            parts.backend = backend.map(Into::into);
            parts.error = Some(error.into());
        });
    }

    /// Reports a backend that is nine tenths full.
    pub(crate) fn near_capacity(&self, store: &str, used: u64, capacity: u64) {
        if !self.writes_log() {
            quietly(|| tracing::warn!(target: "retainit", backend = store, used, capacity, "near_capacity"));
        }
        self.emit(EventKind::NearCapacity, |parts| {
            parts.backend = Some(store.into());
            parts.count = Some(used);
            parts.detail = Some(format!("{used} of {capacity}").into());
        });
    }

    /// Reports that the breaker of a backend changed its state, with the error that opened it.
    pub(crate) fn breaker_changed(&self, store: &str, change: BreakerChange, error: Option<&str>) {
        let (from, to) = (change.from.as_str(), change.to.as_str());
        if !self.writes_log() {
            quietly(|| match change.to {
                BreakerState::Open => {
                    tracing::warn!(target: "retainit", backend = store, from, to, error, "breaker_change")
                }
                _ => tracing::info!(target: "retainit", backend = store, from, to, "breaker_change"),
            });
        }
        self.emit(EventKind::BreakerChange, |parts| {
            parts.backend = Some(store.into());
            parts.operation = Some(to.into());
            parts.detail = Some(format!("{from} -> {to}").into());
            parts.error = error.map(Into::into);
        });
    }

    /// Reports that the configuration was loaded, reloaded or changed, with the changed settings.
    pub(crate) fn config_changed(&self, operation: &'static str, detail: &str) {
        self.emit(EventKind::ConfigChange, |parts| {
            parts.operation = Some(operation.into());
            parts.detail = Some(detail.into()).filter(|_| !detail.is_empty());
        });
    }

    /// Reports an invalidation of more than one key. `what` is the tag or pattern.
    pub(crate) fn cleared(&self, operation: &'static str, what: Option<&str>, evicted: Result<Evicted, &Error>) {
        self.emit(EventKind::CacheClear, |parts| {
            parts.operation = Some(operation.into());
            parts.key = what.map(|what| self.key("", what));
            parts.outcome(evicted);
        });
    }
}
