//! The memory backend through the public interface: bounds, order, expiry, causes.

use std::collections::BTreeSet;
use std::time::Duration;

use retainit::{Cache, MemoryConfig, Policy, Retainit, Weigh, retain};
use retainit_testkit::ManualClock;

use crate::common::{Runs, soon};

fn stage(config: MemoryConfig) -> (Retainit, ManualClock) {
    let clock = ManualClock::new();
    (Retainit::builder().clock(clock.clone()).register_backend("main", config).build().unwrap(), clock)
}

fn cache(config: MemoryConfig) -> (Cache<u64>, Retainit, ManualClock) {
    let (retainit, clock) = stage(config);
    (retainit.cache("c").build().unwrap(), retainit, clock)
}

async fn there(cache: &Cache<u64>, keys: std::ops::Range<u64>) -> BTreeSet<u64> {
    let mut there = BTreeSet::new();
    for key in keys {
        if cache.exists(&key).await.unwrap() {
            there.insert(key);
        }
    }
    there
}

// T-19, T-25, C-25, R-29: never more than the bound, under both policies and both names of the field.
#[test]
fn max_entries_holds_under_concurrency() {
    let configs =
        [MemoryConfig::new().max_entries(100), MemoryConfig::new().max_size(100).policy(Policy::Lru).strict(true)];
    for config in configs {
        let (cache, retainit, _clock) = cache(config);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (cache, retainit) = (cache.clone(), &retainit);
                scope.spawn(move || {
                    for n in 0..2_000 {
                        cache.blocking().set(&(thread * 10_000 + n), n).unwrap();
                        if n % 50 == 0 {
                            assert!(retainit.stats().total_keys <= 100);
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        assert!(stats.total_keys <= 100 && stats.total_keys > 50, "{stats:?}");
        assert_eq!(stats.evictions + stats.total_keys, 8_000, "what is not there was evicted, and counted");
    }
}

// C-23: least recently used goes first; a get is a use, looking is not.
#[tokio::test]
async fn lru_order_is_exact() {
    let (cache, ..) = cache(MemoryConfig::new().max_entries(4).policy("lru"));
    for key in 0..4 {
        cache.set(&key, key).await.unwrap();
    }
    cache.get(&0).await.unwrap();
    assert_eq!(cache.get_or_load(&2, || async { unreachable!() }).await, 2);
    cache.exists(&1).await.unwrap();
    cache.ttl(&1).await.unwrap();
    cache.get_entry(&1).await.unwrap();
    cache.explain(&1).await.unwrap();
    cache.set(&4, 4).await.unwrap();
    assert_eq!(there(&cache, 0..6).await, [0, 2, 3, 4].into());
    cache.set(&5, 5).await.unwrap();
    assert_eq!(there(&cache, 0..6).await, [0, 2, 4, 5].into());
    assert_eq!(cache.stats().evictions, 2);
}

// C-26: with a ttl too, the order is the same in every run.
#[tokio::test]
async fn lru_and_ttl_together() {
    for _ in 0..3 {
        let (cache, retainit, clock) = cache(MemoryConfig::new().max_entries(3).policy("lru").ttl("10s"));
        for key in 0..3 {
            cache.set(&key, key).await.unwrap();
            clock.advance(Duration::from_secs(2));
        }
        cache.get(&0).await.unwrap();
        clock.advance(Duration::from_secs(5));
        retainit.cleanup_expired();
        assert_eq!(there(&cache, 0..4).await, [1, 2].into(), "a use does not lengthen the ttl");
        cache.set(&3, 3).await.unwrap();
        cache.set(&4, 4).await.unwrap();
        assert_eq!(there(&cache, 0..5).await, [2, 3, 4].into());
    }
}

#[derive(Clone)]
struct Image(usize);

impl Weigh for Image {
    fn weigh(&self) -> u64 {
        self.0 as u64
    }
}

#[retain(id = "memory.image")]
fn image(id: usize, size: usize) -> Image {
    WEIGHED.add();
    Image(size + id - id)
}

#[retain(id = "memory.text")]
fn text(id: usize, size: usize) -> String {
    WEIGHED.add();
    "x".repeat(size + id - id)
}

static WEIGHED: Runs = Runs::new();

#[derive(Clone)]
struct Weightless;

#[retain(id = "memory.weightless")]
fn weightless(id: u64) -> Weightless {
    WEIGHTLESS.add();
    let _ = id;
    Weightless
}

static WEIGHTLESS: Runs = Runs::new();

// `max_bytes` with `Weigh`, with serialized weight, and with neither, which is refused.
#[test]
fn max_bytes() {
    for policy in [Policy::Default, Policy::Lru] {
        let (retainit, _clock) = stage(MemoryConfig::new().max_bytes(1_000).policy(policy).strict(true));
        retainit::with_instance_sync(&retainit, || {
            (0..20).for_each(|id| assert_eq!(image(id, 100).0, 100));
            assert_eq!(image::cache().stats().total_keys, 10);
            assert_eq!(image::cache().stats().evictions, 10);
            (0..5).for_each(|id| assert_eq!(text(id, 300).len(), 300));
            assert_eq!(text::cache().stats().total_keys, 3, "303 bytes each, as MessagePack");
            assert!(image::cache().stats().total_keys <= 1);
            assert_eq!(image(99, 5_000).0, 5_000, "too heavy for the whole backend");
            assert!(!image::cache().exists(&(99, 5_000)).unwrap());
            weightless(1);
            weightless(1);
            assert_eq!(WEIGHTLESS.take(), 2, "uncached");
            let why = weightless::cache().explain(&1).unwrap().to_string();
            assert!(why.contains("Weigh") && why.contains("memory.weightless"), "{why}");
        });
    }
}

// C-24: entries leave at their ttl without a read.
#[tokio::test]
async fn expired_entries_leave_unread() {
    let (cache, retainit, clock) = cache(MemoryConfig::new().ttl("10s"));
    for key in 0..100 {
        cache.set(&key, key).await.unwrap();
    }
    let forever = retainit.cache::<u64>("for ever").ttl("never").build().unwrap();
    forever.set(&1, 1).await.unwrap();
    assert_eq!(retainit.stats().total_keys, 101);
    clock.advance(Duration::from_secs(11));
    let gone = async {
        while retainit.stats().total_keys > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
    assert_eq!((cache.stats().evictions, forever.exists(&1).await.unwrap()), (0, true));
}

//
#[tokio::test]
async fn cleanup_expired_counts_exactly() {
    let (cache, retainit, clock) = cache(MemoryConfig::new());
    for key in 0..10 {
        // Less than the time after which they leave by themselves.
        let options = retainit::CallOptions::new().ttl(Duration::from_millis(100 + key % 2 * 100));
        cache.set_with(&key, key, options).await.unwrap();
    }
    assert_eq!(retainit.cleanup_expired(), 0);
    clock.advance(Duration::from_millis(100));
    assert_eq!((retainit.cleanup_expired(), retainit.stats().total_keys), (5, 5));
    clock.advance(Duration::from_millis(100));
    assert_eq!((retainit.cleanup_expired(), retainit.cleanup_expired()), (5, 0));
}

// Idle time. A read keeps an entry, looking at it does not.
#[tokio::test]
async fn idle_entries_leave() {
    for policy in [Policy::Default, Policy::Lru] {
        let (cache, _retainit, clock) = cache(MemoryConfig::new().max_idle("10s").policy(policy));
        for key in 0..3 {
            cache.set(&key, key).await.unwrap();
        }
        clock.advance(Duration::from_secs(6));
        assert!(cache.get(&0).await.unwrap().is_hit());
        assert!(cache.exists(&1).await.unwrap());
        cache.explain(&1).await.unwrap();
        cache.ttl(&1).await.unwrap();
        cache.get_entry(&1).await.unwrap();
        clock.advance(Duration::from_secs(6));
        assert_eq!(there(&cache, 0..3).await, [0].into());
        assert!(cache.get(&1).await.unwrap().is_miss());
        clock.advance(Duration::from_secs(4));
        assert!(there(&cache, 0..3).await.is_empty());
    }
}

// Functions of different value types share one backend and its bound.
#[test]
fn functions_of_different_types_share_one_backend() {
    let (retainit, _clock) = stage(MemoryConfig::new().max_entries(10).policy("lru"));
    retainit::with_instance_sync(&retainit, || {
        (0..6).for_each(|id| drop((image(id, 1), text(id, 1))));
        assert_eq!(retainit.stats().total_keys, 10);
        let (images, texts) = (image::cache().stats(), text::cache().stats());
        assert_eq!((images.total_keys, texts.total_keys), (5, 5));
        assert_eq!((images.evictions, texts.evictions), (1, 1));
        assert_eq!(retainit.stats().evictions, 2, "replaced, removed and expired ones are none");
        assert_eq!((image(5, 1).0, text(5, 1).len()), (1, 1));
        image::cache().remove(&(5, 1)).unwrap();
        image::cache().refresh((4, 1));
        assert_eq!(retainit.stats().evictions, 2);
    });
}

// The defaults: 10 000 entries, no ttl.
#[tokio::test]
async fn the_default_instance_holds_ten_thousand() {
    let retainit = Retainit::default();
    let cache = retainit.cache::<u64>("c").build().unwrap();
    for key in 0..12_000_u64 {
        cache.set(&key, key).await.unwrap();
    }
    let stats = retainit.stats();
    assert!(stats.total_keys <= 10_000 && stats.total_keys > 9_000, "{stats:?}");
    assert_eq!((stats.evictions + stats.total_keys, stats.storage_type.as_str()), (12_000, "memory"));
    assert_eq!(retainit.backends(), ["memory"]);
}

// T-94, C-33: values are never torn or mixed up while threads write, read, remove and clear.
#[test]
fn threads_that_do_everything_at_once() {
    for config in [MemoryConfig::new().max_entries(64), MemoryConfig::new().max_entries(64).policy("lru")] {
        let (retainit, _clock) = stage(config);
        let cache = retainit.cache::<Vec<u64>>("c").tags(["t"]).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (cache, retainit) = (cache.clone(), &retainit);
                scope.spawn(move || {
                    let cache = cache.blocking();
                    for n in 0..3_000_u64 {
                        let key = n.wrapping_mul(thread + 7) % 100;
                        match n % 16 {
                            0 => drop(cache.remove(&key).unwrap()),
                            1 => cache.set(&key, vec![key; 8]).unwrap(),
                            2 if n % 160 == 2 => drop(cache.clear().unwrap()),
                            3 if n % 96 == 3 => retainit.blocking().invalidate_tag("t").unwrap(),
                            _ => assert_eq!(cache.get_or_load(&key, || vec![key; 8]), vec![key; 8]),
                        }
                    }
                });
            }
        });
        assert!(retainit.stats().total_keys <= 64);
    }
}
