//! Instances to test on, counters of runs, gates for loads.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{BackendHealth, BreakerState, Builder, MemoryConfig, Retainit};
use retainit_testkit::{ByteConfig, ManualClock};
use tokio::sync::Semaphore;

/// Counts runs of a function.
pub(crate) struct Runs(AtomicU64);

impl Runs {
    pub(crate) const fn new() -> Runs {
        Runs(AtomicU64::new(0))
    }

    /// Counts one and gives its number, from 1.
    pub(crate) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Returns the runs so far.
    pub(crate) fn so_far(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns the runs since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// Holds loads until the test lets them go on.
pub(crate) struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub(crate) const fn new() -> Gate {
        Gate { arrived: Semaphore::const_new(0), open: Semaphore::const_new(0) }
    }

    /// Signals that a load has begun, and waits; called in the load.
    pub(crate) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }

    /// Waits until one more load has begun; called in the test.
    pub(crate) async fn reached(&self) {
        soon(self.arrived.acquire()).await.unwrap().forget();
    }

    /// Lets one load go on; called in the test.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }
}

/// Waits for a future that has to end; a test that hangs fails at the caller's line.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it has to come within 20 s")
}

/// Waits until calls use the backends of an instance: nothing is pending, and every breaker is closed.
pub(crate) async fn recovered(instance: &Retainit) {
    let is_used = |backend: &BackendHealth| backend.pending == 0 && backend.breaker.is_none_or(is_closed);
    soon(async {
        while !instance.health().await.unwrap().backends.iter().all(is_used) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn is_closed(breaker: BreakerState) -> bool {
    breaker == BreakerState::Closed
}

/// Begins an instance whose limit for the store is no matter of the test: a busy machine cannot reach it.
pub(crate) fn patient() -> Builder {
    Retainit::builder().op_timeout(Duration::from_secs(20))
}

/// An instance with a clock that is moved by hand.
pub(crate) struct Stage {
    pub(crate) retainit: Retainit,
    pub(crate) clock: ManualClock,
    /// The byte backend, where it is one.
    pub(crate) bytes: Option<ByteConfig>,
}

impl Stage {
    fn new(bytes: Option<ByteConfig>) -> Stage {
        let clock = ManualClock::new();
        let builder = patient().clock(clock.clone()).secret("a secret of tests");
        let builder = match &bytes {
            Some(bytes) => builder.register_backend("default", bytes.clone()),
            None => builder.register_backend("default", MemoryConfig::new()),
        };
        Stage { retainit: builder.build().unwrap(), clock, bytes }
    }

    /// Builds a stage that keeps values in memory.
    pub(crate) fn memory() -> Stage {
        Stage::new(None)
    }

    /// Builds a stage that keeps bytes behind a network.
    pub(crate) fn bytes() -> Stage {
        Stage::new(Some(ByteConfig::new().jitter(0.0)))
    }

    /// Builds a stage that keeps bytes in a store that blocks.
    pub(crate) fn local() -> Stage {
        Stage::new(Some(ByteConfig::new().jitter(0.0).blocking()))
    }

    /// Makes a subscriber of each kind.
    pub(crate) fn each() -> [Stage; 3] {
        [Stage::memory(), Stage::bytes(), Stage::local()]
    }

    /// Runs a future whose retained functions use this instance.
    pub(crate) async fn run<F: Future>(&self, future: F) -> F::Output {
        retainit::with_instance(&self.retainit, future).await
    }

    /// Runs a closure whose retained functions use this instance.
    pub(crate) fn run_sync<T>(&self, f: impl FnOnce() -> T) -> T {
        retainit::with_instance_sync(&self.retainit, f)
    }

    pub(crate) fn seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn is_memory(&self) -> bool {
        self.bytes.is_none()
    }
}
