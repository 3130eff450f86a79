//! Several instances side by side, and the fixture of tests.

use std::time::Duration;

use retainit::{MemoryConfig, Retainit, retain};
use retainit_testkit::{ByteConfig, ByteStore};

use crate::common::Runs;

static LOADS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[retain(id = "instances.user")]
async fn user(id: u64) -> u64 {
    LOADS.add();
    id
}

/// Builds an instance of its own for one test.
fn fixture() -> Retainit {
    Retainit::builder().register_backend("default", MemoryConfig::new()).build().unwrap()
}

// P-41: an in-memory fixture, isolated per test.
#[tokio::test]
async fn a_fixture_of_its_own() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (one, other) = (fixture(), fixture());
    LOADS.take();
    for instance in [&one, &other] {
        retainit::with_instance(instance, user(1)).await;
        retainit::with_instance(instance, user(1)).await;
    }
    assert_eq!(LOADS.take(), 2, "each has its own entries");
    one.clear().await.unwrap();
    assert!(retainit::with_instance(&other, user::cache().exists(&1)).await.unwrap());
    one.close().await.unwrap();
    assert!(retainit::with_instance(&other, user::cache().exists(&1)).await.unwrap());
    assert_eq!((one.stats().loads, other.stats().loads), (1, 1));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                let instance = fixture();
                let cache = instance.cache::<u64>("c").build().unwrap();
                (0..100).map(|n| cache.blocking().get_or_load(&n, || n)).sum::<u64>() + instance.stats().loads
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 4_950 + 100);
    }
}

// A-06, P-11: namespaces keep programs apart in one store, and clear only themselves.
#[tokio::test]
async fn namespaces_in_one_store() {
    let store = ByteStore::new();
    let of = |namespace: &str| {
        let builder = Retainit::builder().namespace(namespace).register_backend("main", ByteConfig::on(&store));
        builder.build().unwrap()
    };
    let (shop, admin) = (of("shop"), of("shop:admin"));
    for (instance, value) in [(&shop, 1), (&admin, 2)] {
        let cache = instance.cache::<u64>("c").tags(["t"]).build().unwrap();
        cache.set(&1, value).await.unwrap();
        assert_eq!(cache.get(&1).await.unwrap().value(), Some(value));
        assert_eq!(instance.keys("").collect().await.unwrap(), ["c:1"]);
    }
    store.put("foreign", "bytes");
    shop.invalidate_tag("t").await.unwrap();
    let theirs = admin.cache::<u64>("c").build().unwrap();
    assert!(theirs.exists(&1).await.unwrap());
    assert_eq!(shop.clear().await.unwrap().count(), Some(1));
    assert!(theirs.exists(&1).await.unwrap());
    assert!(store.entry("foreign").is_some(), "never foreign keys");
}

// T-44, T-40 across processes: two instances on one store are two processes.
#[tokio::test]
async fn two_processes_on_one_store() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let config = ByteConfig::new();
    let process = |config: ByteConfig| Retainit::builder().register_backend("main", config).build().unwrap();
    let (one, other) = (process(config.clone()), process(config.share()));
    LOADS.take();
    retainit::with_instance(&one, user(9)).await;
    retainit::with_instance(&other, user(9)).await;
    assert_eq!(LOADS.take(), 1, "they share results");
    retainit::with_instance(&one, user::cache().remove(&9)).await.unwrap();
    retainit::with_instance(&other, user(9)).await;
    assert_eq!(LOADS.take(), 1);

    let (here, there) = (
        one.cache::<u64>("tagged").tags(["t"]).max_staleness(Duration::ZERO).build().unwrap(),
        other.cache::<u64>("tagged").tags(["t"]).max_staleness(Duration::ZERO).build().unwrap(),
    );
    for invalidate in 0..4 {
        here.set(&1, 1).await.unwrap();
        assert!(there.exists(&1).await.unwrap());
        match invalidate {
            0 => one.invalidate_tag("t").await.unwrap(),
            1 => one.expire_tag("t").await.unwrap(),
            2 => drop(here.clear().await.unwrap()),
            _ => drop(one.invalidate_pattern("tagged:*").await.unwrap()),
        }
        assert!(!there.exists(&1).await.unwrap(), "way {invalidate}");
    }
    here.set(&1, 1).await.unwrap();
    config.store().lose_versions();
    assert!(!there.exists(&1).await.unwrap(), "lost versions fail towards a miss");
}

// `with_instance` nests, and a cache belongs to its instance wherever it is used.
#[tokio::test]
async fn the_innermost_instance_counts() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (one, other) = (fixture(), fixture());
    let cache = one.cache::<u64>("mine").build().unwrap();
    retainit::with_instance(&one, async {
        retainit::with_instance(&other, async {
            user(5).await;
            cache.set(&1, 1).await.unwrap();
        })
        .await;
        user(6).await;
    })
    .await;
    let keys = async |instance: &Retainit| {
        let mut keys = instance.keys("").collect().await.unwrap();
        keys.sort();
        keys
    };
    assert_eq!(keys(&one).await, ["instances.user:6", "mine:1"]);
    assert_eq!(keys(&other).await, ["instances.user:5"]);
    retainit::with_instance_sync(&one, || {
        assert_eq!(retainit::current().backends(), ["default"]);
        retainit::register_backend("second", MemoryConfig::new()).unwrap();
    });
    assert_eq!((one.backends().len(), other.backends().len()), (2, 1));
}
