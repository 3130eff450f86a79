//! Values that panic when they are dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::{Cache, MemoryConfig, Policy, Retainit, Ttl};
use retainit_testkit::ManualClock;

use super::{Falls, TEXT, Touchy, id_of, told, unharmed};
use crate::common::Stage;

fn small(policy: Policy) -> (Retainit, Cache<Touchy>, ManualClock) {
    let clock = ManualClock::new();
    let config = MemoryConfig::new().max_entries(4).policy(policy).strict(true);
    let instance = Retainit::builder().clock(clock.clone()).register_backend("default", config).build().unwrap();
    let cache = instance.cache("panics.drops").build_local().unwrap();
    (instance, cache, clock)
}

fn fill(cache: &Cache<Touchy>) {
    for id in 0..4 {
        let ttl = retainit::CallOptions::new().ttl("10s").tags(["t"]);
        cache.blocking().set_with(&id, Touchy::new(id, Falls::Dropped), ttl).unwrap();
    }
}

#[test]
fn what_leaves_the_cache_falls_on_nobody() {
    type Work = fn(&Retainit, &Cache<Touchy>, &ManualClock);
    let works: [Work; 9] = [
        |_, cache, _| assert_eq!(id_of(cache.blocking().get_or_load(&100, || Touchy::new(100, Falls::Never))), 100),
        |_, cache, _| (0..4).for_each(|id| cache.blocking().set(&id, Touchy::new(id, Falls::Never)).unwrap()),
        |_, cache, _| assert!((0..4).any(|id| cache.blocking().remove(&id).unwrap())),
        |_, cache, _| assert!(cache.blocking().clear().unwrap().count() > Some(0)),
        |instance, _, _| assert!(instance.blocking().clear().unwrap().count() > Some(0)),
        |instance, _, _| assert!(instance.blocking().invalidate_pattern("panics*").unwrap().count() > Some(0)),
        |instance, _, clock| {
            clock.advance(Duration::from_secs(11));
            assert!(instance.cleanup_expired() > 0);
        },
        |instance, _, _| {
            instance.blocking().invalidate_tag("t").unwrap();
            instance.cleanup_expired();
        },
        |_, cache, _| {
            // An eviction in the middle of a panic would end the process.
            struct Evicts<'a>(&'a Cache<Touchy>);
            impl Drop for Evicts<'_> {
                fn drop(&mut self) {
                    for id in 200..204 {
                        self.0.blocking().set(&id, Touchy::new(id, Falls::Never)).unwrap();
                    }
                }
            }
            let panics = || {
                let _evicts = Evicts(cache);
                panic!("another");
            };
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        },
    ];
    for policy in [Policy::Default, Policy::Lru] {
        for work in works {
            let (instance, cache, clock) = small(policy);
            fill(&cache);
            told(&instance, || work(&instance, &cache, &clock));
            for id in 300..310 {
                cache.blocking().set(&id, Touchy::new(id, Falls::Never)).unwrap();
                assert_eq!(cache.blocking().get(&id).unwrap().value().map(id_of), Some(id), "it goes on as before");
            }
            assert!(cache.stats().total_keys <= 4);
        }
        // The end of the instance, with and without `close()`.
        let (instance, cache, _) = small(policy);
        fill(&cache);
        unharmed(|| instance.blocking().close()).unwrap();
        let (instance, cache, _) = small(policy);
        fill(&cache);
        unharmed(|| drop((instance, cache)));
    }
}

#[test]
fn a_copy_that_is_not_stored_falls_on_nobody() {
    for stage in Stage::each() {
        let cache: Cache<Touchy> = stage.retainit.cache("panics.refused").build().unwrap();
        let load = || {
            // The load is refused: a removal came in between.
            cache.blocking().remove(&1).unwrap();
            Touchy::new(1, Falls::Dropped)
        };
        assert_eq!(unharmed(|| id_of(cache.blocking().get_or_load(&1, load))), 1);
        let blocking = cache.blocking();
        let exists = || {
            blocking.set(&2, Touchy::new(2, Falls::Dropped)).unwrap();
            assert!(!blocking.set_if_absent(&2, Touchy::new(2, Falls::Dropped)).unwrap());
            (blocking.exists(&2).unwrap(), blocking.ttl(&2).unwrap().is_some(), blocking.explain(&2).unwrap().is_hit())
        };
        assert_eq!(unharmed(exists), (true, true, true));
    }
}

/// A capture of a closure.
struct Captured;

impl Drop for Captured {
    fn drop(&mut self) {
        panic!("{TEXT}");
    }
}

// The last owner of a cache may be one of its own closures: what it has captured is dropped in the call of another key.
#[test]
fn closures_of_a_cache_fall_on_nobody() {
    let (instance, other, _) = small(Policy::Lru);
    let kept = Arc::new(Mutex::new(None));
    let (last, captured) = (Arc::clone(&kept), Captured);
    let cache = instance.cache::<u64>("panics.closures").on_removal(move |_, _, _| {
        let _captured = &captured;
        drop(last.lock().unwrap().take());
    });
    let captured = Captured;
    let cache = cache.ttl_of(move |_| {
        let _captured = &captured;
        Ttl::Never
    });
    let cache = cache.build().unwrap();
    cache.blocking().set(&1, 1).unwrap();
    *kept.lock().unwrap() = Some(cache);
    for id in 0..8 {
        unharmed(|| other.blocking().set(&id, Touchy::new(id, Falls::Never))).unwrap();
    }
    assert!(kept.lock().unwrap().is_none(), "its entry was evicted");
}
