//! Tests loads inside loads: recursion, re-entry, cycles.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{Cache, retain};

use crate::common::{cache, memory, watched, watched_async};

static FIBS: AtomicU64 = AtomicU64::new(0);

#[retain]
fn fib(n: u64) -> u64 {
    FIBS.fetch_add(1, Ordering::SeqCst);
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[retain]
async fn fib_joined(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = tokio::join!(fib_joined(n - 1), fib_joined(n - 2));
    a + b
}

// T-129
#[test]
fn recursion_runs_once_per_argument() {
    watched(|| {
        assert_eq!(fib(60), 1_548_008_755_920);
        assert_eq!(FIBS.load(Ordering::SeqCst), 61);
    });
}

// T-129
#[test]
fn recursion_in_branches_of_one_task_ends() {
    watched_async(async {
        assert_eq!(fib_joined(30).await, 832_040);
        assert_eq!(fib_joined(30).await, 832_040);
    });
}

// T-129
#[test]
fn recursion_from_several_threads_ends() {
    watched(|| {
        let (cache, _) = cache();
        fn count(cache: &retainit::Cache<u64>, n: u64) -> u64 {
            let rest = |n: u64| if n < 2 { n } else { count(cache, n - 1) + count(cache, n - 2) };
            cache.blocking().get_or_load(&n, || rest(n))
        }
        std::thread::scope(|scope| {
            for n in 0..8 {
                let cache = &cache;
                scope.spawn(move || assert_eq!(count(cache, 40 - n % 2), [102_334_155, 63_245_986][n as usize % 2]));
            }
        });
    });
}

// T-129
#[test]
fn a_load_may_ask_for_its_own_key() {
    watched(|| {
        let (cache, _) = cache();
        let inner = || cache.blocking().get_or_load(&1, || 10);
        assert_eq!(cache.blocking().get_or_load(&1, || inner() + 1), 11);
        assert_eq!(cache.blocking().get_or_load(&1, || 0), 11, "the inner result is not stored, the outer one is");
    });
    watched_async(async {
        let (cache, _) = cache();
        let inner = || async { cache.get_or_load(&1, || async { 10 }).await + 1 };
        assert_eq!(cache.get_or_load(&1, inner).await, 11);
        assert_eq!(cache.get(&1).await.unwrap().value(), Some(11));
    });
}

// T-129
#[test]
fn a_cycle_of_two_functions_on_two_threads_ends() {
    watched(|| {
        let (retainit, _) = memory();
        let ping = &retainit.cache::<u64>("ping").build().unwrap();
        let pong = &retainit.cache::<u64>("pong").build().unwrap();
        let barrier = &Barrier::new(2);
        let load = move |mine: &Cache<u64>, other: &Cache<u64>| {
            mine.blocking().get_or_load(&1, || {
                barrier.wait();
                other.blocking().get_or_load(&1, || 1) + 100
            })
        };
        std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(move || load(ping, pong)), scope.spawn(move || load(pong, ping)));
            let mut answers = [a.join().unwrap(), b.join().unwrap()];
            answers.sort_unstable();
            assert_eq!(answers, [101, 201], "one closes the circle with a load of its own, the other waits for it");
        });
    });
}

// T-129
#[test]
fn a_cycle_of_three_tasks_ends() {
    watched_async(async {
        let (cache, _) = cache();
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(3));
        let load = |mine: u64, other: u64| {
            let (cache, barrier) = (cache.clone(), barrier.clone());
            tokio::spawn(async move {
                let load = || async {
                    barrier.wait().await;
                    cache.get_or_load(&other, || async { 0 }).await + 1
                };
                cache.get_or_load(&mine, load).await
            })
        };
        let callers = [load(1, 2), load(2, 3), load(3, 1)];
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.unwrap());
        }
        answers.sort_unstable();
        assert_eq!(answers, [1, 2, 3], "one closes the circle with a load of its own, the others wait for each other");
    });
}

// T-129
#[test]
fn a_load_that_waits_for_work_it_spawned_ends_if_that_is_propagated() {
    watched_async(async {
        let (cache, _) = cache();
        let spawned = {
            let cache = cache.clone();
            async move { cache.get_or_load(&1, || async { 5 }).await }
        };
        let outer = || async { tokio::spawn(retainit::propagate(spawned)).await.unwrap() + 1 };
        assert_eq!(cache.get_or_load(&1, outer).await, 6);
    });
}
