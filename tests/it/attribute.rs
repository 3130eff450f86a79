//! The arguments of `#[retain]` about what is stored, where, and for how long.

use std::time::Duration;

use retainit::{MemoryConfig, Reason, Retainit, retain};
use retainit_testkit::{ByteConfig, ManualClock};

use crate::common::{Gate, Runs, Stage, soon};

static PLAIN: Runs = Runs::new();

#[retain]
fn sync(id: u64) -> u64 {
    PLAIN.add();
    id
}

#[retain]
async fn a_future(id: u64) -> u64 {
    PLAIN.add();
    id
}

// C-02, C-03, T-24, T-34, T-35, A-38: bare, sync and async; a sync one needs no runtime.
#[test]
fn bare() {
    for stage in Stage::each() {
        PLAIN.take();
        assert_eq!(stage.run_sync(|| (sync(1), sync(1), sync(2))), (1, 1, 2));
        assert_eq!(PLAIN.take(), 2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let calls = async { (a_future(1).await, a_future(1).await, a_future(2).await) };
        assert_eq!(runtime.block_on(stage.run(calls)), (1, 1, 2));
        assert_eq!(PLAIN.take(), 2);
    }
}

#[retain(backend = "far")]
fn on_far(id: u64) -> u64 {
    id
}

#[retain(backend = "near")]
fn on_near(id: u64) -> u64 {
    id
}

#[retain]
fn on_default(id: u64) -> u64 {
    id
}

#[retain(backend = "memory")]
fn on_a_type(id: u64) -> u64 {
    id
}

// T-16, T-23, T-24: three backends at once; each function uses its own.
#[test]
fn backend() {
    let far = ByteConfig::new();
    let retainit = Retainit::builder()
        .register_backend("near", MemoryConfig::new())
        .register_backend("far", far.clone())
        .register_backend("other", MemoryConfig::new())
        .default_backend("other")
        .build()
        .unwrap();
    retainit::with_instance_sync(&retainit, || {
        assert_eq!(on_far(1) + on_near(1) + on_default(1) + on_a_type(1), 4);
        assert_eq!(on_far::cache().explain(&1).unwrap().backend(), "far (bytes)");
        assert_eq!(on_near::cache().explain(&1).unwrap().backend(), "near (memory)");
        assert_eq!(on_default::cache().explain(&1).unwrap().backend(), "other (memory)");
        assert_eq!(on_a_type::cache().explain(&1).unwrap().backend(), "memory (memory)");
    });
    assert_eq!(far.store().keys().len(), 1);
}

// A type used as a name makes a backend, which never becomes a reason for another one not to be the default.
#[test]
fn a_type_as_a_name_leaves_the_only_backend_the_default() {
    let retainit = Retainit::builder().register_backend("main", MemoryConfig::new()).build().unwrap();
    retainit::with_instance_sync(&retainit, || {
        on_a_type(1);
        on_default(1);
        assert_eq!(on_default::cache().explain(&1).unwrap().backend(), "main (memory)");
        assert!(on_default::cache().exists(&1).unwrap());
    });
    assert!(retainit.cache::<u8>("c").build().is_ok());
}

#[retain(backend = "nowhere", id = "attribute.nowhere")]
fn on_nothing(id: u64) -> u64 {
    PLACELESS.add();
    id
}

static PLACELESS: Runs = Runs::new();

// What is broken runs uncached with a `cache_error`.
#[test]
fn an_unknown_backend_runs_uncached() {
    for stage in Stage::each() {
        PLACELESS.take();
        stage.run_sync(|| {
            assert_eq!((on_nothing(1), on_nothing(1)), (1, 1));
            let why = on_nothing::cache().explain(&1).unwrap().to_string();
            assert!(why.contains("nowhere") && why.contains("default"), "{why}");
            let error = on_nothing::cache().get(&1).unwrap_err();
            assert!(error.to_string().contains("nowhere"), "{error}");
        });
        assert_eq!(PLACELESS.take(), 2);
        assert!(stage.retainit.stats().errors > 0);
    }
}

static NEGATIVE: Runs = Runs::new();

#[retain]
async fn negative(id: u64) -> Result<Option<u64>, String> {
    NEGATIVE.add();
    match id {
        0 => Ok(None),
        1 => Err("one".to_owned()),
        n => Ok(Some(n)),
    }
}

#[retain(none_ttl = "1m", err_ttl = "1m", err_if = |e| e != "passing")]
async fn negative_too(id: u64) -> Result<Option<u64>, String> {
    NEGATIVE.add();
    match id {
        0 => Ok(None),
        1 => Err("lasting".to_owned()),
        2 => Err("passing".to_owned()),
        n => Ok(Some(n)),
    }
}

// Neither None nor Err is stored unless asked for; `err_if` selects the errors.
#[tokio::test]
async fn none_ttl_err_ttl_err_if() {
    for stage in Stage::each() {
        NEGATIVE.take();
        for _ in 0..2 {
            assert_eq!(stage.run(negative(0)).await, Ok(None));
            assert_eq!(stage.run(negative(1)).await, Err("one".to_owned()));
            assert_eq!(stage.run(negative(2)).await, Ok(Some(2)));
        }
        assert_eq!(NEGATIVE.take(), 5);
        for _ in 0..2 {
            assert_eq!(stage.run(negative_too(0)).await, Ok(None));
            assert_eq!(stage.run(negative_too(1)).await, Err("lasting".to_owned()));
            assert_eq!(stage.run(negative_too(2)).await, Err("passing".to_owned()));
        }
        assert_eq!(NEGATIVE.take(), 4);
        // A stored error shows as a miss here and is named by `explain`.
        assert!(stage.run(negative_too::cache().get(&1)).await.unwrap().is_miss());
        let why = stage.run(negative_too::cache().explain(&1)).await.unwrap();
        assert!(!why.is_hit() && why.to_string().contains("err_ttl"), "{why}");
        stage.seconds(60);
        let why = stage.run(negative_too::cache().explain(&1)).await.unwrap();
        assert!(matches!(why.reason(), Reason::Expired(_) | Reason::Absent), "{why}");
        stage.run(negative_too(1)).await.unwrap_err();
        assert_eq!(NEGATIVE.take(), 1);
        assert!(stage.run(negative_too::cache().remove(&1)).await.unwrap() || stage.is_memory());
        stage.run(negative_too(1)).await.unwrap_err();
        assert_eq!(NEGATIVE.take(), 1);
    }
}

static WHEN: Runs = Runs::new();

#[retain(when = |r| r.as_ref().is_ok_and(|list| !list.is_empty()))]
fn lists(n: usize) -> Result<Vec<usize>, String> {
    WHEN.add();
    Ok(vec![n; n])
}

#[test]
fn when() {
    for stage in Stage::each() {
        WHEN.take();
        stage.run_sync(|| {
            for _ in 0..2 {
                assert_eq!((lists(0), lists(2)), (Ok(vec![]), Ok(vec![2, 2])));
            }
        });
        assert_eq!(WHEN.take(), 3);
    }
}

static ALONE: Gate = Gate::new();
static TOGETHER: Gate = Gate::new();

#[retain(single_flight = "off")]
async fn alone(id: u64) -> u64 {
    ALONE.pass().await;
    id
}

#[retain]
async fn together(id: u64) -> u64 {
    TOGETHER.pass().await;
    id
}

#[tokio::test]
async fn single_flight() {
    for stage in Stage::each() {
        let all: Vec<_> = (0..5).map(|_| tokio::spawn(retainit::with_instance(&stage.retainit, alone(1)))).collect();
        for _ in 0..5 {
            ALONE.reached().await;
        }
        (0..5).for_each(|_| ALONE.open());
        for one in all {
            assert_eq!(soon(one).await.unwrap(), 1);
        }
        let all: Vec<_> = (0..5).map(|_| tokio::spawn(retainit::with_instance(&stage.retainit, together(1)))).collect();
        TOGETHER.reached().await;
        TOGETHER.open();
        for one in all {
            assert_eq!(soon(one).await.unwrap(), 1);
        }
        assert_eq!(stage.run(together::cache().get(&1)).await.unwrap().value(), Some(1));
        assert_eq!(stage.run(async { together::cache().stats() }).await.loads, 1);
    }
}

static SLOW: Gate = Gate::new();
static SLOW_RUNS: Runs = Runs::new();

#[retain(max_load_time = "5s")]
async fn slow(id: u64) -> u64 {
    let run = SLOW_RUNS.add();
    if run == 1 {
        SLOW.pass().await;
    }
    id + run
}

// At `max_load_time` a follower may lead.
#[tokio::test]
async fn max_load_time() {
    for stage in Stage::each() {
        SLOW_RUNS.take();
        let leader = tokio::spawn(retainit::with_instance(&stage.retainit, slow(1)));
        SLOW.reached().await;
        let follower = tokio::spawn(retainit::with_instance(&stage.retainit, slow(1)));
        while stage.retainit.stats().misses < 2 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!follower.is_finished(), "it waits for as long as it has to");
        stage.seconds(5);
        assert_eq!(soon(follower).await.unwrap(), 3, "then it loads");
        SLOW.open();
        assert_eq!(soon(leader).await.unwrap(), 2, "and the leader is never aborted");
    }
}

mod later {
    #[retainit::retain(version = 2, id = "attribute.bumped")]
    pub(super) fn bumped(id: u64) -> u64 {
        id + 200
    }
}

mod earlier {
    #[retainit::retain(version = 1, id = "attribute.bumped.old")]
    pub(super) fn bumped(id: u64) -> u64 {
        id + 100
    }
}

// `id` and `version` identify a function in a byte store.
#[test]
fn id_and_version() {
    let config = ByteConfig::new();
    let retainit =
        Retainit::builder().clock(ManualClock::new()).register_backend("main", config.clone()).build().unwrap();
    retainit::with_instance_sync(&retainit, || (later::bumped(1), earlier::bumped(1)));
    let keys = config.store().keys();
    assert_eq!(keys, ["r1:d:default:-:attribute.bumped.old@1:1", "r1:d:default:-:attribute.bumped@2:1"]);
    retainit::with_instance_sync(&retainit, || {
        assert_eq!(later::bumped::cache().id(), "attribute.bumped");
        assert_eq!(later::bumped::cache().keys().unwrap(), ["attribute.bumped:1"]);
    });
}
