//! Tests the handle of a function.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::handle::{Handle, SyncHandle};
use retainit::{Evicted, Freshness, Lookup, Reason, Warm, retain};

use crate::common::{Gate, Runs, Stage, soon};

static LOADS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[retain(id = "handle.user", ttl = "1m", tags("user:{id}"))]
async fn user(id: u64) -> Result<Option<String>, String> {
    let n = LOADS.add();
    match id {
        0 => Ok(None),
        13 => Err("unlucky".to_owned()),
        _ => Ok(Some(format!("{id} {n}"))),
    }
}

#[retain(id = "handle.other")]
async fn other(id: u64) -> u64 {
    id
}

// T-40, T-46, R-12
#[tokio::test]
async fn get_remove_ttl_exists_and_entries() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        LOADS.take();
        let users = user::cache();
        stage
            .run(async {
                assert_eq!(users.get(&1).await.unwrap(), Lookup::Miss);
                user(1).await.unwrap();
                stage.seconds(20);
                let Lookup::Hit { value, meta } = users.get(&1).await.unwrap() else { panic!("it was stored") };
                assert_eq!((value.as_deref(), meta.freshness), (Some("1 1"), Freshness::Fresh));
                assert_eq!((meta.age(), meta.ttl()), (Duration::from_secs(20), Some(Duration::from_secs(40))));
                assert_eq!(meta.fresh_until.unwrap().duration_since(meta.created_at).unwrap().as_secs(), 60);
                assert_eq!(users.ttl(&1).await.unwrap(), Some(Some(Duration::from_secs(40))));
                assert_eq!(users.ttl(&2).await.unwrap(), None);
                assert!(users.exists(&1).await.unwrap() && !users.exists(&2).await.unwrap());
                let entry = users.get_entry(&1).await.unwrap().unwrap();
                assert!(entry.is_fresh() && entry.age() == Duration::from_secs(20));

                user(2).await.unwrap();
                assert!(users.remove(&1).await.unwrap() && !users.remove(&1).await.unwrap());
                assert_eq!(LOADS.take(), 2);
                user(1).await.unwrap();
                user(2).await.unwrap();
                assert_eq!(LOADS.take(), 1, "the other entry stayed");
            })
            .await;
    }
}

// raw entries go out and come back as they were, with their age.
#[tokio::test]
async fn entries_round_trip() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("entries").ttl("1m").build().unwrap();
        cache.set(&1, 10).await.unwrap();
        stage.seconds(20);
        let entry = cache.get_entry(&1).await.unwrap().unwrap();
        cache.set_entry(&2, entry).await.unwrap();
        assert_eq!(cache.ttl(&2).await.unwrap(), Some(Some(Duration::from_secs(40))));
        let meta = *cache.get(&2).await.unwrap().meta().unwrap();
        assert_eq!(meta.age(), Duration::from_secs(20));
        let entry = cache.get_entry(&1).await.unwrap().unwrap();
        stage.seconds(40);
        cache.set_entry(&3, entry).await.unwrap();
        assert!(cache.get(&3).await.unwrap().is_miss(), "it is as expired as it would be");
    }
}

// "load now, replace"
#[tokio::test]
async fn refresh() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        LOADS.take();
        stage.run(user(1)).await.unwrap();
        stage.seconds(59);
        assert_eq!(stage.run(user::cache().refresh(1)).await, Ok(Some("1 2".to_owned())));
        assert_eq!(stage.run(user(1)).await, Ok(Some("1 2".to_owned())));
        assert_eq!(stage.run(user::cache().ttl(&1)).await.unwrap(), Some(Some(Duration::from_secs(60))));
        assert_eq!(stage.run(user::cache().refresh(13)).await, Err("unlucky".to_owned()));
    }
}

static SLOW: Gate = Gate::new();
static VERSION: AtomicU64 = AtomicU64::new(0);

#[retain(id = "handle.slow")]
async fn slow(id: u64) -> u64 {
    let read = VERSION.load(Ordering::SeqCst) + id;
    SLOW.pass().await;
    read
}

// A refresh that stores breaks the key's fence: a load from before it does not overwrite it.
#[tokio::test]
async fn a_load_under_way_never_overwrites_a_refresh() {
    for stage in Stage::each() {
        VERSION.store(1, Ordering::SeqCst);
        let load = tokio::spawn(retainit::with_instance(&stage.retainit, slow(0)));
        SLOW.reached().await;
        VERSION.store(2, Ordering::SeqCst);
        let instance = stage.retainit.clone();
        let refresh = tokio::spawn(async move { retainit::with_instance(&instance, slow::cache().refresh(0)).await });
        SLOW.reached().await;
        SLOW.open();
        SLOW.open();
        assert_eq!((soon(load).await.unwrap(), soon(refresh).await.unwrap()), (1, 2));
        let found = stage.run(slow::cache().get(&0)).await.unwrap().value();
        // A byte store may refuse both; the old value is never what stays.
        assert!(found == Some(2) || found.is_none() && !stage.is_memory(), "{found:?}");
    }
}

static WARMING: Gate = Gate::new();
static AT_ONCE: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

#[retain(id = "handle.warmed")]
async fn warmed(id: u64) -> Result<u64, String> {
    let now = AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1;
    MOST.fetch_max(now, Ordering::SeqCst);
    WARMING.pass().await;
    AT_ONCE.fetch_sub(1, Ordering::SeqCst);
    if id == 7 { Err("seven".to_owned()) } else { Ok(id) }
}

// T-41: bounded concurrency, progress, and what came of it.
#[tokio::test]
async fn warm() {
    for stage in Stage::each() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let how = Warm::new().concurrency(4).progress(move |p| ear.lock().unwrap().push((p.done, p.total)));
        WARMING.open();
        stage.run(warmed(3)).await.unwrap();
        WARMING.reached().await;
        MOST.store(0, Ordering::SeqCst);
        let let_go = async {
            for _ in 0..4 {
                WARMING.reached().await;
            }
            (0..19).for_each(|_| WARMING.open());
        };
        let handle = warmed::cache();
        let warming = stage.run(handle.warm_with(0..20, how));
        let done = soon(async { tokio::join!(warming, let_go) }).await.0.unwrap();
        assert_eq!((done.loaded, done.present, done.failed), (18, 1, 1));
        assert_eq!(MOST.load(Ordering::SeqCst), 4);
        assert_eq!(*heard.lock().unwrap(), (1..=20).map(|n| (n, 20)).collect::<Vec<_>>());
        assert_eq!(stage.run(warmed(5)).await, Ok(5), "a call is answered without a load");
        WARMING.open();
        let again = soon(stage.run(warmed::cache().warm(0..20))).await.unwrap();
        assert_eq!((again.loaded, again.present, again.failed), (0, 19, 1));
        for _ in 0..16 {
            WARMING.reached().await;
        }
    }
}

#[retain(id = "handle.warmed_sync")]
fn warmed_sync(name: &str, parts: &[u64]) -> u64 {
    assert_ne!(name, "panic", "as it should");
    LOADS_SYNC.add() + parts.len() as u64
}

static LOADS_SYNC: Runs = Runs::new();

// Sync functions: blocking methods, owned arguments; a panic of one call is its failure and not the warming's.
#[test]
fn handles_of_sync_functions() {
    for stage in Stage::each() {
        LOADS_SYNC.take();
        stage.run_sync(|| {
            let args = |name: &str| (name.to_owned(), vec![1, 2]);
            let handle = warmed_sync::cache();
            let done = handle.warm_with(["a", "b", "panic", "c"].map(args), Warm::new().concurrency(2)).unwrap();
            assert_eq!((done.loaded, done.present, done.failed), (3, 0, 1));
            assert!(handle.get(&("a", &[1, 2])).unwrap().is_hit());
            let before = warmed_sync("a", &[1, 2]);
            assert!(handle.refresh(args("a")) > before && warmed_sync("a", &[1, 2]) > before);
            assert_eq!(handle.keys().unwrap().len(), 3);
            assert_eq!(handle.clear().unwrap(), Evicted::Exact(3));
            assert_eq!(handle.stats().loads, 5 - 1);
        });
    }
}

// T-39
#[tokio::test]
async fn clear_is_for_this_function_only() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        for id in 1..=3 {
            stage.run(user(id)).await.unwrap();
            stage.run(other(id)).await;
        }
        assert_eq!(stage.run(user::cache().clear()).await.unwrap(), Evicted::Exact(3));
        assert!(!stage.run(user::cache().exists(&1)).await.unwrap());
        assert!(stage.run(other::cache().exists(&1)).await.unwrap());
    }
}

//
#[tokio::test]
async fn keys_of_the_function_and_by_prefix() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        for id in [1, 2, 12] {
            stage.run(user(id)).await.unwrap();
            stage.run(other(id)).await;
        }
        let mut keys = stage.run(async { user::cache().keys().unwrap().collect().await }).await.unwrap();
        keys.sort();
        assert_eq!(keys, ["handle.user:1", "handle.user:12", "handle.user:2"]);
        let mut stream = stage.retainit.keys("handle.user:1");
        let mut found = Vec::new();
        while let Some(key) = stream.next().await {
            found.push(key.unwrap());
        }
        found.sort();
        assert_eq!(found, ["handle.user:1", "handle.user:12"]);
        assert_eq!(stage.retainit.keys_matching("*:?").collect().await.unwrap().len(), 4);
        stage.seconds(60);
        assert_eq!(stage.retainit.keys("").collect().await.unwrap().len(), 3, "what has expired is not shown");
    }
}

// C-32
#[tokio::test]
async fn stats() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        for id in [1, 1, 2, 0, 13, 1] {
            stage.run(user(id)).await.ok();
        }
        let stats = stage.run(async { user::cache().stats() }).await;
        assert_eq!((stats.hits, stats.misses, stats.loads, stats.evictions), (2, 4, 4, 0));
        assert!((stats.hit_rate() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(stats.storage_type, if stage.is_memory() { "memory" } else { "bytes" });
        assert_eq!(stats.total_keys, if stage.is_memory() { 2 } else { 0 });
        stage.run(user::cache().get(&1)).await.unwrap();
        stage.run(user::cache().get(&5)).await.unwrap();
        stage.run(user::cache().exists(&1)).await.unwrap();
        let stats = stage.run(async { user::cache().stats() }).await;
        assert_eq!((stats.hits, stats.misses), (3, 5), "reading through the handle counts like a call");
        stage.run(other(1)).await;
        assert_eq!(stage.retainit.stats().loads, 5);
        assert_eq!(stage.run(async { retainit::stats() }).await.loads, 5);
    }
}

// `explain` gives the reason, and is `Display`.
#[tokio::test]
async fn explain() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        let why = async || stage.run(user::cache().explain(&1)).await.unwrap();
        assert_eq!(*why().await.reason(), Reason::Absent);
        stage.run(user(1)).await.unwrap();
        let hit = why().await;
        assert!(hit.is_hit() && matches!(hit.reason(), Reason::Fresh(_)));
        assert_eq!((hit.key().as_str(), hit.to_string().contains("60s left")), ("handle.user:1", true));
        stage.retainit.invalidate_tag("user:1").await.unwrap();
        assert_eq!(*why().await.reason(), Reason::Invalidated("one of its tags was invalidated"));
        let entry = stage.run(user::cache().get_entry(&1)).await.unwrap().expect("nobody has met it since");
        assert_eq!((entry.is_fresh(), entry.meta.freshness), (false, Freshness::Expired));
        stage.run(user(1)).await.unwrap();
        stage.run(user::cache().clear()).await.unwrap();
        assert!(matches!(why().await.reason(), Reason::Absent | Reason::Invalidated("the function was cleared")));
        stage.run(user(1)).await.unwrap();
        stage.seconds(60);
        let expired = why().await;
        assert!(matches!(expired.reason(), Reason::Expired(_) | Reason::Absent) && !expired.is_hit(), "{expired}");
        let disabled = stage.run(retainit::disabled(user::cache().explain(&1))).await.unwrap();
        assert_eq!(*disabled.reason(), Reason::Disabled);
    }
}

/// Keeps handles in fields, by the names of their types.
struct Handles {
    user: Handle<user, Result<Option<String>, String>>,
    add: SyncHandle<add, u64>,
}

#[retain(id = "handle.add", tags("sums"))]
fn add(one: u64, other: u64) -> u64 {
    one + other
}

#[tokio::test]
async fn handles_can_be_named_and_kept() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let handles = Handles { user: user::cache(), add: add::cache() };
    let stage = Stage::memory();
    stage.run(async { user(1).await.ok() }).await;
    assert!(stage.run(handles.user.get(&1)).await.unwrap().is_hit());
    stage.run_sync(|| {
        assert_eq!(add(1, 2), 3);
        assert_eq!(handles.add.get(&(1, 2)).unwrap().value(), Some(3));
    });
}

// C-32: counted on the way, whatever makes entries leave.
#[test]
fn keys_held_are_counted_as_they_come_and_go() {
    let stage = Stage::memory();
    let held = || add::cache().stats().total_keys;
    stage.run_sync(|| {
        for one in 0..10 {
            add(one, 0);
        }
        add::cache().refresh((1, 0));
        assert_eq!(held(), 10);
        add::cache().remove(&(1, 0)).unwrap();
        assert_eq!(held(), 9);
        stage.retainit.blocking().invalidate_tag("sums").unwrap();
        stage.retainit.cleanup_expired();
        assert_eq!(held(), stage.retainit.stats().total_keys);
        add(1, 0);
        add::cache().clear().unwrap();
        assert_eq!((held(), stage.retainit.stats().total_keys), (0, 0));
    });
}
