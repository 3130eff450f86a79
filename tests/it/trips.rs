//! Counts the operations of calls on a backend behind a network.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{Retainit, retain};
use retainit_testkit::{ByteConfig, Faults, Op};

use crate::common::{patient, soon};

/// Operations that were counted since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trips {
    looks: u64,
    takes: u64,
    stores: u64,
    removals: u64,
    others: u64,
}

fn trips(faults: &Faults) -> Trips {
    let count = |op| faults.calls(op);
    let (looks, takes, stores, removals) = (count(Op::Read), count(Op::Take), count(Op::Store), count(Op::Remove));
    let others = count(Op::All) - looks - takes - stores - removals;
    faults.reset_calls();
    Trips { looks, takes, stores, removals, others }
}

fn process(config: &ByteConfig) -> Retainit {
    patient().register_backend("default", config.clone()).build().unwrap()
}

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(id = "trips.page", tags("pages", "page:{id}"), max_staleness = "0s")]
async fn page(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst)
}

#[tokio::test]
async fn a_hit_is_one_look_and_a_miss_takes_only_where_nothing_is_seen() {
    for config in [ByteConfig::new(), ByteConfig::new().long_fences()] {
        let (retainit, faults) = (process(&config), config.faults());
        retainit::with_instance(&retainit, async {
            let first = page(1).await;
            assert_eq!(trips(&faults), Trips { looks: 1, takes: 1, stores: 1, ..Trips::default() }, "an empty slot");
            assert_eq!(page(1).await, first);
            assert_eq!(trips(&faults), Trips { looks: 1, ..Trips::default() }, "a hit");
            retainit.invalidate_tag("pages").await.unwrap();
            trips(&faults);
            assert!(page(1).await > first);
            assert_eq!(trips(&faults), Trips { looks: 1, stores: 1, ..Trips::default() }, "over a dead entry");
            page::cache().refresh(1).await;
            assert_eq!(trips(&faults), Trips { takes: 1, stores: 1, ..Trips::default() }, "a refresh");
            page::cache().remove(&1).await.unwrap();
            trips(&faults);
            config.store().lose_versions();
            page(1).await;
            assert_eq!(trips(&faults), Trips { looks: 1, takes: 1, stores: 1, ..Trips::default() }, "lost versions");
            let last = page(1).await;
            config.store().lose_versions();
            trips(&faults);
            assert!(page(1).await > last, "the versions of the entry are lost");
            let expected = Trips { looks: 1, takes: 1, stores: 1, ..Trips::default() };
            assert_eq!(trips(&faults), expected, "the entry shows a fence, but versions have to be made");
        })
        .await;
    }
}

#[tokio::test]
async fn where_the_placeholder_of_another_lies_nothing_is_taken() {
    let config = ByteConfig::new();
    let (one, other) = (process(&config), process(&config.share()));
    let key = |retainit: &Retainit| retainit.cache::<u64>("numbers").build().unwrap();
    let (one_cache, other_cache) = (key(&one), key(&other));
    let faults = config.faults();
    one_cache.get_or_load(&0, || async { 0 }).await;
    trips(&faults);
    let load = one_cache.get_or_load(&1, || async {
        // The other process has taken a fence, and loads beside this one.
        other_cache.get_or_load(&1, || async { 2 }).await
    });
    assert_eq!(load.await, 2);
    assert_eq!(trips(&faults), Trips { looks: 1, takes: 1, stores: 1, ..Trips::default() });
    let set = one_cache.set(&2, 2);
    set.await.unwrap();
    assert_eq!(trips(&faults), Trips { takes: 1, stores: 1, ..Trips::default() }, "a set");
}

/// Another process stores between the look of this one and its take.
#[tokio::test]
async fn what_a_take_finds_is_a_hit_and_those_who_follow_look_again() {
    let config = ByteConfig::new();
    let (one, other) = (process(&config), process(&config.share()));
    let (one_cache, other_cache) =
        (one.cache::<u64>("numbers").build().unwrap(), other.cache::<u64>("numbers").build().unwrap());
    let faults = config.faults();
    faults.hang(Op::Take);
    let call = |loaded: u64| {
        let cache = one_cache.clone();
        tokio::spawn(async move { cache.get_or_load(&1, || async move { loaded }).await })
    };
    let calls: Vec<_> = (10..15).map(call).collect();
    soon(async {
        while faults.calls(Op::Take) == 0 || faults.calls(Op::Read) < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(other_cache.get_or_load(&1, || async { 7 }).await, 7);
    faults.heal();
    for call in calls {
        assert_eq!(soon(call).await.unwrap(), 7);
    }
    assert_eq!((faults.calls(Op::Take), faults.calls(Op::Store)), (1, 0));
}

#[tokio::test]
async fn many_callers_of_an_empty_slot_take_once() {
    let config = ByteConfig::new();
    let (retainit, faults) = (process(&config), config.faults());
    let cache = retainit.cache::<u64>("numbers").build().unwrap();
    faults.delay(Op::Take, Duration::from_millis(2));
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let load = || async {
                    LOADS.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    3
                };
                cache.get_or_load(&1, load).await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(soon(call).await.unwrap(), 3);
    }
    assert_eq!((LOADS.load(Ordering::SeqCst), faults.calls(Op::Take), faults.calls(Op::Store)), (1, 1, 1));
}
