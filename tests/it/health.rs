//! `health()`: reads and writes of every backend, and the functions that run uncached.

use std::time::Duration;

use retainit::{Cache, Health, MemoryConfig, Overrides, Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_testkit::{ByteConfig, ManualClock, Op};
use serde::{Serialize, Serializer};

use crate::common::{patient, soon};

#[retain(id = "health.user")]
fn user(id: u64) -> u64 {
    id
}

#[retain(id = "health.nowhere", backend = "nowhere")]
fn nowhere(id: u64) -> u64 {
    id
}

#[retain(id = "health.key", key = Unwritable(id))]
fn keyed(id: u64) -> u64 {
    id
}

/// A key that can be written if it is even.
struct Unwritable(u64);

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(2) {
            self.0.serialize(serializer)
        } else {
            Err(serde::ser::Error::custom("it is odd"))
        }
    }
}

fn instance(config: ByteConfig, clock: &ManualClock) -> Retainit {
    patient().clock(clock.clone()).register_backend("main", config).build().unwrap()
}

fn kinds() -> [ByteConfig; 2] {
    [ByteConfig::new(), ByteConfig::new().blocking()]
}

/// Lists failing parts, as `name: why`.
fn failing(health: &Health) -> Vec<String> {
    health.failing.iter().map(|(name, error)| format!("{name}: {error}")).collect()
}

async fn asked(instance: &Retainit) -> Vec<String> {
    let health = soon(instance.health()).await.unwrap();
    assert_eq!(failing(&health).is_empty(), health.is_healthy());
    assert_eq!(
        failing(&health).is_empty(),
        failing(&instance.blocking().health().unwrap()).is_empty(),
        "for both faces"
    );
    failing(&health)
}

// R-22, T-116
#[tokio::test]
async fn a_backend_that_cannot_be_read_or_written_is_named() {
    for config in kinds() {
        let faults = config.faults();
        let builder = Retainit::builder().op_timeout(Duration::from_millis(500));
        let instance = builder.register_backend("main", config).build().unwrap();
        assert!(asked(&instance).await.is_empty());
        for op in [Op::Health, Op::Read, Op::Store, Op::Remove, Op::All] {
            faults.fail_always(op);
            assert!(matches!(asked(&instance).await.as_slice(), [one] if one.starts_with("main: ")), "{op:?}");
            faults.heal();
            assert!(asked(&instance).await.is_empty(), "{op:?}");
        }
        faults.hang(Op::Store);
        assert!(asked(&instance).await[0].contains("no answer within"), "it waits as long as an operation may take");
        faults.heal();
    }
}

#[tokio::test]
async fn nothing_is_left_and_nothing_goes_for_the_trial() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskConfig::new().base_path(folder.path()).max_entries(1);
    let disk = patient().register_backend("main", disk).build().unwrap();
    for instance in kinds().map(|config| instance(config, &ManualClock::new())).iter().chain([&disk]) {
        retainit::with_instance_sync(instance, || user(1));
        for _ in 0..3 {
            assert!(asked(instance).await.is_empty());
        }
        assert_eq!(instance.keys("").collect().await.unwrap(), ["health.user:1"]);
        assert_eq!((instance.stats().evictions, instance.stats().misses, instance.stats().errors), (0, 1, 0));
    }
}

#[tokio::test]
async fn the_last_reads_and_stores_of_calls_count_for_a_minute() {
    for op in [Op::Read, Op::Store] {
        for config in kinds() {
            let (faults, clock) = (config.faults(), ManualClock::new());
            let instance = instance(config, &clock);
            let call = |id| retainit::with_instance_sync(&instance, || user(id));
            faults.fail(op, 2);
            (0..2).for_each(|id| assert_eq!(call(id), id));
            assert!(asked(&instance).await.is_empty(), "{op:?}: what happens now and then is outweighed by a trial");
            faults.fail(op, 3);
            (2..5).for_each(|id| assert_eq!(call(id), id));
            assert!(asked(&instance).await[0].contains("of calls"), "{op:?}: though a trial succeeds");
            call(5);
            assert!(asked(&instance).await.is_empty(), "{op:?}: the next one succeeded");
            faults.fail(op, 3);
            (6..9).for_each(|id| assert_eq!(call(id), id));
            clock.advance(Duration::from_secs(61));
            assert!(asked(&instance).await.is_empty(), "{op:?}: it was long ago");
        }
    }
}

#[tokio::test]
async fn functions_and_caches_that_run_uncached_are_named_with_the_reason() {
    let builder = Retainit::builder().register_backend("main", MemoryConfig::new());
    let instance = builder.default_backend("main").build().unwrap();
    let run = |call: &dyn Fn() -> u64| retainit::with_instance_sync(&instance, call);
    let cache: Cache<u64> = instance.cache("health.cache").build().unwrap();
    assert!(asked(&instance).await.is_empty(), "functions that are not used here are no matter of this instance");
    run(&|| nowhere(1));
    let named = asked(&instance).await;
    assert!(matches!(named.as_slice(), [one] if one.starts_with("function `health.nowhere`: no backend is called")));
    // It is the settings' fault no longer.
    instance.register_backend("nowhere", MemoryConfig::new()).unwrap();
    assert!(asked(&instance).await.is_empty());
    run(&|| nowhere(1));
    run(&|| keyed(1));
    cache.blocking().get_or_load(&Unwritable(1), || 1);
    let named = asked(&instance).await;
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[0].starts_with("function `health.cache`: ") && named[0].contains("it is odd"), "{named:?}");
    assert!(named[1].starts_with("function `health.key`: "), "{named:?}");
    run(&|| keyed(2));
    cache.blocking().get_or_load(&Unwritable(2), || 1);
    assert!(asked(&instance).await.is_empty(), "the last call of each was cached");
}

#[tokio::test]
async fn what_the_program_asked_for_is_no_problem() {
    let instance = Retainit::builder().register_backend("main", MemoryConfig::new()).build().unwrap();
    retainit::with_instance_sync(&instance, || {
        retainit::disabled_sync(|| user(1));
        retainit::with_sync(Overrides::new().backend("nowhere"), || user(1));
    });
    assert_eq!(instance.stats().uncached, 2);
    assert!(asked(&instance).await.is_empty(), "nor is an override that cannot be used, which is told where it is");
}
