//! Async callers: leaders that are dropped, starve, take too long.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::common::{ByHand, Gate, Random, cache, memory, until_async, watched_async};

// T-129
#[test]
fn a_thousand_callers_and_one_load() {
    watched_async(async {
        let ((cache, _), gate) = (cache(), Gate::default());
        let mut callers = JoinSet::new();
        for _ in 0..1_000 {
            let (cache, gate) = (cache.clone(), gate.clone());
            callers.spawn(async move {
                cache
                    .get_or_load(&1, || async {
                        gate.pass().await;
                        42
                    })
                    .await
            });
        }
        until_async(|| cache.stats().misses == 1_000).await;
        assert_eq!(gate.arrived(), 1);
        gate.open(1_000);
        assert!(callers.join_all().await.into_iter().all(|answer| answer == 42));
        assert_eq!(gate.arrived(), 1);
    });
}

// T-129
#[test]
fn when_three_leaders_are_aborted_in_turn_the_fourth_serves_the_rest() {
    watched_async(async {
        let ((cache, _), gate) = (cache(), Gate::default());
        let leader = Arc::new(AtomicU64::new(u64::MAX));
        let callers: Vec<_> = (0..100u64)
            .map(|n| {
                let (cache, gate, leader) = (cache.clone(), gate.clone(), leader.clone());
                tokio::spawn(async move {
                    let load = || async {
                        leader.store(n, Ordering::SeqCst);
                        gate.pass().await;
                        n
                    };
                    cache.get_or_load(&1, load).await
                })
            })
            .collect();
        until_async(|| cache.stats().misses == 100).await;
        let mut aborted = Vec::new();
        for turn in 1..=3 {
            until_async(|| gate.arrived() == turn).await;
            let n = leader.load(Ordering::SeqCst);
            callers[n as usize].abort();
            aborted.push(n);
        }
        until_async(|| gate.arrived() == 4).await;
        gate.open(100);
        let last = leader.load(Ordering::SeqCst);
        for (n, caller) in (0..).zip(callers) {
            match caller.await {
                Ok(answer) => assert_eq!(answer, last),
                Err(error) => assert!(error.is_cancelled() && aborted.contains(&n)),
            }
        }
        assert_eq!(gate.arrived(), 4, "one load after each abort");
    });
}

// T-129
#[test]
fn a_leader_that_is_woken_and_not_polled_loses_its_place() {
    watched_async(async {
        let ((cache, clock), gate) = (cache(), Gate::default());
        let (task, waker) = ByHand::new();
        let mut leader = pin!(cache.get_or_load(&1, || async {
            gate.pass().await;
            1
        }));
        assert!(leader.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let follower = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get_or_load(&1, || async { 2 }).await }
        });
        until_async(|| cache.stats().misses == 2).await;
        gate.open(1);
        assert_eq!(task.wakes(), 1, "it could go on, and does not");
        clock.advance(Duration::from_millis(50));
        assert_eq!(follower.await.unwrap(), 2, "the follower loads in its place");
        let Poll::Ready(answer) = leader.as_mut().poll(&mut Context::from_waker(&waker)) else {
            panic!("its own load was not taken from it");
        };
        assert_eq!(answer, 1);
        assert_eq!(cache.get(&1).await.unwrap().value(), Some(1), "and is stored, as its fence still stands");
    });
}

// T-129
#[test]
fn a_leader_that_only_waits_keeps_its_place() {
    watched_async(async {
        let ((cache, clock), gate) = (cache(), Gate::default());
        let load = |n: u64| {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move {
                cache
                    .get_or_load(&1, || async {
                        gate.pass().await;
                        n
                    })
                    .await
            })
        };
        let leader = load(1);
        until_async(|| gate.arrived() == 1).await;
        let follower = load(2);
        until_async(|| cache.stats().misses == 2).await;
        for _ in 0..20 {
            clock.advance(Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gate.open(1);
        assert_eq!((leader.await.unwrap(), follower.await.unwrap()), (1, 1));
        assert_eq!(gate.arrived(), 1);
    });
}

// T-129
#[test]
fn a_load_that_takes_too_long_frees_its_place_and_still_answers_its_own_caller() {
    watched_async(async {
        let ((cache, clock), slow, fast) = (cache(), Gate::default(), Gate::default());
        let load = |gate: &Gate, n: u64| {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move {
                cache
                    .get_or_load(&1, || async {
                        gate.pass().await;
                        n
                    })
                    .await
            })
        };
        let leader = load(&slow, 1);
        until_async(|| slow.arrived() == 1).await;
        let followers = [load(&fast, 2), load(&fast, 2)];
        until_async(|| cache.stats().misses == 3).await;
        clock.advance(Duration::from_secs(60));
        until_async(|| fast.arrived() == 1).await;
        // The old leader's event comes while another leads: it has to reach the old leader.
        slow.open(1);
        assert_eq!(leader.await.unwrap(), 1);
        fast.open(2);
        for follower in followers {
            assert_eq!(follower.await.unwrap(), 2);
        }
        assert_eq!(fast.arrived(), 1);
    });
}

// T-43
#[test]
fn callers_before_an_invalidation_get_the_load_under_way_and_those_after_it_a_new_one() {
    watched_async(async {
        let (retainit, _) = memory();
        let cache = retainit.cache::<u64>("numbers").tags(["t"]).build().unwrap();
        for way in 0..5 {
            let gate = Gate::default();
            let load = |n: u64| {
                let (cache, gate) = (cache.clone(), gate.clone());
                tokio::spawn(async move {
                    cache
                        .get_or_load(&way, || async {
                            gate.pass().await;
                            n
                        })
                        .await
                })
            };
            let before = cache.stats().misses;
            let early = [load(1), load(1)];
            until_async(|| cache.stats().misses == before + 2).await;
            match way {
                0 => drop(cache.remove(&way).await.unwrap()),
                1 => retainit.invalidate_tag("t").await.unwrap(),
                2 => drop(retainit.invalidate_pattern("numbers:*").await.unwrap()),
                3 => drop(cache.clear().await.unwrap()),
                _ => drop(retainit.clear().await.unwrap()),
            }
            let late = [load(2), load(2)];
            until_async(|| cache.stats().misses == before + 4).await;
            assert_eq!(gate.arrived(), 2, "way {way}");
            gate.open(4);
            for (caller, answer) in early.into_iter().zip([1, 1]).chain(late.into_iter().zip([2, 2])) {
                assert_eq!(caller.await.unwrap(), answer, "way {way}");
            }
            assert_eq!(cache.get(&way).await.unwrap().value(), Some(2), "the old value is not stored, way {way}");
        }
    });
}

// T-129
#[test]
fn without_single_flight_every_caller_loads() {
    watched_async(async {
        let (retainit, _) = memory();
        let (cache, gate) = (retainit.cache::<u64>("numbers").single_flight("off").build().unwrap(), Gate::default());
        let mut callers = JoinSet::new();
        for n in 0..10 {
            let (cache, gate) = (cache.clone(), gate.clone());
            callers.spawn(async move {
                let load = || async {
                    gate.pass().await;
                    n
                };
                assert_eq!(cache.get_or_load(&1, load).await, n);
            });
        }
        until_async(|| gate.arrived() == 10).await;
        gate.open(10);
        callers.join_all().await;
    });
}

// T-133
#[test]
fn nothing_is_left_of_loads_that_ended_however_they_did() {
    watched_async(async {
        let ((cache, _), gate, held) = (cache(), Gate::default(), Arc::new(()));
        let mut callers = JoinSet::new();
        for n in 0..200u64 {
            let (cache, gate, held) = (cache.clone(), gate.clone(), held.clone());
            callers.spawn(async move {
                let load = || async {
                    let _held = held;
                    gate.pass().await;
                    n
                };
                cache.get_or_load(&(n % 10), load).await
            });
        }
        until_async(|| cache.stats().misses == 200).await;
        callers.abort_all();
        while callers.join_next().await.is_some() {}
        assert_eq!(Arc::strong_count(&held), 1, "loaders went with their callers");
        for key in 0..10u64 {
            assert_eq!(cache.get_or_load(&key, || async { key + 100 }).await, key + 100, "a later call loads anew");
        }
    });
}

// T-129
#[test]
fn aborts_at_random_strand_nobody() {
    watched_async(async {
        for seed in 0..60 {
            let (mut random, (cache, _), gate) = (Random(seed), cache(), Gate::default());
            let mut callers: Vec<_> = (0..60)
                .map(|_| {
                    let (cache, gate, key) = (cache.clone(), gate.clone(), random.below(3));
                    let steps = random.below(4);
                    let load = move || async move {
                        for _ in 0..steps {
                            tokio::task::yield_now().await;
                        }
                        gate.pass().await;
                        key
                    };
                    (key, tokio::spawn(async move { cache.get_or_load(&key, load).await }))
                })
                .collect();
            while callers.len() > 6 {
                match random.below(4) {
                    0 => gate.open(1),
                    1 => tokio::task::yield_now().await,
                    _ => {
                        let at = random.below(callers.len() as u64) as usize;
                        callers.swap_remove(at).1.abort();
                    }
                }
            }
            gate.open(1_000);
            for (key, caller) in callers {
                assert_eq!(caller.await.unwrap(), key, "seed {seed}");
            }
        }
    });
}
