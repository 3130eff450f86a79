//! Tests invalidation: by key, function, tag, pattern and namespace; during loads.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{ErrorKind, Evicted, retain};
use retainit_plugin::Capabilities;
use retainit_testkit::{ByteConfig, Op};

use crate::common::{Gate, Runs, Stage, soon};

#[retain(id = "shop::user", tags("user", "user:{id}"))]
async fn user(id: u64) -> u64 {
    LOADS.add() + id
}

#[retain(id = "shop::order", tags("order", "user:{user}"))]
async fn order(user: u64, id: u64) -> u64 {
    LOADS.add() + user + id
}

static LOADS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Calls everything once and returns the number of loads.
async fn loads(stage: &Stage) -> u64 {
    LOADS.take();
    stage
        .run(async {
            for id in 1..=3 {
                user(id).await;
                order(id, 10).await;
                order(id, 11).await;
            }
        })
        .await;
    LOADS.take()
}

// T-43, T-46, T-39, T-40, P-11, P-12, T-45: each reaches what it names and nothing else.
#[tokio::test]
async fn each_invalidation_reaches_what_it_names() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        let retainit = &stage.retainit;
        assert_eq!((loads(&stage).await, loads(&stage).await), (9, 0));
        retainit.invalidate_tag("user:2").await.unwrap();
        assert_eq!(loads(&stage).await, 3);
        retainit.expire_tag("user:2").await.unwrap();
        assert_eq!(loads(&stage).await, 3, "soft: loaded again at the next call");
        retainit.invalidate_tag("order").await.unwrap();
        assert_eq!(loads(&stage).await, 6);
        retainit.invalidate_tag("nobody has it").await.unwrap();
        assert_eq!(loads(&stage).await, 0);
        stage.run(user::cache().remove(&1)).await.unwrap();
        assert_eq!(loads(&stage).await, 1);
        assert_eq!(stage.run(order::cache().clear()).await.unwrap(), Evicted::Exact(6));
        assert_eq!(loads(&stage).await, 6);
        assert_eq!(retainit.invalidate_pattern("shop::order:*11)").await.unwrap(), Evicted::Exact(3));
        assert_eq!(loads(&stage).await, 3);
        assert_eq!(retainit.invalidate_pattern("shop::user:?").await.unwrap(), Evicted::Exact(3));
        assert_eq!(loads(&stage).await, 3);
        assert_eq!(retainit.invalidate_pattern("user:*").await.unwrap(), Evicted::Exact(0));
        assert_eq!(loads(&stage).await, 0);
        assert_eq!(retainit.clear().await.unwrap(), Evicted::Exact(9));
        assert_eq!(loads(&stage).await, 9);
    }
}

// O(1): one operation of the backend however many entries there are.
#[tokio::test]
async fn a_tag_is_one_increment() {
    let stage = Stage::bytes();
    let cache = stage.retainit.cache::<u64>("c").tags(["t"]).build().unwrap();
    for key in 0..500_u64 {
        cache.set(&key, key).await.unwrap();
    }
    let faults = stage.bytes.as_ref().unwrap().faults();
    faults.reset_calls();
    stage.retainit.invalidate_tag("t").await.unwrap();
    assert_eq!((faults.calls(Op::Raise), faults.calls(Op::All)), (1, 1));
    assert!(cache.get_many(0..500_u64).await.unwrap().iter().all(|found| found.is_miss()));
}

static VALUE: AtomicU64 = AtomicU64::new(0);
static READING: Gate = Gate::new();

#[retain(id = "invalidation.read", key = "{id}", tags("by:{caller}"))]
async fn read(id: u64, caller: u64) -> u64 {
    let read = VALUE.load(Ordering::SeqCst) + id;
    READING.pass().await;
    read + caller - caller
}

// Tags may name arguments that are not in the key: a caller with other tags does not join a load that its leader's
// tags have condemned.
#[tokio::test]
async fn a_load_is_detached_by_the_tags_of_its_leader() {
    for stage in Stage::each() {
        VALUE.store(0, Ordering::SeqCst);
        let leader = tokio::spawn(retainit::with_instance(&stage.retainit, read(0, 1)));
        READING.reached().await;
        VALUE.store(100, Ordering::SeqCst);
        stage.retainit.invalidate_tag("by:1").await.unwrap();
        READING.open();
        READING.open();
        let follower = soon(stage.run(read(0, 2))).await;
        assert_eq!((soon(leader).await.unwrap(), follower), (0, 100));
        READING.reached().await;
    }
}

static CACHE_READING: Gate = Gate::new();

// The same for caches: everything that writes or removes a key refuses the load that began before it.
#[tokio::test]
async fn whatever_touches_a_key_refuses_loads_under_way() {
    for stage in Stage::each() {
        for how in 0..5 {
            let cache = stage.retainit.cache::<u64>("c").tags(["t"]).build().unwrap();
            let loading = cache.clone();
            let load = tokio::spawn(async move {
                let old = || async {
                    CACHE_READING.pass().await;
                    1
                };
                loading.get_or_load(&"k", old).await
            });
            CACHE_READING.reached().await;
            match how {
                0 => cache.set(&"k", 2).await.unwrap(),
                1 => assert!(cache.set_if_absent(&"k", 2).await.unwrap()),
                2 => drop(cache.remove(&"k").await.unwrap()),
                3 => drop(cache.clear().await.unwrap()),
                _ => stage.retainit.invalidate_tag("t").await.unwrap(),
            }
            CACHE_READING.open();
            assert_eq!(soon(load).await.unwrap(), 1);
            let expected = if how < 2 { Some(2) } else { None };
            assert_eq!(cache.get(&"k").await.unwrap().value(), expected, "way {how}");
            cache.clear().await.unwrap();
        }
    }
}

// A load that began after an invalidation is not its business.
#[tokio::test]
async fn loads_that_begin_later_are_stored() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("c").tags(["t"]).build().unwrap();
        for n in 0..5 {
            stage.retainit.invalidate_tag("t").await.unwrap();
            cache.remove(&1).await.unwrap();
            stage.retainit.invalidate_pattern("c:*").await.unwrap();
            cache.clear().await.unwrap();
            stage.retainit.clear().await.unwrap();
            assert_eq!(cache.get_or_load(&1, || async move { n }).await, n);
            assert_eq!(cache.get_or_load(&1, || async { unreachable!() }).await, n);
        }
    }
}

// A backend fails at what it cannot do, instead of pretending.
#[tokio::test]
async fn backends_that_cannot() {
    let with = |capabilities: Capabilities| {
        let config = ByteConfig::new().capabilities(capabilities);
        retainit::Retainit::builder().register_backend("main", config).build().unwrap()
    };
    let none = with(Capabilities::none());
    let cache = none.cache::<u64>("c").build().unwrap();
    cache.set(&1, 1).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap().value(), Some(1));
    assert!(cache.remove(&1).await.unwrap());
    let refused = |error: retainit::Error| assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    refused(none.invalidate_tag("t").await.unwrap_err());
    refused(none.invalidate_pattern("*").await.unwrap_err());
    refused(cache.set_if_absent(&1, 1).await.unwrap_err());
    refused(cache.clear().await.unwrap_err());

    let versions = with(Capabilities::none().versions());
    let cache = versions.cache::<u64>("c").tags(["t"]).build().unwrap();
    cache.set(&1, 1).await.unwrap();
    assert_eq!(cache.clear().await.unwrap(), Evicted::Unknown);
    assert!(!cache.exists(&1).await.unwrap(), "gone all the same");
    cache.set(&1, 1).await.unwrap();
    assert_eq!(versions.clear().await.unwrap(), Evicted::Unknown);
    assert!(!cache.exists(&1).await.unwrap());
}

// Counts are of what was there.
#[tokio::test]
async fn counts_are_exact() {
    for stage in Stage::each() {
        let one = stage.retainit.cache::<u64>("one").build().unwrap();
        let two = stage.retainit.cache::<u64>("two").build().unwrap();
        for key in 0..1_200_u64 {
            one.set(&key, key).await.unwrap();
            two.set(&key, key).await.unwrap();
        }
        assert_eq!(stage.retainit.keys("one:").collect().await.unwrap().len(), 1_200);
        assert_eq!(stage.retainit.invalidate_pattern("one:1*").await.unwrap(), Evicted::Exact(1 + 10 + 100 + 200));
        assert_eq!(one.clear().await.unwrap(), Evicted::Exact(1_200 - 311));
        assert_eq!(stage.retainit.clear().await.unwrap(), Evicted::Exact(1_200));
    }
}
