//! Tests ttl, grace and idle times by a clock that is moved by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use retainit::{CallOptions, MemoryConfig, Retainit, Ttl, retain};
use retainit_testkit::{ByteConfig, ManualClock};

use crate::common::{Runs, Stage};

static MINUTES: Runs = Runs::new();

#[retain(ttl = "1m")]
async fn for_a_minute(id: u64) -> u64 {
    MINUTES.add();
    id
}

// P-06, T-36, T-47, A-01
#[tokio::test]
async fn a_result_lasts_as_long_as_its_ttl_and_no_longer() {
    for stage in Stage::each() {
        MINUTES.take();
        stage.run(for_a_minute(1)).await;
        stage.clock.advance(Duration::from_millis(59_999));
        stage.run(for_a_minute(1)).await;
        assert_eq!(MINUTES.so_far(), 1);
        let left = stage.run(for_a_minute::cache().ttl(&1)).await.unwrap();
        assert_eq!(left, Some(Some(Duration::from_millis(1))));
        stage.clock.advance(Duration::from_millis(1));
        assert!(stage.run(for_a_minute::cache().get(&1)).await.unwrap().is_miss());
        stage.run(for_a_minute(1)).await;
        assert_eq!(MINUTES.so_far(), 2);
        // A hit does not lengthen it.
        stage.seconds(59);
        stage.run(for_a_minute(1)).await;
        stage.seconds(2);
        stage.run(for_a_minute(1)).await;
        assert_eq!(MINUTES.so_far(), 3);
    }
}

static EVER: Runs = Runs::new();

#[retain(ttl = 0)]
fn zero(id: u64) -> u64 {
    EVER.add() + id
}

#[retain(ttl = "never")]
fn never(id: u64) -> u64 {
    EVER.add() + id
}

#[retain]
fn unset(id: u64) -> u64 {
    EVER.add() + id
}

const CENTURY: u64 = 100 * 365 * 86_400;

// P-07, A-05: zero means never.
#[test]
fn zero_never_and_no_ttl_at_all_last_for_ever() {
    for stage in Stage::each() {
        EVER.take();
        let call = || stage.run_sync(|| (zero(0), never(0), unset(0)));
        let first = call();
        stage.seconds(CENTURY);
        assert_eq!(call(), first);
        assert_eq!(EVER.so_far(), 3);
        assert_eq!(stage.run_sync(|| zero::cache().ttl(&0)).unwrap(), Some(None));
    }
}

static OFF: Runs = Runs::new();

#[retain(ttl = "off")]
fn off(id: u64) -> u64 {
    OFF.add() + id
}

// "off" stores nothing.
#[test]
fn off_stores_nothing() {
    for stage in Stage::each() {
        OFF.take();
        stage.run_sync(|| (off(0), off(0)));
        assert_eq!(OFF.so_far(), 2);
        assert!(stage.run_sync(|| off::cache().keys()).unwrap().is_empty());
        let cache = stage.retainit.cache::<u8>("off").build().unwrap();
        cache.blocking().set_with(&1, 1, CallOptions::new().ttl(Ttl::Off)).unwrap();
        assert!(!cache.blocking().exists(&1).unwrap());
    }
}

#[tokio::test]
async fn a_set_that_stores_nothing_leaves_nothing_old() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u8>("off").build().unwrap();
        cache.set(&1, 1).await.unwrap();
        cache.set_with(&1, 2, CallOptions::new().ttl("off")).await.unwrap();
        assert!(cache.get(&1).await.unwrap().is_miss(), "what was replaced is not served");
    }
}

#[retain(ttl = "2s")]
fn attribute_above_backend(id: u64) -> u64 {
    id
}

#[retain]
fn backend_alone(id: u64) -> u64 {
    id
}

// T-18, T-36: override above call above attribute above backend.
#[test]
fn the_narrower_ttl_wins() {
    let clock = ManualClock::new();
    let stages = [
        Retainit::builder().clock(clock.clone()).register_backend("main", MemoryConfig::new().ttl("10s")),
        Retainit::builder().clock(clock.clone()).register_backend("main", ByteConfig::new().ttl("10s").jitter(0.0)),
    ];
    for builder in stages {
        let retainit = builder.build().unwrap();
        let left = |f: &dyn Fn() -> retainit::Result<Option<Option<Duration>>>| {
            retainit::with_instance_sync(&retainit, || f().unwrap().unwrap().unwrap().as_secs())
        };
        retainit::with_instance_sync(&retainit, || (attribute_above_backend(1), backend_alone(1)));
        assert_eq!(left(&|| backend_alone::cache().ttl(&1)), 10);
        assert_eq!(left(&|| attribute_above_backend::cache().ttl(&1)), 2);
        retainit::with_instance_sync(&retainit, || {
            retainit::with_sync(retainit::Overrides::new().ttl("1s"), || attribute_above_backend(2))
        });
        assert_eq!(left(&|| attribute_above_backend::cache().ttl(&2)), 1);

        let cache = retainit.cache::<u8>("options").ttl("5s").build().unwrap();
        let cache = cache.blocking();
        cache.set(&1, 1).unwrap();
        cache.set_with(&2, 1, CallOptions::new().ttl(3)).unwrap();
        assert_eq!((cache.ttl(&1).unwrap(), cache.ttl(&2).unwrap()), (seconds(5), seconds(3)));
        let plain = retainit.cache::<u8>("no options").build().unwrap();
        plain.blocking().set(&1, 1).unwrap();
        assert_eq!(plain.blocking().ttl(&1).unwrap(), seconds(10));
        assert_eq!(plain.blocking().ttl(&2).unwrap(), None);
    }
}

fn seconds(seconds: u64) -> Option<Option<Duration>> {
    Some(Some(Duration::from_secs(seconds)))
}

#[retain(ttl = "100s", jitter = 0.25)]
fn jittered(id: u64) -> u64 {
    id
}

// T-93
#[test]
fn jitter_spreads_ttls_below_the_ttl_and_never_above() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            let lefts: BTreeSet<u128> = (0..500)
                .map(|id| {
                    jittered(id);
                    jittered::cache().ttl(&id).unwrap().unwrap().unwrap().as_millis()
                })
                .collect();
            let (least, most) = (*lefts.first().unwrap(), *lefts.last().unwrap());
            assert!(least >= 75_000 && most <= 100_000, "{least} to {most}");
            assert!(most - least > 20_000 && lefts.len() > 400, "{} different ttls", lefts.len());
        });
    }
}

// Deterministic per key and epoch, so that copies of one entry end together.
#[test]
fn jitter_is_the_same_in_another_process() {
    let config = ByteConfig::new();
    let of = |config: ByteConfig| {
        let retainit = Retainit::builder().clock(ManualClock::new()).register_backend("main", config).build().unwrap();
        retainit::with_instance_sync(&retainit, || {
            jittered(7);
            jittered::cache().ttl(&7).unwrap().unwrap().unwrap()
        })
    };
    let first = of(config.clone());
    config.store().flush();
    assert_eq!(of(config.share()), first);
}

// "0 memory, 0.1 remote"
#[test]
fn jitter_by_default_is_none_in_memory_and_a_tenth_elsewhere() {
    let ttls = |builder: retainit::Retainit| {
        let cache = builder.cache::<u8>("c").ttl("100s").build().unwrap();
        let ttl = |id: u64| {
            cache.blocking().set(&id, 1).unwrap();
            cache.blocking().ttl(&id).unwrap().unwrap().unwrap().as_secs_f64()
        };
        (0..200).map(ttl).fold((f64::MAX, 0.0_f64), |(least, most), ttl| (least.min(ttl), most.max(ttl)))
    };
    let clock = ManualClock::new();
    let builder = || Retainit::builder().clock(clock.clone());
    assert_eq!(ttls(builder().build().unwrap()), (100.0, 100.0));
    let (least, most) = ttls(builder().register_backend("main", ByteConfig::new()).build().unwrap());
    assert!((90.0..92.0).contains(&least) && (98.0..=100.0).contains(&most), "{least} to {most}");
}

static KINDS: Runs = Runs::new();

#[retain(ttl = "1h", none_ttl = "10s", err_ttl = "1s")]
async fn three_ends(id: u64) -> Result<Option<u64>, String> {
    KINDS.add();
    match id {
        0 => Ok(None),
        1 => Err("one".to_owned()),
        n => Ok(Some(n)),
    }
}

// Values, `None` and errors have a ttl each.
#[tokio::test]
async fn none_and_errors_have_ttls_of_their_own() {
    for stage in Stage::each() {
        KINDS.take();
        let runs = async || {
            for id in 0..3 {
                stage.run(three_ends(id)).await.ok();
            }
            KINDS.take()
        };
        assert_eq!((runs().await, runs().await), (3, 0));
        stage.clock.advance(Duration::from_millis(1_000));
        assert_eq!(runs().await, 1, "the error has gone");
        stage.clock.advance(Duration::from_millis(9_000));
        assert_eq!(runs().await, 2, "so has the none, and the error again");
        stage.seconds(3_600);
        assert_eq!(runs().await, 3);
    }
}

// An entry from a clock that is ahead is a miss.
#[tokio::test]
async fn an_entry_from_the_future_is_a_miss() {
    let ahead = Stage::bytes();
    let config = ahead.bytes.as_ref().unwrap();
    let behind = ManualClock::new();
    let other = Retainit::builder().clock(behind.clone()).register_backend("default", config.share()).build().unwrap();
    let write = ahead.retainit.cache::<u8>("c").build().unwrap();
    let read = other.cache::<u8>("c").build().unwrap();
    ahead.seconds(5);
    write.set(&1, 1).await.unwrap();
    assert!(read.get(&1).await.unwrap().is_hit(), "within the skew that is allowed");
    ahead.seconds(1);
    write.set(&1, 1).await.unwrap();
    assert!(read.get(&1).await.unwrap().is_miss());
    let why = read.explain(&1).await.unwrap().to_string();
    assert!(why.starts_with("miss: an entry is there") && why.contains("in the future"), "{why}");
    behind.advance(Duration::from_secs(1));
    assert!(read.get(&1).await.unwrap().is_hit());
}
