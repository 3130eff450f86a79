//! Waits that give up, gates for loads, instances.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

use retainit::{Cache, MemoryConfig, Retainit};
use retainit_testkit::ManualClock;
use tokio::sync::Semaphore;

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a thread of its own and fails if it hangs.
pub(crate) fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = std::thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match ended.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("somebody waits for ever"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Runs an async test under watch, on a runtime with two workers.
pub(crate) fn watched_async(test: impl Future<Output = ()> + Send + 'static) {
    watched(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test);
        runtime.shutdown_background();
    });
}

/// Holds loads until the test opens it, in tasks and threads alike.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    arrived: AtomicU64,
    tasks: Semaphore,
    threads: (Mutex<u64>, Condvar),
}

impl Default for Inner {
    fn default() -> Self {
        Inner { arrived: AtomicU64::new(0), tasks: Semaphore::new(0), threads: Default::default() }
    }
}

impl Gate {
    pub(crate) async fn pass(&self) {
        self.0.arrived.fetch_add(1, Ordering::SeqCst);
        self.0.tasks.acquire().await.unwrap().forget();
    }

    pub(crate) fn pass_blocking(&self) {
        self.0.arrived.fetch_add(1, Ordering::SeqCst);
        let (permits, changed) = &self.0.threads;
        let mut permits = permits.lock().unwrap();
        while *permits == 0 {
            permits = changed.wait(permits).unwrap();
        }
        *permits -= 1;
    }

    /// Returns the number of callers that have come to the gate.
    pub(crate) fn arrived(&self) -> u64 {
        self.0.arrived.load(Ordering::SeqCst)
    }

    /// Lets `n` through.
    pub(crate) fn open(&self, n: u64) {
        self.0.tasks.add_permits(n as usize);
        *self.0.threads.0.lock().unwrap() += n;
        self.0.threads.1.notify_all();
    }
}

/// Waits for what other threads and tasks do; the watchdog bounds it.
pub(crate) fn until(come: impl Fn() -> bool) {
    while !come() {
        std::thread::yield_now();
    }
}

/// Waits in a task until `come` is true.
pub(crate) async fn until_async(come: impl Fn() -> bool) {
    while !come() {
        tokio::task::yield_now().await;
    }
}

/// Builds an instance in memory whose clock never moves.
pub(crate) fn memory() -> (Retainit, ManualClock) {
    let clock = ManualClock::new();
    let builder = Retainit::builder().clock(clock.clone());
    (builder.register_backend("memory", MemoryConfig::new()).build().unwrap(), clock)
}

/// Builds a cache of its own instance.
pub(crate) fn cache() -> (Cache<u64>, ManualClock) {
    let (retainit, clock) = memory();
    (retainit.cache("numbers").build().unwrap(), clock)
}

/// A task that is polled by hand: notes that it was woken.
#[derive(Default)]
pub(crate) struct ByHand(AtomicU64);

impl ByHand {
    pub(crate) fn new() -> (Arc<ByHand>, Waker) {
        let task = Arc::new(ByHand::default());
        (Arc::clone(&task), Waker::from(task))
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for ByHand {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Numbers that look random and are the same in every run of a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}
