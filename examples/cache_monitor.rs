//! A monitor of one's own, made of nothing but the public events: hit rate and mean duration per function.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use retainit::{Event, EventKind, MemoryConfig, Retainit, Subscription, retain};

/// Counts of one function while the monitor was on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) runs: u64,
    pub(crate) failures: u64,
    time: Duration,
}

impl Totals {
    pub(crate) fn hit_rate(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }

    /// Returns the mean duration of a run, of those that failed too.
    pub(crate) fn mean(&self) -> Duration {
        self.time / u32::try_from(self.runs.max(1)).unwrap_or(u32::MAX)
    }
}

/// Listens from `start` to `stop`.
pub(crate) struct CacheMonitor {
    functions: Arc<Mutex<BTreeMap<String, Totals>>>,
    retainit: Retainit,
    subscription: Subscription,
}

impl CacheMonitor {
    pub(crate) fn start(retainit: &Retainit) -> CacheMonitor {
        const KINDS: [EventKind; 4] =
            [EventKind::CacheHit, EventKind::CacheMiss, EventKind::FunctionCallEnd, EventKind::FunctionError];
        let functions = Arc::<Mutex<BTreeMap<String, Totals>>>::default();
        let totals = Arc::clone(&functions);
        let subscription = retainit.events().subscribe(KINDS, move |event| note(&mut lock(&totals), event));
        CacheMonitor { functions, retainit: retainit.clone(), subscription }
    }

    /// Receives the events so far, and none after them.
    pub(crate) fn stop(&self) {
        self.retainit.events().flush_blocking();
        self.subscription.unsubscribe();
    }

    pub(crate) fn of(&self, function: &str) -> Totals {
        lock(&self.functions).get(function).cloned().unwrap_or_default()
    }
}

fn lock(functions: &Mutex<BTreeMap<String, Totals>>) -> MutexGuard<'_, BTreeMap<String, Totals>> {
    functions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn note(functions: &mut BTreeMap<String, Totals>, event: &Event) {
    let Some(function) = event.function() else { return };
    let totals = functions.entry(function.to_owned()).or_default();
    match event.kind() {
        EventKind::CacheHit => totals.hits += 1,
        EventKind::CacheMiss => totals.misses += 1,
        kind => {
            totals.runs += 1;
            totals.failures += u64::from(kind == EventKind::FunctionError);
            totals.time += event.duration().unwrap_or_default();
        }
    }
}

impl fmt::Display for CacheMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (function, totals) in &*lock(&self.functions) {
            let Totals { runs, failures, .. } = totals;
            let (rate, mean) = (totals.hit_rate() * 100.0, totals.mean());
            writeln!(f, "{function}: {rate:.0} % hits, {runs} runs of {mean:.1?} each, {failures} failed")?;
        }
        Ok(())
    }
}

#[retain(id = "monitor::price")]
pub(crate) fn price(article: u64) -> Result<u64, String> {
    if article == 0 { Err("no such article".to_owned()) } else { Ok(article * 100) }
}

pub(crate) fn main() -> retainit::Result<()> {
    let retainit = Retainit::builder().register_backend("memory", MemoryConfig::new()).build()?;
    let monitor = CacheMonitor::start(&retainit);
    retainit::with_instance_sync(&retainit, || {
        for article in [1, 2, 1, 1, 0, 2] {
            if let Err(error) = price(article) {
                println!("{article}: {error}");
            }
        }
    });
    monitor.stop();
    print!("{monitor}");
    println!("{} of all runs failed", monitor.of("monitor::price").failures);
    retainit.blocking().close()
}
