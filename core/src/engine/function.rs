use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use retainit_plugin::Mark;
use tokio::sync::Semaphore;

use super::Rarely;
use crate::event::Bus;
use crate::key::KeyKind;
use crate::stats::{Count, SiteNumber, Stats};
use crate::{Error, ErrorKind};

/// A retained function or a named cache, as one instance knows it.
#[derive(Debug)]
pub(crate) struct Function {
    /// What its entries carry.
    pub(crate) site: SiteNumber,
    /// How keys, patterns and people name it.
    pub(crate) id: String,
    /// Why a byte backend cannot hold it: its name is not stable and unique in the source.
    pub(crate) unstable: Option<&'static str>,
    pub(crate) version: u32,
    /// How the bytes of its keys are to be read.
    pub(crate) keys: KeyKind,
    /// Whether its arguments are personal: its keys appear in no event, and its errors' texts neither.
    pub(crate) pii: bool,
    /// Where what it does is told.
    pub(crate) bus: Arc<Bus>,
    /// Its last clear.
    pub(crate) mark: Arc<Mark>,
    pub(crate) counters: Counters,
    /// Whether to tell once more of entries that this program cannot read.
    pub(crate) unknown: Rarely,
    /// Loads that have lost their lead and go on.
    pub(crate) abandoned: Arc<AtomicUsize>,
    /// Callers whose flight ended with a result that cannot be shared, and who run on their own.
    pub(crate) crowd: Semaphore,
}

/// What is counted off the hot path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    errors: Mutex<BTreeMap<&'static str, u64>>,
    verified: AtomicU64,
    mismatches: AtomicU64,
    /// Set once it was told that values cannot be compared.
    incomparable: AtomicBool,
    /// Set once it was told that errors cannot be kept.
    volatile_errors: AtomicBool,
}

/// How many callers run side by side when results cannot be shared.
const CROWD: usize = 8;

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
            mark: Arc::default(),
            counters: Counters::default(),
            unknown: Rarely::default(),
            abandoned: Arc::default(),
            crowd: Semaphore::new(CROWD),
        }
    }

    pub(crate) fn loaded(&self, time: Duration) {
        crate::stats::count(self.site.get(), Count::Load);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        crate::stats::add(self.site.get(), Count::LoadNanos, nanos);
    }

    pub(crate) fn count_failure(&self, operation: &'static str) {
        *self.counters.errors.lock().entry(operation).or_default() += 1;
    }

    /// A hit was verified.
    pub(crate) fn count_verified(&self) {
        self.counters.verified.fetch_add(1, Ordering::Relaxed);
    }

    /// A verified hit was not what the function returns.
    pub(crate) fn count_mismatch(&self) {
        self.counters.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// `verify` is asked for, and values of this type cannot be compared: told once.
    pub(crate) fn cannot_verify(&self, backend: &str) {
        if !self.counters.incomparable.swap(true, Ordering::Relaxed) {
            self.failed("verify", backend, &incomparable(&self.id));
        }
    }

    /// `err_ttl` is asked for, and a backend that keeps bytes cannot hold these errors: told once.
    pub(crate) fn cannot_keep_errors(&self, backend: &str) {
        if !self.counters.volatile_errors.swap(true, Ordering::Relaxed) {
            self.failed("store", backend, &volatile_errors(&self.id));
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let errors_by_operation = self.counters.errors.lock().clone();
        Stats {
            hits: self.site.counted(Count::Hit),
            misses: self.site.counted(Count::Miss),
            loads: self.site.counted(Count::Load),
            evictions: self.site.counted(Count::Evicted),
            load_time: Duration::from_nanos(self.site.counted(Count::LoadNanos)),
            errors: errors_by_operation.values().sum(),
            errors_by_operation,
            verified: self.counters.verified.load(Ordering::Relaxed),
            verify_mismatches: self.counters.mismatches.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }
}

impl Function {
    /// Name and version, as groups know it.
    pub(crate) fn full_id(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }
}

/// What `err_ttl` is told where errors have no bytes.
pub(crate) fn volatile_errors(id: &str) -> Error {
    let text = format!(
        "`err_ttl` cannot keep the errors of `{id}` in a backend that keeps bytes: derive `Serialize` and `Deserialize` for \
         its error type, name a backend in memory, or take it away"
    );
    Error::new(ErrorKind::Config, text)
}

/// What `verify` is told where values cannot be compared.
pub(crate) fn incomparable(id: &str) -> Error {
    let text = format!(
        "`verify` cannot compare the values of `{id}`: derive `PartialEq` for what the function returns, say `verify` to \
         the builder of the cache, or take it away"
    );
    Error::new(ErrorKind::Config, text)
}
