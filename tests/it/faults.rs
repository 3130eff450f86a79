//! A byte backend that is down, slow, hangs or loses answers: the call always answers.

use std::time::Duration;

use retainit::{Cache, ErrorKind, Retainit, retain};
use retainit_testkit::{ByteConfig, ByteStore, Faults, Op};

use crate::common::{Runs, Stage, recovered, soon};

const OPERATIONS: [Op; 7] = [Op::Read, Op::Take, Op::Store, Op::Remove, Op::Scan, Op::Raise, Op::All];

/// Builds an instance that waits 30 ms at most and soon probes a backend that was away, and the faults of its backend.
fn stage(config: ByteConfig) -> (Retainit, Faults) {
    let config = config.breaker_timeout(Duration::from_millis(20));
    let faults = config.faults();
    let builder = Retainit::builder().op_timeout(Duration::from_millis(30)).register_backend("main", config);
    (builder.build().unwrap(), faults)
}

static LOADS: Runs = Runs::new();

#[retain(id = "faults.user", tags("t", "user:{id}"))]
async fn user(id: u64) -> u64 {
    LOADS.add();
    id
}

#[retain(id = "faults.user_sync")]
fn user_sync(id: u64) -> u64 {
    LOADS_SYNC.add();
    id
}

static LOADS_SYNC: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

// T-82, T-83: whatever fails, the caller gets the function's result.
#[tokio::test]
async fn calls_answer_when_any_operation_fails() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for op in OPERATIONS {
        for break_it in [Faults::fail_always as fn(&Faults, Op), Faults::hang, |faults, op| faults.lose_answer(op, 9)] {
            let (instance, faults) = stage(ByteConfig::new());
            let call = async |id| soon(retainit::with_instance(&instance, user(id))).await;
            call(1).await;
            break_it(&faults, op);
            for id in [1, 2, 2] {
                assert_eq!(call(id).await, id, "{op:?}");
                assert_eq!(retainit::with_instance_sync(&instance, || user_sync(id)), id, "{op:?}");
            }
            faults.heal();
            recovered(&instance).await;
            assert_eq!((call(1).await, call(3).await), (1, 3));
            LOADS.take();
            assert_eq!((call(3).await, LOADS.take()), (3, 0), "when it is back, it is used");
        }
    }
}

// The call path waits at most `op_timeout` for any operation, then loads.
#[tokio::test]
async fn calls_wait_for_the_limit_and_no_longer() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let config = ByteConfig::new();
    let faults = config.faults();
    let instance = Retainit::builder().register_backend("main", config).build().unwrap();
    for op in [Op::Read, Op::Store] {
        faults.delay(op, Duration::from_secs(3_600));
        let started = tokio::time::Instant::now();
        soon(retainit::with_instance(&instance, user(7))).await;
        retainit::with_instance_sync(&instance, || user_sync(7));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(5), "two waits of 250 ms: {took:?}");
        faults.heal();
    }
    // A backend that is merely slow is used.
    faults.delay(Op::Read, Duration::from_millis(20));
    LOADS.take();
    for _ in 0..2 {
        soon(retainit::with_instance(&instance, user(8))).await;
    }
    assert_eq!(LOADS.take(), 1);
}

// A store that takes longer than its caller waits goes on all the same.
#[tokio::test]
async fn a_slow_store_is_stored_in_the_background() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (instance, faults) = stage(ByteConfig::new());
    faults.hang(Op::Store);
    soon(retainit::with_instance(&instance, user(1))).await;
    assert!(!retainit::with_instance(&instance, user::cache().exists(&1)).await.unwrap());
    faults.heal();
    let stored = async {
        while !retainit::with_instance(&instance, user::cache().exists(&1)).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(stored).await;
}

// A hit is one round trip, a miss of an empty slot three beside the load, a remove one, a tag one.
#[tokio::test]
async fn round_trips() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for config in [ByteConfig::new(), ByteConfig::new().blocking()] {
        let (instance, faults) = stage(config);
        let trips = || {
            let trips = faults.calls(Op::All);
            faults.reset_calls();
            trips
        };
        retainit::with_instance(&instance, user(1)).await;
        assert_eq!(trips(), 3, "a miss looks, takes the fence and stores");
        retainit::with_instance(&instance, user(1)).await;
        assert_eq!(trips(), 1, "a hit reads");
        retainit::with_instance_sync(&instance, || user_sync(1));
        assert_eq!(trips(), 3);
        retainit::with_instance_sync(&instance, || user_sync(1));
        assert_eq!(trips(), 1);
        retainit::with_instance(&instance, user::cache().remove(&1)).await.unwrap();
        assert_eq!(trips(), 1);
        instance.invalidate_tag("t").await.unwrap();
        assert_eq!(trips(), 1);
        let cache = instance.cache::<u64>("c").build().unwrap();
        cache.get_or_load(&1, || async { 1 }).await;
        assert_eq!(trips(), 3);
        cache.get(&1).await.unwrap();
        assert_eq!(trips(), 1);
    }
}

// T-40 under faults: what was not acknowledged is `Pending`, is not served meanwhile, and goes first.
#[tokio::test]
async fn removals_that_are_not_acknowledged() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for how in 0..5 {
        for hang in [false, true] {
            let config = ByteConfig::new();
            let other = Retainit::builder().register_backend("main", config.share()).build().unwrap();
            let (instance, faults) = stage(config);
            retainit::with_instance(&instance, user(1)).await;
            match hang {
                true => faults.hang(Op::All),
                false => faults.fail_always(Op::All),
            }
            let removal = async {
                match how {
                    0 => user::cache().remove(&1).await.map(drop),
                    1 => user::cache().clear().await.map(drop),
                    2 => retainit::invalidate_tag("user:1").await,
                    3 => retainit::invalidate_pattern("faults.user:*").await.map(drop),
                    _ => retainit::clear().await.map(drop),
                }
            };
            let error = soon(retainit::with_instance(&instance, removal)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Pending, "way {how}: {error}");
            assert!(error.is_retryable() && error.to_string().contains("main"), "{error}");
            LOADS.take();
            soon(retainit::with_instance(&instance, user(1))).await;
            faults.heal();
            recovered(&instance).await;
            let found = retainit::with_instance(&instance, user::cache().get(&1)).await.unwrap();
            assert!(found.is_miss(), "way {how}: it goes first when the backend answers");
            let found = retainit::with_instance(&other, user::cache().get(&1)).await.unwrap();
            assert!(found.is_miss(), "way {how}: for every process");
            retainit::with_instance(&instance, user(1)).await;
            assert_eq!(LOADS.take(), 2, "way {how}");
        }
    }
}

// What a server refuses for now is tried again, what it refuses for good is an error at once; reads go on after that.
#[tokio::test]
async fn removals_that_are_refused() {
    let store = ByteStore::new();
    let (instance, faults) = stage(ByteConfig::on(&store));
    let cache = instance.cache::<u8>("refused").build().unwrap();
    cache.set(&1, 7).await.unwrap();
    faults.deny(Op::Remove, 1);
    let error = cache.remove(&1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(!error.is_retryable() && error.to_string().contains("main"), "{error}");
    assert!(cache.get(&1).await.unwrap().is_hit());
    assert_eq!(faults.calls(Op::Remove), 1, "it is not tried again");
    faults.refuse(Op::Remove, 1);
    assert_eq!(cache.remove(&1).await.unwrap_err().kind(), ErrorKind::Pending);
    recovered(&instance).await;
    assert!(cache.get(&1).await.unwrap().is_miss(), "it goes first when the server has room again");
}

// A removal that was done and not acknowledged may be done twice; what was stored since then is then loaded again.
#[tokio::test]
async fn a_removal_whose_answer_is_lost() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (instance, faults) = stage(ByteConfig::new());
    retainit::with_instance(&instance, user(1)).await;
    faults.lose_answer(Op::Remove, 1);
    let error = retainit::with_instance(&instance, user::cache().remove(&1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pending);
    recovered(&instance).await;
    assert!(retainit::with_instance(&instance, user::cache().get(&1)).await.unwrap().is_miss());
    retainit::with_instance(&instance, user(1)).await;
    assert!(retainit::with_instance(&instance, user::cache().get(&1)).await.unwrap().is_hit());
}

// A server that loses its memory is a miss, and loads under way are not stored over values that may be newer.
#[tokio::test]
async fn a_server_that_restarts() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in [Stage::bytes(), Stage::local()] {
        LOADS.take();
        stage.run(user(1)).await;
        stage.bytes.as_ref().unwrap().store().flush();
        stage.run(user(1)).await;
        stage.run(user(1)).await;
        assert_eq!(LOADS.take(), 2);
    }
}

// Infallible caches answer too; the others return the error.
#[tokio::test]
async fn caches_over_a_backend_that_is_down() {
    let (instance, faults) = stage(ByteConfig::new());
    let cache = instance.cache::<u64>("c").build().unwrap();
    faults.fail_always(Op::All);
    assert_eq!(cache.get_or_load(&1, || async { 1 }).await, 1);
    assert_eq!(cache.try_get_or_load(&1, || async { Err::<u64, _>("mine") }).await, Err("mine"));
    for error in [
        cache.get(&1).await.unwrap_err(),
        cache.set(&1, 1).await.unwrap_err(),
        cache.exists(&1).await.unwrap_err(),
        cache.get_many([1]).await.unwrap_err(),
        cache.keys().collect().await.unwrap_err(),
    ] {
        // The `set` that failed has left a removal pending.
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Pending), "{error}");
    }
    faults.heal();
    recovered(&instance).await;
    faults.hang(Op::Read);
    assert_eq!(soon(cache.get(&1)).await.unwrap_err().kind(), ErrorKind::Timeout);
}

/// Leaves a removal pending that its backend does not acknowledge, of an entry that another process sees too.
async fn owed(store: &ByteStore) -> (Retainit, Faults, Cache<u8>) {
    let (instance, faults) = stage(ByteConfig::on(store));
    let cache = instance.cache::<u8>("owed").build().unwrap();
    cache.set(&1, 7).await.unwrap();
    faults.fail_always(Op::All);
    assert_eq!(cache.remove(&1).await.unwrap_err().kind(), ErrorKind::Pending);
    (instance, faults, cache)
}

// What was not acknowledged is applied on recovery, whether or not this process calls again.
#[tokio::test]
async fn a_pending_removal_is_retried_without_a_call() {
    let store = ByteStore::new();
    let (_instance, faults, _cache) = owed(&store).await;
    assert_eq!(store.keys().len(), 1);
    faults.heal();
    soon(async {
        while !store.keys().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn close_flushes_pending_removals_or_reports_that_they_are_lost() {
    let store = ByteStore::new();
    let (instance, faults, _cache) = owed(&store).await;
    faults.heal();
    instance.close().await.unwrap();
    assert!(store.keys().is_empty());
    let (instance, _faults, _cache) = owed(&store).await;
    let error = instance.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pending);
    assert!(error.to_string().contains("1 removal was"), "{error}");
    assert!(instance.close().await.is_ok(), "it is closed all the same");
}

// A sync caller waits for one key that fails, not for each.
#[test]
fn many_keys_are_not_asked_for_once_one_has_failed() {
    let (instance, faults) = stage(ByteConfig::new().blocking());
    let cache = instance.cache::<u64>("many").build().unwrap();
    cache.blocking().set(&0, 1).unwrap();
    faults.fail_always(Op::Read);
    let before = faults.calls(Op::Read);
    assert_eq!(cache.blocking().get_many(0..100).unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(faults.calls(Op::Read) - before, 1);
    faults.heal();
    assert_eq!(cache.blocking().get_many([0]).unwrap().len(), 1);
}

// An entry with tags that its reader does not have costs one read more, whoever reads.
#[tokio::test]
async fn unknown_tags_cost_one_read_more() {
    let (instance, faults) = stage(ByteConfig::new().blocking());
    let cache = instance.cache::<u64>("tagged").build().unwrap();
    cache.set_with(&1, 7, retainit::CallOptions::new().tags(["x"])).await.unwrap();
    let reads = || faults.calls(Op::Read);
    let before = reads();
    assert_eq!(cache.blocking().get_or_load(&1, || 0), 7);
    assert_eq!(reads() - before, 2);
    assert_eq!(cache.get_or_load(&1, async || 0).await, 7);
    assert_eq!(reads() - before, 4);
    instance.invalidate_tag("x").await.unwrap();
    assert_eq!(cache.blocking().get_or_load(&1, || 8), 8);
}
