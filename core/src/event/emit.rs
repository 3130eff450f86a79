//! What the engine calls to tell something, and the one place where a failed cache operation is told.

use retainit_plugin::{EventKind, EventParts};

use super::Bus;
use crate::engine::{Function, Plan};
use crate::key::KeyBuf;
use crate::meta::Evicted;
use crate::runtime::{Stopwatch, quietly};
use crate::stats::{Count, count};
use crate::{Error, Result};

impl Plan {
    /// Tells of this function on its backend, with the key where there is one. Nothing is made when nobody listens.
    #[inline]
    pub(crate) fn emit(&self, kind: EventKind, key: Option<&KeyBuf>, fill: impl FnOnce(&mut EventParts)) {
        let function = &*self.function;
        function.bus.emit(kind, |parts| {
            function.describe(parts, key.map(KeyBuf::text).as_deref());
            parts.backend = Some(self.store.name.clone());
            fill(parts);
        });
    }

    /// Counts a call that was answered from the cache, and tells of it; `watch` was started when it began to look.
    pub(crate) fn hit(&self, key: &KeyBuf, watch: Option<&Stopwatch>) {
        count(self.site, Count::Hit);
        self.emit(EventKind::CacheHit, Some(key), |parts| parts.duration = watch.map(Stopwatch::elapsed));
    }

    /// Tells that a cache operation of this function failed.
    pub(crate) fn failed(&self, operation: &'static str, error: &Error) {
        self.function.failed(operation, &self.store.name, error);
    }

    /// Starts the watch of a hit, if anybody hears of those.
    pub(crate) fn watch_hit(&self) -> Option<Stopwatch> {
        self.function.bus.hears(EventKind::CacheHit).then(Stopwatch::start)
    }

    /// Counts a call that found nothing it could use, and tells of it.
    pub(crate) fn missed(&self, key: &KeyBuf) {
        count(self.site, Count::Miss);
        self.emit(EventKind::CacheMiss, Some(key), |_| {});
    }
}

/// What came of a removal, as its event says it.
pub(crate) trait Outcome {
    /// How many were removed, or why a backend has not done so yet.
    fn outcome(&mut self, evicted: Result<Evicted, &Error>);
}

impl Outcome for EventParts {
    fn outcome(&mut self, evicted: Result<Evicted, &Error>) {
        match evicted {
            Ok(evicted) => self.count = evicted.count(),
            Err(error) => self.error = Some(error.to_string().into()),
        }
    }
}

impl Function {
    /// Names the function, and the key as this instance shows it.
    pub(crate) fn describe(&self, parts: &mut EventParts, key: Option<&str>) {
        parts.function = Some(self.id.as_str().into());
        parts.key = key.filter(|_| !self.pii).map(|key| self.bus.key(&self.id, key));
    }

    /// Tells that a cache operation failed: that never becomes the caller's failure.
    pub(crate) fn failed(&self, operation: &'static str, backend: &str, error: &Error) {
        self.told(EventKind::CacheError, operation, backend, error);
    }

    /// Tells of what may be an attack, such as a damaged or oversized entry. It counts as a failed operation.
    pub(crate) fn security(&self, operation: &'static str, backend: &str, error: &Error) {
        self.told(EventKind::Security, operation, backend, error);
    }

    fn told(&self, kind: EventKind, operation: &'static str, backend: &str, error: &Error) {
        self.count_failure(operation);
        // An error's text may quote what was in an argument or value.
        let text = if self.pii { error.kind().to_string() } else { error.to_string() };
        self.bus.record(kind, Some(&self.id), operation, Some(backend), &text);
    }
}

impl Bus {
    /// Tells that an operation failed that belongs to no function.
    pub(crate) fn failed(&self, operation: &'static str, backend: Option<&str>, error: &Error) {
        self.count_failure(operation);
        self.record(EventKind::CacheError, None, operation, backend, &error.to_string());
    }

    /// One record of one failure: in the log by the engine, unless a subscriber writes it there.
    fn record(
        &self,
        kind: EventKind,
        function: Option<&str>,
        operation: &'static str,
        backend: Option<&str>,
        error: &str,
    ) {
        if !self.writes_log() {
            quietly(|| tracing::warn!(target: "retainit", function, operation, backend, error, "{kind}"));
        }
        self.emit(kind, |parts| {
            parts.function = function.map(Into::into);
            parts.operation = Some(operation.into());
            parts.backend = backend.map(Into::into);
            parts.error = Some(error.into());
        });
    }

    /// Tells that a backend has filled to nine tenths.
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

    /// Tells that the configuration was loaded, reloaded or changed, and what of it.
    pub(crate) fn config_changed(&self, operation: &'static str, detail: &str) {
        self.emit(EventKind::ConfigChange, |parts| {
            parts.operation = Some(operation.into());
            parts.detail = Some(detail.into()).filter(|_| !detail.is_empty());
        });
    }

    /// Tells of an invalidation of more than one key. `what` is the tag or pattern.
    pub(crate) fn cleared(&self, operation: &'static str, what: Option<&str>, evicted: Result<Evicted, &Error>) {
        self.emit(EventKind::CacheClear, |parts| {
            parts.operation = Some(operation.into());
            parts.key = what.map(|what| self.key("", what));
            parts.outcome(evicted);
        });
    }
}
