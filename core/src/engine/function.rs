use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use retainit_plugin::Mark;
use tokio::sync::Semaphore;

use crate::key::KeyKind;
use crate::stats::{Count, SiteNumber, Stats};

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
    /// Its last clear.
    pub(crate) mark: Arc<Mark>,
    pub(crate) counters: Counters,
    /// Loads that have lost their lead and go on.
    pub(crate) abandoned: Arc<AtomicUsize>,
    /// Callers whose flight ended with a result that cannot be shared, and who run on their own.
    pub(crate) crowd: Semaphore,
}

/// What is counted off the hot path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    errors: AtomicU64,
}

/// How many callers run side by side when results cannot be shared.
const CROWD: usize = 8;

impl Function {
    pub(crate) fn new(site: SiteNumber, id: String, version: u32, keys: KeyKind) -> Function {
        Function {
            site,
            id,
            unstable: None,
            version,
            keys,
            mark: Arc::default(),
            counters: Counters::default(),
            abandoned: Arc::default(),
            crowd: Semaphore::new(CROWD),
        }
    }

    pub(crate) fn loaded(&self, time: Duration) {
        crate::stats::count(self.site.get(), Count::Load);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        crate::stats::add(self.site.get(), Count::LoadNanos, nanos);
    }

    /// The one place where a failed cache operation is told: it never becomes the caller's failure.
    pub(crate) fn failed(&self, operation: &'static str, backend: &str, error: &crate::Error) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(target: "retainit", function = %self.id, operation, backend, %error, "cache_error");
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            hits: self.site.counted(Count::Hit),
            misses: self.site.counted(Count::Miss),
            loads: self.site.counted(Count::Load),
            evictions: self.site.counted(Count::Evicted),
            load_time: Duration::from_nanos(self.site.counted(Count::LoadNanos)),
            errors: self.counters.errors.load(Ordering::Relaxed),
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
