//! Tests that work on other threads or tasks for a caller is part of that caller's loads: none of it waits for them.
//!
//! The clock never moves in these tests, so `max_load_time` ends no wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use retainit::{Cache, EventKind, Overrides, Warmed, retain, with_instance, with_instance_sync};

use crate::common::{cache, memory, watched, watched_async};

static GROWN: AtomicBool = AtomicBool::new(false);
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Warms what is above it, which in turn needs what is below it.
#[retain]
fn grow(n: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    if n == 5 {
        if !GROWN.swap(true, Ordering::SeqCst) {
            let warmed = grow::cache().warm([6, 7]).unwrap();
            assert_eq!(warmed.loaded + warmed.present, 2, "{warmed:?}");
        }
        return 5;
    }
    grow(n - 1) + 1
}

#[test]
fn a_load_that_warms_what_asks_for_it_ends() {
    watched(|| {
        let (retainit, _) = memory();
        with_instance_sync(&retainit, || {
            assert_eq!(grow(5), 5);
            assert_eq!(grow::cache().get(&5).unwrap().value(), Some(5), "the outer load is stored");
            let runs = RUNS.swap(0, Ordering::SeqCst);
            assert_eq!((grow(7), RUNS.load(Ordering::SeqCst)), (7, 0), "what was warmed is there: {runs} runs");
        });
    });
}

static WARMED_ITSELF: AtomicBool = AtomicBool::new(false);

#[retain]
fn own_key(n: u64) -> u64 {
    if n == 7 && !WARMED_ITSELF.swap(true, Ordering::SeqCst) {
        own_key::cache().warm([6, 7]).unwrap();
        return 70;
    }
    n
}

#[test]
fn a_load_that_warms_its_own_key_ends() {
    watched(|| {
        let (retainit, _) = memory();
        with_instance_sync(&retainit, || {
            assert_eq!(own_key(7), 70);
            assert_eq!((own_key(7), own_key(6)), (70, 6), "the inner result is not stored, the outer one is");
        });
    });
}

static GROWN_ASYNC: AtomicBool = AtomicBool::new(false);

#[retain]
async fn grow_async(n: u64) -> u64 {
    if n == 5 {
        if !GROWN_ASYNC.swap(true, Ordering::SeqCst) {
            let warmed = grow_async::cache().warm([6, 7, 5]).await.unwrap();
            assert_eq!(warmed.failed, 1, "its own key is answered and not stored: {warmed:?}");
        }
        return 5;
    }
    Box::pin(grow_async(n - 1)).await + 1
}

#[test]
fn an_async_load_that_warms_what_asks_for_it_ends() {
    watched_async(async {
        let (retainit, _) = memory();
        with_instance(&retainit, async {
            assert_eq!(grow_async(5).await, 5);
            assert_eq!(grow_async::cache().get(&5).await.unwrap().value(), Some(5));
            assert_eq!(grow_async(7).await, 7);
        })
        .await;
    });
}

static REFRESHED: AtomicBool = AtomicBool::new(false);

#[retain]
fn refreshes(n: u64) -> u64 {
    if n == 7 && !REFRESHED.swap(true, Ordering::SeqCst) {
        return refreshes::cache().refresh(7) + 1;
    }
    n
}

#[test]
fn a_load_that_refreshes_its_own_key_ends() {
    watched(|| {
        let (retainit, _) = memory();
        with_instance_sync(&retainit, || assert_eq!(refreshes(7), 8));
    });
}

static CACHE: std::sync::OnceLock<Cache<u64>> = std::sync::OnceLock::new();

#[retain]
fn asks_the_cache(n: u64) -> u64 {
    let cache = CACHE.get().unwrap();
    cache.blocking().get_or_load(&1, || n) + n
}

#[test]
fn a_load_of_a_cache_that_warms_what_asks_for_it_ends() {
    watched(|| {
        let (retainit, _) = memory();
        let cache = CACHE.get_or_init(|| retainit.cache("carried").build().unwrap());
        with_instance_sync(&retainit, || {
            let load = || {
                let many = asks_the_cache::cache().warm(10..40).unwrap();
                assert_eq!(many, Warmed { loaded: 30, ..Warmed::default() });
                100
            };
            assert_eq!(cache.blocking().get_or_load(&1, load), 100);
            assert_eq!(asks_the_cache(10), 20, "each had the answer of a load of its own");
            assert_eq!(cache.blocking().get_or_load(&1, || 0), 100);
        });
    });
}

#[retain]
fn under(n: u64) -> u64 {
    n
}

#[test]
fn threads_of_a_warming_use_the_callers_instance_and_overrides() {
    watched(|| {
        let ((one, _), (other, _)) = (memory(), memory());
        with_instance_sync(&one, || {
            retainit::with_sync(Overrides::new().ttl("7s"), || under::cache().warm(0..8).unwrap());
            let ttl = under::cache().ttl(&3).unwrap().flatten().unwrap();
            assert_eq!((ttl.as_secs(), under(3)), (7, 3));
        });
        assert_eq!((one.stats().loads, other.stats().loads), (8, 0));
        with_instance_sync(&other, || assert!(!under::cache().exists(&3).unwrap()));
    });
}

static INNER: AtomicU64 = AtomicU64::new(0);

#[retain(verify = 1.0)]
fn inner(n: u64) -> u64 {
    INNER.fetch_add(1, Ordering::SeqCst);
    n
}

#[retain]
fn asks_inner(n: u64) -> u64 {
    inner(1) + n
}

#[retain(verify = 1.0)]
fn outer(n: u64) -> u64 {
    asks_inner::cache().clear().unwrap();
    asks_inner::cache().warm([n, n + 1]).unwrap();
    n
}

// With every hit of a nest verified, the work would double at each level: hits inside a run that verifies are not, on
// whatever thread they are.
#[test]
fn hits_in_threads_of_a_run_that_verifies_are_not_verified() {
    watched(|| {
        let (retainit, _) = memory();
        with_instance_sync(&retainit, || {
            inner(1);
            outer(1);
            INNER.store(0, Ordering::SeqCst);
            outer(1);
            assert_eq!((INNER.load(Ordering::SeqCst), asks_inner(2)), (0, 3));
        });
    });
}

#[retain]
fn by_a_handler(n: u64) -> u64 {
    n
}

#[test]
fn calls_in_threads_of_a_handlers_warming_are_the_handlers() {
    watched(|| {
        let (retainit, _) = memory();
        let heard = Arc::new(AtomicU64::new(0));
        let (count, instance) = (Arc::clone(&heard), retainit.clone());
        let sub = retainit.events().subscribe(EventKind::CacheMiss, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            with_instance_sync(&instance, || by_a_handler::cache().warm(0..4).unwrap());
        });
        let numbers: Cache<u64> = retainit.cache("numbers").build().unwrap();
        numbers.blocking().get_or_load(&1, || 1);
        retainit.events().flush_blocking();
        with_instance_sync(&retainit, || assert_eq!((by_a_handler(3), by_a_handler::cache().stats().hits), (3, 1)));
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        // The handler holds the instance.
        sub.unsubscribe();
    });
}

/// Reads a key when it is dropped.
struct AsksAtTheEnd(Cache<u64>, Arc<AtomicU64>);

impl Drop for AsksAtTheEnd {
    fn drop(&mut self) {
        self.1.store(self.0.blocking().get_or_load(&1, || 3), Ordering::SeqCst);
    }
}

#[test]
fn a_load_that_is_given_up_may_ask_for_its_key_in_a_destructor() {
    watched(|| {
        let (cache, _) = cache();
        let answered = Arc::new(AtomicU64::new(0));
        let asks = AsksAtTheEnd(cache.clone(), Arc::clone(&answered));
        let load = || async move {
            let _asks = asks;
            std::future::pending().await
        };
        let mut call = Box::pin(cache.get_or_load(&1, load));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        drop(call);
        assert_eq!(answered.load(Ordering::SeqCst), 3);
        assert!(cache.blocking().get(&1).unwrap().is_miss(), "it was a part of the load that was given up");
    });
}
