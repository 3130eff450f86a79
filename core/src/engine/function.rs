use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Error, ErrorKind, TagEpoch};
use tokio::sync::Semaphore;

use super::LastFailure;
use super::removals::RemovalListeners;
use crate::event::Bus;
use crate::key::KeyKind;
use crate::runtime::Rarely;
use crate::stats::{Counter, SiteNumber, Stats};
use crate::value::ReadBack;

/// A retained function or a named cache, as one instance knows it.
#[derive(Debug)]
pub(crate) struct Function {
    /// Number that its entries carry.
    pub(crate) site: SiteNumber,
    /// Id of the function in keys, patterns, files and events.
    pub(crate) id: String,
    /// Reason why a byte backend cannot hold it, if its name is not stable and unique in the source.
    pub(crate) unstable: Option<&'static str>,
    pub(crate) version: u32,
    /// Kind of its keys, by which their bytes are read.
    pub(crate) keys: KeyKind,
    /// True if its arguments are personal data: its keys and the texts of its errors appear in no event.
    pub(crate) pii: bool,
    /// Bus of its events.
    pub(crate) bus: Arc<Bus>,
    /// Epoch of its last clear.
    pub(crate) tag_epoch: Arc<TagEpoch>,
    pub(crate) counters: Counters,
    /// Results of reading values back after they were written.
    pub(crate) read_back: ReadBack,
    /// Limits reports of entries that this program cannot read.
    pub(crate) unknown: Rarely,
    /// Number of loads that have lost the lead and go on.
    pub(crate) abandoned: Arc<AtomicUsize>,
    /// Closures of caches that receive removed entries.
    pub(crate) removal_listeners: RemovalListeners,
    /// Permits for callers whose flight ended with a result that cannot be shared.
    pub(crate) unshared_limit: Arc<Semaphore>,
}

/// Counters off the hot path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    errors: Mutex<BTreeMap<&'static str, u64>>,
    uncached: AtomicU64,
    /// Reason why calls run uncached, from the last plan outside of overrides.
    problem: Mutex<Option<Arc<str>>>,
    /// Reason why the last call ran uncached or did not store its result, although its plan is usable.
    pub(crate) lately: LastFailure,
    verified: AtomicU64,
    mismatches: AtomicU64,
    /// True once it was reported that values cannot be compared.
    incomparable: AtomicBool,
    /// True once it was reported that errors cannot be stored.
    volatile_errors: AtomicBool,
}

impl Counters {
    /// Notes the problem of the plan that was just made, if it has one.
    pub(crate) fn set_problem(&self, problem: Option<&Error>) {
        *self.problem.lock() = problem.map(|error| error.report().into());
    }

    pub(crate) fn forget_problem(&self) {
        *self.problem.lock() = None;
        self.lately.succeeded();
    }
}

/// The number of callers that run at the same time when results cannot be shared.
const UNSHARED_LIMIT: usize = 8;

impl Function {
    pub(crate) fn new(site: SiteNumber, id: String, version: u32, keys: KeyKind, bus: &Arc<Bus>) -> Function {
        Function {
            site,
            id,
            unstable: None,
            version,
            keys,
            pii: false,
            bus: Arc::clone(bus),
            tag_epoch: Arc::default(),
            counters: Counters::default(),
            read_back: ReadBack::default(),
            unknown: Rarely::default(),
            abandoned: Arc::default(),
            removal_listeners: RemovalListeners::default(),
            unshared_limit: Arc::new(Semaphore::new(UNSHARED_LIMIT)),
        }
    }

    pub(crate) fn loaded(&self, time: Duration) {
        crate::stats::count(self.site.get(), Counter::Load);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        crate::stats::add(self.site.get(), Counter::LoadNanos, nanos);
    }

    pub(crate) fn count_failure(&self, operation: &'static str) {
        *self.counters.errors.lock().entry(operation).or_default() += 1;
    }

    /// Counts a call that runs without the cache.
    pub(crate) fn count_uncached(&self) {
        self.counters.uncached.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes why a call ran uncached or did not store its result, if the function itself is the reason.
    pub(crate) fn note_problem(&self, kind: ErrorKind, text: String) {
        if matches!(kind, ErrorKind::Key | ErrorKind::Codec | ErrorKind::Unsupported) {
            self.counters.lately.failed(kind, text, self.bus.clock());
        }
    }

    /// Returns the reason why calls run uncached, or why the last one did.
    pub(crate) fn why_uncached(&self) -> Option<Error> {
        if let Some(text) = &*self.counters.problem.lock() {
            return Some(Error::new(ErrorKind::Config, text.to_string()));
        }
        let lately = self.counters.lately.recent(1, self.bus.clock())?;
        Some(lately.with_context("operation", "the last call"))
    }

    /// Counts and reports a call that runs uncached because an earlier operation failed.
    #[cold]
    pub(crate) fn runs_uncached(&self, operation: &'static str, backend: &str, error: &Error) {
        self.count_uncached();
        self.not_cached(operation, backend, error);
    }

    /// Counts a verified hit.
    pub(crate) fn count_verified(&self) {
        self.counters.verified.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a verified hit that differs from the function's result.
    pub(crate) fn count_mismatch(&self) {
        self.counters.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports once that `verify` is set for values that cannot be compared.
    pub(crate) fn cannot_verify(&self, backend: &str) {
        if !self.counters.incomparable.swap(true, Ordering::Relaxed) {
            self.failed("verify", backend, &incomparable(&self.id));
        }
    }

    /// Reports once that `err_ttl` is set for errors that the byte backend cannot hold.
    pub(crate) fn cannot_store_errors(&self, backend: &str) {
        if !self.counters.volatile_errors.swap(true, Ordering::Relaxed) {
            self.failed("store", backend, &volatile_errors(&self.id));
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let errors_by_operation = self.counters.errors.lock().clone();
        Stats {
            hits: self.site.counted(Counter::Hit),
            misses: self.site.counted(Counter::Miss),
            loads: self.site.counted(Counter::Load),
            evictions: self.site.counted(Counter::Evicted),
            uncached: self.counters.uncached.load(Ordering::Relaxed),
            load_time: Duration::from_nanos(self.site.counted(Counter::LoadNanos)),
            errors: errors_by_operation.values().sum(),
            errors_by_operation,
            verified: self.counters.verified.load(Ordering::Relaxed),
            verify_mismatches: self.counters.mismatches.load(Ordering::Relaxed),
            total_keys: self.site.held(),
            ..Stats::default()
        }
    }
}

impl Function {
    /// Returns id and version, as groups name the function.
    pub(crate) fn full_id(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }
}

/// Returns the error of `err_ttl` for errors that cannot be serialized.
pub(crate) fn volatile_errors(id: &str) -> Error {
    let text = format!(
        "`err_ttl` cannot keep the errors of `{id}` in a backend that keeps bytes: derive `Serialize` and `Deserialize` for \
         its error type, name a backend in memory, or take it away"
    );
    Error::new(ErrorKind::Config, text)
}

/// Returns the error of `verify` for values that cannot be compared.
pub(crate) fn incomparable(id: &str) -> Error {
    let text = format!(
        "`verify` cannot compare the values of `{id}`: derive `PartialEq` for what the function returns, say `verify` to \
         the builder of the cache, or take it away"
    );
    Error::new(ErrorKind::Config, text)
}
