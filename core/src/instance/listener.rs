//! Turns reports of backends into events and counters of their instance.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Error, EventKind, Listener, Moment, Removal, RemovalCause};

use super::Functions;
use crate::engine::Function;
use crate::event::Bus;
use crate::key::{arguments_text, text};
use crate::runtime::quietly;
use crate::stats::{Counter, count};

/// Receives the reports of a backend for its instance.
#[derive(Debug)]
pub(crate) struct BackendListener {
    backend: Arc<str>,
    bus: Arc<Bus>,
    functions: Arc<Functions>,
    clock: Arc<dyn Clock>,
    full_again_at: Mutex<Option<Moment>>,
}

/// The shortest time between two reports that a backend is nine tenths full: usage may hover there.
const FULL_EVERY: Duration = Duration::from_secs(60);

impl BackendListener {
    pub(crate) fn new(
        backend: &Arc<str>,
        bus: &Arc<Bus>,
        functions: &Arc<Functions>,
        clock: &Arc<dyn Clock>,
    ) -> BackendListener {
        BackendListener {
            backend: Arc::clone(backend),
            bus: Arc::clone(bus),
            functions: Arc::clone(functions),
            clock: Arc::clone(clock),
            full_again_at: Mutex::default(),
        }
    }

    fn tell_evicted(&self, function: Option<&Function>, key: &str) {
        self.bus.emit(EventKind::CacheEvict, |parts| {
            if let Some(function) = function {
                function.describe(parts, Some(key));
            }
            parts.backend = Some(Arc::clone(&self.backend));
        });
    }
}

impl Listener for BackendListener {
    fn removed(&self, removal: Removal<'_>) {
        count(removal.entry.site, Counter::Left);
        if let Some(function) = self.functions.listening(removal.entry.site) {
            function.removed(&self.backend, &removal);
        }
        if removal.cause != RemovalCause::Evicted {
            return;
        }
        let entry = removal.entry;
        count(entry.site, Counter::Evicted);
        if self.bus.is_subscribed(EventKind::CacheEvict)
            && let Some(function) = self.functions.by_number(entry.site)
        {
            self.tell_evicted(Some(&function), &arguments_text(function.keys, entry.key));
        }
    }

    fn evicted(&self, key: &str) {
        // `r1:d:{namespace}:{scope}:{id}@{version}:{args}`; only the last part may contain a colon.
        let mut parts = key.splitn(6, ':').skip(4);
        let (Some(function), Some(args)) = (parts.next(), parts.next()) else { return };
        let named = function.rsplit_once('@').map(|(id, version)| (text::unescape(id), version));
        let function = named.and_then(|(id, version)| self.functions.by_id(&id, version));
        if let Some(function) = &function {
            count(function.site.get(), Counter::Evicted);
        }
        self.tell_evicted(function.as_deref(), args);
    }

    fn near_capacity(&self, used: u64, capacity: u64) {
        let now = self.clock.now();
        let mut again_at = self.full_again_at.lock();
        if again_at.is_some_and(|again_at| now < again_at) {
            return;
        }
        *again_at = Some(now.after(FULL_EVERY));
        drop(again_at);
        self.bus.near_capacity(&self.backend, used, capacity);
    }

    fn advised(&self, advice: &str) {
        quietly(|| tracing::warn!(target: "retainit::advisor", backend = &*self.backend, "{advice}"));
        self.bus.note(format!("the backend `{}`: {advice}", self.backend));
    }

    fn failed(&self, operation: &'static str, error: &Error) {
        self.bus.failed(operation, Some(&self.backend), error);
    }
}
