//! Calls that run without the cache are counted, whatever the reason.

use std::time::Duration;

use retainit::{Cache, MemoryConfig, Overrides, Retainit, Stats, retain};
use retainit_testkit::{ByteConfig, Op};
use serde::{Serialize, Serializer};

use crate::common::Stage;

#[retain(id = "uncached.sync")]
fn user_sync(id: u64) -> u64 {
    id
}

#[retain(id = "uncached.async")]
async fn user(id: u64) -> u64 {
    id
}

#[retain(id = "uncached.tagged", tags("{id}"), key = (id.len(),))]
fn tagged(id: String) -> usize {
    id.len()
}

#[retain(id = "uncached.key", key = Unwritable)]
fn unwritable(id: u64) -> u64 {
    id
}

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no text"))
    }
}

/// One call of everything that is called in one way or another: how many there are.
const CALLS: u64 = 4;

async fn call_all(instance: &Retainit, cache: &Cache<u64>) {
    assert_eq!(retainit::with_instance(instance, user(1)).await, 1);
    assert_eq!(retainit::with_instance_sync(instance, || user_sync(1)), 1);
    assert_eq!(cache.get_or_load(&1, || async { 1 }).await, 1);
    assert_eq!(cache.blocking().get_or_load(&1, || 1), 1);
}

fn cache(instance: &Retainit) -> Cache<u64> {
    instance.cache::<u64>("uncached.cache").build().unwrap()
}

fn counted(stats: &Stats) -> (u64, u64) {
    (stats.uncached, stats.hits + stats.misses)
}

#[tokio::test]
async fn calls_under_disabled_and_after_close_are_counted() {
    for stage in Stage::each() {
        let (instance, cache) = (&stage.retainit, cache(&stage.retainit));
        retainit::disabled(call_all(instance, &cache)).await;
        retainit::with(Overrides::new().disabled(true), call_all(instance, &cache)).await;
        assert_eq!(counted(&instance.stats()), (2 * CALLS, 0));
        call_all(instance, &cache).await;
        assert_eq!(counted(&instance.stats()), (2 * CALLS, CALLS), "in the cache");
        instance.close().await.unwrap();
        call_all(instance, &cache).await;
        assert_eq!(counted(&instance.stats()), (3 * CALLS, CALLS));
        // Each function by itself.
        assert_eq!(counted(&cache.stats()), (6, 2));
        assert_eq!(retainit::with_instance_sync(instance, || user_sync::cache().stats().uncached), 3);
    }
}

#[tokio::test]
async fn calls_under_an_override_that_cannot_be_used_are_counted() {
    let stage = Stage::memory();
    let cache = cache(&stage.retainit);
    retainit::with(Overrides::new().backend("nowhere"), call_all(&stage.retainit, &cache)).await;
    assert_eq!(counted(&stage.retainit.stats()), (CALLS, 0));
}

#[tokio::test]
async fn calls_whose_backend_does_not_answer_are_counted() {
    for config in [ByteConfig::new(), ByteConfig::new().blocking()] {
        let faults = config.faults();
        let builder = Retainit::builder().op_timeout(Duration::from_millis(30)).register_backend("main", config);
        let instance = builder.build().unwrap();
        let cache = cache(&instance);
        faults.fail_always(Op::Read);
        call_all(&instance, &cache).await;
        assert_eq!(counted(&instance.stats()), (CALLS, CALLS), "they are misses too");
        faults.heal();
        call_all(&instance, &cache).await;
        assert_eq!(instance.stats().uncached, CALLS);
    }
}

#[test]
fn calls_whose_key_or_tags_cannot_be_used_are_counted() {
    let instance = Retainit::builder().register_backend("main", MemoryConfig::new()).build().unwrap();
    retainit::with_instance_sync(&instance, || {
        assert_eq!(unwritable(1), 1);
        assert_eq!(counted(&unwritable::cache().stats()), (1, 0));
    });
    let bytes = Retainit::builder().register_backend("main", ByteConfig::new()).build().unwrap();
    retainit::with_instance_sync(&bytes, || {
        // A tag that no entry has room for.
        assert_eq!(tagged("x".repeat(1 << 17)), 1 << 17);
        assert_eq!(counted(&tagged::cache().stats()), (1, 0));
    });
    let cache = cache(&instance);
    assert_eq!(cache.blocking().get_or_load(&Unwritable, || 7), 7);
    assert_eq!(counted(&cache.stats()), (1, 0));
    // A load that is answered by another call's, or calls itself, is a miss of a cache that works.
    assert_eq!(cache.blocking().get_or_load(&1, || cache.blocking().get_or_load(&1, || 1)), 1);
    assert_eq!(counted(&cache.stats()), (1, 2));
}
