//! Sync callers, on threads and under rayon.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use crate::common::{Gate, cache, until, watched};

// T-94
#[test]
fn a_thousand_threads_and_one_load() {
    watched(|| {
        let ((cache, _), gate) = (cache(), Gate::default());
        std::thread::scope(|scope| {
            for _ in 0..1_000 {
                let call = || {
                    let load = || {
                        gate.pass_blocking();
                        42
                    };
                    assert_eq!(cache.blocking().get_or_load(&1, load), 42);
                };
                std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, call).unwrap();
            }
            until(|| cache.stats().misses == 1_000);
            gate.open(1_000);
        });
        assert_eq!(gate.arrived(), 1);
    });
}

// T-94
#[test]
fn a_panic_reaches_the_leader_and_followers_run_their_own_load() {
    watched(|| {
        let ((cache, _), gate, runs) = (cache(), Gate::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let load = || -> u64 {
                    gate.pass_blocking();
                    panic!("on purpose")
                };
                catch_unwind(AssertUnwindSafe(|| cache.blocking().get_or_load(&1, load)))
            });
            until(|| gate.arrived() == 1);
            let (cache, runs) = (&cache, &runs);
            let followers: Vec<_> = (0..10)
                .map(|_| scope.spawn(move || cache.blocking().get_or_load(&1, || runs.fetch_add(1, Ordering::SeqCst))))
                .collect();
            until(|| cache.stats().misses == 11);
            gate.open(1);
            assert!(leader.join().unwrap().is_err());
            for follower in followers {
                assert_eq!(follower.join().unwrap(), 0);
            }
            assert_eq!(runs.load(Ordering::SeqCst), 1, "one of them for all");
        });
    });
}

// T-94
#[test]
fn a_load_that_takes_too_long_frees_its_place() {
    watched(|| {
        let ((cache, clock), gate) = (cache(), Gate::default());
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let load = || {
                    gate.pass_blocking();
                    1
                };
                cache.blocking().get_or_load(&1, load)
            });
            until(|| gate.arrived() == 1);
            let follower = scope.spawn(|| cache.blocking().get_or_load(&1, || 2));
            until(|| cache.stats().misses == 2);
            clock.advance(Duration::from_secs(60));
            assert_eq!(follower.join().unwrap(), 2);
            gate.open(1);
            assert_eq!(leader.join().unwrap(), 1);
        });
    });
}

// T-94
#[test]
fn under_rayon_each_key_is_loaded_once() {
    watched(|| {
        let ((cache, _), loads) = (cache(), AtomicU64::new(0));
        let sum: u64 = (0..20_000u64)
            .into_par_iter()
            .map(|n| {
                cache.blocking().get_or_load(&(n % 100), || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    n % 100
                })
            })
            .sum();
        assert_eq!(sum, 200 * 4_950);
        assert_eq!(loads.load(Ordering::SeqCst), 100);
    });
}

// T-94
#[test]
fn a_load_that_forks_under_rayon_ends() {
    watched(|| {
        let ((cache, clock), workers) = (cache(), 4);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
        let load = |key: u64| {
            cache.blocking().get_or_load(&key, || {
                let parts = (0..8u64).into_par_iter();
                parts.map(|part| cache.blocking().get_or_load(&(1_000 + part), || part)).sum::<u64>() + key
            })
        };
        // Stolen work may wait for a load below it on its own stack, which only time resolves.
        let stop = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while stop.load(Ordering::SeqCst) == 0 {
                    clock.advance(Duration::from_secs(10));
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            pool.install(|| (0..200u64).into_par_iter().for_each(|n| assert_eq!(load(n % 20), 28 + n % 20)));
            stop.store(1, Ordering::SeqCst);
        });
    });
}
