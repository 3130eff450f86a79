//! Tests caches without the macro.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{CallOptions, ErrorKind, Evicted, Lookup, MemoryConfig, Retainit};
use retainit_testkit::ByteConfig;
use serde::{Deserialize, Serialize};

use crate::common::{Runs, Stage};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

fn user(id: u64) -> User {
    User { id, name: format!("user {id}") }
}

// C-01, C-12, C-13, C-18, R-09, R-11, A-22, P-42, R-45
#[tokio::test]
async fn get_set_remove_exists_clear() {
    for stage in Stage::each() {
        let users = stage.retainit.cache::<User>("users").ttl("5m").build().unwrap();
        assert_eq!(users.get(&42).await.unwrap(), Lookup::Miss);
        users.set(&42, user(42)).await.unwrap();
        assert_eq!(users.get(&42).await.unwrap().value(), Some(user(42)));
        assert_eq!(users.get(&42u64).await.unwrap().value(), Some(user(42)), "numbers count by value");
        assert!(users.exists(&42).await.unwrap() && !users.exists(&43).await.unwrap());
        assert!(users.remove(&42).await.unwrap());
        assert!(!users.remove(&42).await.unwrap());
        assert!(users.get(&42).await.unwrap().is_miss());
        for id in 0..3 {
            users.set(&id, user(id)).await.unwrap();
        }
        assert_eq!(users.clear().await.unwrap(), Evicted::Exact(3));
        assert_eq!(users.clear().await.unwrap(), Evicted::Exact(0));
        assert!(!users.exists(&0).await.unwrap());
        users.set(&1, user(1)).await.unwrap();
        stage.seconds(300);
        assert!(!users.exists(&1).await.unwrap(), "exists only if fresh");
    }
}

// C-12: the same methods for sync programs, without a runtime.
#[test]
fn blocking_forms() {
    for stage in Stage::each() {
        let users = stage.retainit.cache::<User>("users").build().unwrap();
        let users = users.blocking();
        let runs = Runs::new();
        let load = || {
            runs.add();
            user(1)
        };
        assert_eq!((users.get_or_load(&1, load), users.get_or_load(&1, load)), (user(1), user(1)));
        assert_eq!(runs.so_far(), 1);
        assert_eq!(users.try_get_or_load(&2, || Err::<User, _>("no")), Err("no"));
        assert_eq!(users.try_get_or_load(&2, || Ok::<_, ()>(user(2))), Ok(user(2)));
        users.set(&3, user(3)).unwrap();
        assert!(!users.set_if_absent(&3, user(4)).unwrap());
        users.set_with(&4, user(4), CallOptions::new().tags(["t"])).unwrap();
        let hits = users.get_many([1, 2, 3, 5]).unwrap().iter().filter(|found| found.is_hit()).count();
        assert_eq!(hits, 3);
        let mut keys = users.keys().unwrap();
        keys.sort();
        assert_eq!(keys, ["users:1", "users:2", "users:3", "users:4"]);
        let blocking = stage.retainit.blocking();
        blocking.invalidate_tag("t").unwrap();
        assert!(!users.exists(&4).unwrap());
        blocking.expire_tag("t").unwrap();
        assert_eq!(blocking.invalidate_pattern("users:2").unwrap(), Evicted::Exact(1));
        assert!(users.get(&2).unwrap().is_miss() && users.remove(&1).unwrap());
        assert!(blocking.health().unwrap().is_healthy());
        assert_eq!(blocking.keys("users:3").unwrap(), ["users:3"]);
        assert!(users.clear().is_ok() && blocking.clear().is_ok());
        assert!(blocking.keys("").unwrap().is_empty());
        assert!(users.stats().hits > 0 && users.explain(&9).unwrap().to_string().contains("is not there"));
        blocking.close().unwrap();
    }
}

//
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_thousand_sets_if_absent() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("once").build().unwrap();
        let tasks = (0..1_000_u64).map(|n| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.set_if_absent(&"key", n).await.unwrap().then_some(n) })
        });
        let mut winners = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            winners.extend(task.await.unwrap());
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(cache.get(&"key").await.unwrap().value(), Some(winners[0]));
    }
}

//
#[test]
fn one_of_a_thousand_threads_sets_if_absent() {
    let cache = Retainit::default().cache::<u64>("once").build_local().unwrap();
    let winners = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..1_000 {
            let (cache, winners) = (cache.clone(), &winners);
            scope.spawn(move || {
                if cache.blocking().set_if_absent("key", n).unwrap() {
                    winners.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), 1);
}

// "if there is none that could be served": what expired or was invalidated is none, whether or not it is still stored.
#[tokio::test]
async fn set_if_absent_sees_only_what_could_be_served() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u8>("c").ttl("1m").tags(["all"]).build().unwrap();
        cache.set(&1, 1).await.unwrap();
        assert!(!cache.set_if_absent(&1, 2).await.unwrap());
        stage.seconds(60);
        assert!(cache.set_if_absent(&1, 2).await.unwrap(), "the old one has expired");
        stage.retainit.invalidate_tag("all").await.unwrap();
        assert!(cache.get(&1).await.unwrap().is_miss());
        assert!(cache.set_if_absent(&1, 3).await.unwrap(), "the old one was invalidated");
        assert_eq!(cache.get(&1).await.unwrap().value(), Some(3));
    }
}

#[tokio::test]
async fn get_many_answers_in_order() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("numbers").build().unwrap();
        for id in (0..100_u64).filter(|id| id % 3 == 0) {
            cache.set(&id, id * 10).await.unwrap();
        }
        let found = cache.get_many(0..100_u64).await.unwrap();
        let values: Vec<_> = found.into_iter().map(Lookup::value).collect();
        assert_eq!(values, (0..100).map(|id| (id % 3 == 0).then_some(id * 10)).collect::<Vec<_>>());
        assert!(cache.get_many(Vec::<u64>::new()).await.unwrap().is_empty());
    }
}

// T-42, T-43: tags of the cache and of one call.
#[tokio::test]
async fn set_with_has_options_of_its_own() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u8>("c").ttl("1h").tags(["all"]).build().unwrap();
        cache.set_with(&1, 1, CallOptions::new().ttl("1s").tags(["x"])).await.unwrap();
        cache.set(&2, 2).await.unwrap();
        assert_eq!(cache.ttl(&1).await.unwrap(), Some(Some(Duration::from_secs(1))));
        stage.retainit.invalidate_tag("x").await.unwrap();
        assert!(!cache.exists(&1).await.unwrap() && cache.exists(&2).await.unwrap());
        assert_eq!(cache.get_or_load(&1, || async { 9 }).await, 9);
        stage.retainit.invalidate_tag("all").await.unwrap();
        assert!(!cache.exists(&1).await.unwrap() && !cache.exists(&2).await.unwrap());
        let error = cache.set_with(&1, 1, CallOptions::new().ttl("soon")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("soon"), "{error}");
    }
}

// P-10
#[tokio::test]
async fn loaders_that_fail_and_loaders_that_do_not() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("c").when(|value| *value != 13).build().unwrap();
        let runs = &Runs::new();
        let fail = || async { Err::<u64, _>(runs.add()) };
        assert_eq!((cache.try_get_or_load(&1, fail).await, cache.try_get_or_load(&1, fail).await), (Err(1), Err(2)));
        assert_eq!(cache.try_get_or_load(&1, || async { Ok::<_, ()>(5) }).await, Ok(5));
        assert_eq!(cache.get_or_load(&1, || async { unreachable!() }).await, 5);
        assert_eq!(cache.get_or_load(&2, || async { 13 }).await, 13);
        assert!(!cache.exists(&2).await.unwrap(), "`when` refuses it");
        let maybe = stage.retainit.cache::<Option<u8>>("maybe").build().unwrap();
        assert_eq!(maybe.get_or_load(&1, || async { None }).await, None);
        assert_eq!(maybe.get_or_load(&1, || async { Some(1) }).await, Some(1), "a loaded none is not stored");
        let maybe = stage.retainit.cache::<Option<u8>>("maybe 2").none_ttl("1m").build().unwrap();
        assert_eq!(maybe.get_or_load(&1, || async { None }).await, None);
        assert_eq!(maybe.get_or_load(&1, || async { Some(1) }).await, None, "with `none_ttl` it is");
    }
}

// "Two caches of one name share entries if their types agree, else building the second is an error."
#[tokio::test]
async fn two_caches_of_one_name() {
    for stage in Stage::each() {
        let one = stage.retainit.cache::<u64>("shared").build().unwrap();
        let two = stage.retainit.cache::<u64>("shared").ttl("1m").build().unwrap();
        one.set(&1, 11).await.unwrap();
        assert_eq!(two.get(&1).await.unwrap().value(), Some(11));
        let error = stage.retainit.cache::<String>("shared").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        for part in ["shared", "u64", "String"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        // A version keeps entries apart, and going back finds the old ones.
        let bumped = stage.retainit.cache::<u64>("shared").version(1).build().unwrap();
        assert!(!bumped.exists(&1).await.unwrap());
        let back = stage.retainit.cache::<u64>("shared").build().unwrap();
        assert_eq!(back.get(&1).await.unwrap().value(), Some(11));
        let other = stage.retainit.cache::<u64>("other").build().unwrap();
        assert!(!other.exists(&1).await.unwrap());
    }
}

struct Opaque;

// A type that cannot be serialized is kept in memory, and a byte backend is refused by name.
#[tokio::test]
async fn local_caches_take_any_value() {
    let retainit = Retainit::builder()
        .register_backend("default", MemoryConfig::new())
        .register_backend("bytes", ByteConfig::new())
        .register_backend("weighed", MemoryConfig::new().max_bytes(1 << 20))
        .build()
        .unwrap();
    let cache = retainit.cache::<Arc<Opaque>>("opaque").build_local().unwrap();
    let value = Arc::new(Opaque);
    cache.set(&1, Arc::clone(&value)).await.unwrap();
    let cached = cache.get(&1).await.unwrap().value().unwrap();
    assert!(Arc::ptr_eq(&value, &cached), "it is kept as it is");
    for backend in ["bytes", "weighed"] {
        let error = retainit.cache::<Arc<Opaque>>("opaque 2").backend(backend).build_local().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("opaque 2"), "{error}");
    }
    let error = retainit.cache::<u8>("x").backend("none").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    // What was registered, and what is linked and could be used by its type's name.
    assert!(error.to_string().ends_with("there are: bytes, default, disk, memory, weighed"), "{error}");
}

// C-38
#[test]
fn caches_and_instances_go_to_other_threads() {
    fn sound<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let retainit = Retainit::default();
    sound(&retainit);
    sound(&retainit.cache::<u8>("c").build().unwrap());
}

#[test]
fn a_builder_names_every_option_that_cannot_be_used() {
    let retainit = Retainit::default();
    let builder = retainit.cache::<u8>("").ttl("x").jitter(2.0).single_flight("cluster").max_load_time("never");
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["`x`", "jitter 2", "cluster", "max_load_time", "name"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

// The payload never encodes the outermost `Some`.
#[tokio::test]
async fn a_stored_none_inside_a_some() {
    for stage in Stage::each() {
        let units = stage.retainit.cache::<Option<()>>("units").build().unwrap();
        units.set(&1, Some(())).await.unwrap();
        assert_eq!(units.get(&1).await.unwrap().value(), Some(Some(())));

        let nested = stage.retainit.cache::<Option<Option<u8>>>("nested").build().unwrap();
        for value in [None, Some(None), Some(Some(1))] {
            nested.set(&1, value).await.unwrap();
            assert_eq!(nested.get(&1).await.unwrap().value(), Some(value));
        }
    }
}

#[test]
fn what_is_personal_goes_to_no_backend_that_keeps_bytes() {
    let builder = Retainit::builder().secret("0123456789abcdef").register_backend("bytes", ByteConfig::new());
    let error = builder.build().unwrap().cache::<String>("people").pii().build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`pii` demands encryption"), "{error}");
    Retainit::builder().build().unwrap().cache::<String>("people").pii().build().unwrap();
}
