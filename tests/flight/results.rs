//! Tests the results that followers get of a load that failed.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::retain;
use tokio::task::JoinSet;

use crate::common::{Gate, cache, until_async, watched_async};

static GATE: std::sync::LazyLock<Gate> = std::sync::LazyLock::new(Gate::default);

#[retain]
async fn fails(n: u64) -> Result<u64, String> {
    GATE.pass().await;
    Err(format!("no {n}"))
}

// T-129
#[test]
fn an_error_that_can_be_cloned_is_shared_by_all_and_not_stored() {
    watched_async(async {
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            callers.spawn(fails(1));
        }
        until_async(|| fails::cache().stats().misses == 100).await;
        GATE.open(1);
        assert!(callers.join_all().await.into_iter().all(|answer| answer == Err("no 1".into())));
        assert_eq!(GATE.arrived(), 1);
        GATE.open(1);
        assert_eq!(fails(1).await, Err("no 1".into()));
        assert_eq!(GATE.arrived(), 2);
    });
}

/// An error that cannot be cloned.
#[derive(Debug, PartialEq)]
struct Unique(u64);

/// Counts how many run side by side.
#[derive(Default)]
struct Crowd {
    now: AtomicU64,
    most: AtomicU64,
    runs: AtomicU64,
}

impl Crowd {
    async fn run(&self) -> u64 {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.runs.fetch_add(1, Ordering::SeqCst)
    }
}

// T-129
#[test]
fn of_an_error_that_cannot_be_cloned_everyone_gets_an_own_one_a_few_side_by_side() {
    watched_async(async {
        let ((cache, _), crowd, gate) = (cache(), std::sync::Arc::new(Crowd::default()), Gate::default());
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let (cache, crowd, gate) = (cache.clone(), crowd.clone(), gate.clone());
            callers.spawn(async move {
                let load = || async {
                    if crowd.runs.load(Ordering::SeqCst) == 0 {
                        gate.pass().await;
                    }
                    Err(Unique(crowd.run().await))
                };
                cache.try_get_or_load(&1, load).await
            });
        }
        until_async(|| cache.stats().misses == 100).await;
        gate.open(1_000);
        let mut errors: Vec<_> = callers.join_all().await.into_iter().map(|answer| answer.unwrap_err().0).collect();
        errors.sort_unstable();
        assert_eq!(errors, (0..100).collect::<Vec<_>>());
        assert!(crowd.most.load(Ordering::SeqCst) <= 9, "{} ran side by side", crowd.most.load(Ordering::SeqCst));
    });
}

// T-129
#[test]
fn the_value_of_one_of_them_ends_unshared_loads() {
    watched_async(async {
        let ((cache, _), runs, gate) = (cache(), std::sync::Arc::new(AtomicU64::new(0)), Gate::default());
        let mut callers = JoinSet::new();
        for _ in 0..100 {
            let (cache, runs, gate) = (cache.clone(), runs.clone(), gate.clone());
            callers.spawn(async move {
                let load = || async {
                    gate.pass().await;
                    match runs.fetch_add(1, Ordering::SeqCst) {
                        0 => Err(Unique(0)),
                        n => Ok(n),
                    }
                };
                cache.try_get_or_load(&1, load).await
            });
        }
        until_async(|| cache.stats().misses == 100).await;
        gate.open(1_000);
        let answers = callers.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        assert!(runs.load(Ordering::SeqCst) <= 9);
    });
}

// T-129
#[test]
fn unshared_loads_inside_unshared_loads_end() {
    watched_async(async {
        let ((cache, _), gate, crowd) = (cache(), Gate::default(), Gate::default());
        let mut callers = JoinSet::new();
        // Twenty loads fail; each of those who waited for them waits in turn for an inner load that fails.
        for key in 0..20u64 {
            for follower in [false, true] {
                let (own, gate) = (cache.clone(), if follower { crowd.clone() } else { gate.clone() });
                callers.spawn(async move {
                    let cache = own;
                    let inner = || async {
                        tokio::task::yield_now().await;
                        Err(Unique(key))
                    };
                    let load = || async {
                        gate.pass().await;
                        let deeper = key + 100;
                        let (a, b) =
                            tokio::join!(cache.try_get_or_load(&deeper, inner), cache.try_get_or_load(&deeper, inner));
                        a.and(b)
                    };
                    assert_eq!(cache.try_get_or_load(&key, load).await, Err(Unique(key)));
                });
                let before = key * 2 + u64::from(follower);
                until_async(|| cache.stats().misses == before + 1).await;
            }
        }
        gate.open(20);
        until_async(|| crowd.arrived() == 8).await;
        crowd.open(20);
        callers.join_all().await;
    });
}
