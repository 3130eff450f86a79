//! Tests a backend that was away: pending removals are flushed in the background, and no caller waits for that.

use std::time::Duration;

use retainit::{ErrorKind, Retainit, invalidate, retain};
use retainit_testkit::{ByteConfig, Faults, Op};

use crate::common::{Runs, recovered, soon};

static RUNS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[retain(id = "outage.number")]
async fn number(n: u64) -> u64 {
    RUNS.add();
    n
}

#[retain(id = "outage.number_sync")]
fn number_sync(n: u64) -> u64 {
    RUNS.add();
    n
}

fn stage(config: ByteConfig) -> (Retainit, Faults) {
    let faults = config.faults();
    let builder = Retainit::builder().op_timeout(Duration::from_millis(150)).register_backend("main", config);
    (builder.build().unwrap(), faults)
}

fn kinds() -> [ByteConfig; 2] {
    [ByteConfig::new(), ByteConfig::new().blocking()]
}

// On recovery removals go first, by one task; no call flushes them.
#[tokio::test]
async fn a_call_does_not_flush_every_pending_removal() {
    let _alone = ONE_AT_A_TIME.lock().await;
    const OWED: u64 = 1_500;
    for config in kinds() {
        let (instance, faults) = stage(config);
        let cache = instance.cache::<u64>("owed").build().unwrap();
        soon(async { while cache.set(&0, 0).await.is_err() {} }).await;
        retainit::with_instance(&instance, number(1)).await;
        faults.fail_always(Op::All);
        for key in 0..OWED {
            assert_eq!(cache.remove(&key).await.unwrap_err().kind(), ErrorKind::Pending);
        }
        faults.heal();
        faults.hang(Op::Remove);
        faults.reset_calls();
        RUNS.take();
        assert_eq!(soon(retainit::with_instance(&instance, number(1))).await, 1);
        assert_eq!(retainit::with_instance_sync(&instance, || number_sync(1)), 1);
        assert_eq!((faults.calls(Op::Read), RUNS.take()), (0, 2), "nothing is read before they are paid");
        faults.heal();
        recovered(&instance).await;
        assert!(faults.calls(Op::Remove) < OWED / 100, "they go in batches");
        assert!(cache.get(&0).await.unwrap().is_miss());
        retainit::with_instance(&instance, number(1)).await;
        assert_eq!(RUNS.take(), 0, "what was not removed is served again");
    }
}

// However many wait for one load, none of them calls a dead backend twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_tasks_asks_a_dead_backend_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    const TASKS: u64 = 100;
    for config in kinds() {
        let (instance, faults) = stage(config);
        retainit::with_instance(&instance, number(1)).await;
        retainit::with_instance(&instance, number::cache().remove(&1)).await.unwrap();
        faults.hang(Op::All);
        faults.reset_calls();
        let call = || tokio::spawn(retainit::with_instance(&instance, number(1)));
        for task in (0..TASKS).map(|_| call()).collect::<Vec<_>>() {
            assert_eq!(soon(task).await.unwrap(), 1);
        }
        assert!(faults.calls(Op::All) <= TASKS, "{} operations", faults.calls(Op::All));
        faults.heal();
    }
}

#[test]
fn each_of_many_threads_asks_a_dead_backend_once() {
    const THREADS: u64 = 32;
    let _alone = ONE_AT_A_TIME.blocking_lock();
    for config in kinds() {
        let (instance, faults) = stage(config);
        retainit::with_instance_sync(&instance, || number_sync(1));
        retainit::with_instance_sync(&instance, || number_sync::cache().remove(&1)).unwrap();
        faults.hang(Op::All);
        faults.reset_calls();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| retainit::with_instance_sync(&instance, || assert_eq!(number_sync(1), 1)));
            }
        });
        assert!(faults.calls(Op::All) <= THREADS, "{} operations", faults.calls(Op::All));
        faults.heal();
    }
}

#[retain(id = "outage.tagged", tags("a", "b", "c"))]
async fn tagged(n: u64) -> u64 {
    n
}

#[invalidate(tags("a", "b", "c"))]
async fn forget() {}

// The removals of the second and the third tag become pending without waiting for them.
#[tokio::test]
async fn several_tags_wait_for_a_dead_backend_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for config in kinds() {
        let (instance, faults) = stage(config);
        retainit::with_instance(&instance, async {
            tagged(1).await;
            faults.hang(Op::Raise);
            faults.reset_calls();
            soon(forget()).await;
            assert!(faults.calls(Op::Raise) < 3, "{} raises", faults.calls(Op::Raise));
            faults.heal();
            recovered(&instance).await;
            assert!(tagged::cache().get(&1).await.unwrap().is_miss());
        })
        .await;
    }
}

#[invalidate(of = tagged, key = (1,))]
#[invalidate(of = tagged, key = (2,))]
#[invalidate(tags("a"))]
async fn forget_each() {}

// Several attributes of one function do not wait for each removal either.
#[tokio::test]
async fn several_attributes_wait_for_a_dead_backend_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (instance, faults) = stage(ByteConfig::new());
    retainit::with_instance(&instance, async {
        tagged(1).await;
        tagged(2).await;
        faults.hang(Op::All);
        faults.reset_calls();
        soon(forget_each()).await;
        let asked = faults.calls(Op::All);
        assert!(asked < 3, "{asked} operations");
        faults.heal();
        recovered(&instance).await;
        for key in [1, 2] {
            assert!(tagged::cache().get(&key).await.unwrap().is_miss());
        }
    })
    .await;
}

// Two backends are waited for at the same time.
#[tokio::test]
async fn all_backends_are_asked_at_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (one, other) = (ByteConfig::new(), ByteConfig::new());
    let (faults, others) = (one.faults(), other.faults());
    let builder = Retainit::builder().op_timeout(Duration::from_secs(3_600)).default_backend("one");
    let instance = builder.register_backend("one", one).register_backend("other", other).build().unwrap();
    faults.hang(Op::All);
    let raise = instance.invalidate_tag("t");
    let mut raise = std::pin::pin!(raise);
    assert!(tokio::time::timeout(Duration::from_millis(50), raise.as_mut()).await.is_err());
    soon(async {
        while others.calls(Op::Raise) == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    faults.heal();
    soon(raise).await.unwrap();
}

// A refresh that could not be stored leaves the removal of what it was to replace pending, and does not wait for it as
// well.
#[tokio::test]
async fn a_refresh_waits_once() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for config in kinds() {
        let (instance, faults) = stage(config);
        retainit::with_instance(&instance, async {
            number(2).await;
            faults.hang(Op::Store);
            faults.hang(Op::Remove);
            faults.reset_calls();
            assert_eq!(soon(number::cache().refresh(2)).await, 2);
            faults.heal();
            recovered(&instance).await;
            RUNS.take();
        })
        .await;
    }
}
