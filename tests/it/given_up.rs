//! Tests that a store which its caller has given up does not appear after a removal.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit::{Cache, CallOptions, ErrorKind, Retainit, retain, retain_put};
use retainit_disk::DiskConfig;
use retainit_plugin::Capabilities;
use retainit_testkit::{ByteConfig, Faults, Op};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::{patient, soon};

fn disk(folder: &TempDir, op_timeout: Duration) -> Retainit {
    // Callers try again and again: nothing here is about the breaker.
    let disk = DiskConfig::new().base_path(folder.path()).breaker_threshold(0);
    Retainit::builder().op_timeout(op_timeout).register_backend("disk", disk).build().unwrap()
}

fn database(folder: &Path) -> Connection {
    let id = std::fs::read_to_string(folder.join("v1/current")).unwrap();
    Connection::open(folder.join(format!("v1/db-{id}/store.db"))).unwrap()
}

/// Takes the write lock again and again, until it is stopped, as another program.
fn hold_the_lock(folder: &Path, ends: &AtomicBool) {
    let sql = database(folder);
    sql.busy_timeout(Duration::from_secs(5)).unwrap();
    while !ends.load(Ordering::SeqCst) {
        sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::sleep(Duration::from_millis(120));
        sql.execute_batch("ROLLBACK").unwrap();
        std::thread::sleep(Duration::from_millis(15));
    }
}

// T-135: the caller waits 30 ms, the lock is held for 120.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_disk_whose_caller_gave_up_never_follows_a_removal() {
    let folder = tempfile::tempdir().unwrap();
    let first = disk(&folder, Duration::from_secs(20)).cache::<u64>("first").build().unwrap();
    first.set(&0, 0).await.unwrap();
    let instance = disk(&folder, Duration::from_millis(30));
    let cache = instance.cache::<u64>("given.up").tags(["t"]).build().unwrap();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| hold_the_lock(folder.path(), &ends));
        let tasks = (0..60u64).map(|task| {
            let (cache, instance) = (cache.clone(), instance.clone());
            tokio::spawn(async move {
                let mut given_up = 0;
                for round in 0..4 {
                    let key = task * 100 + round;
                    given_up += u32::from(give_up(&cache, &instance, key).await);
                }
                given_up
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let given_up = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut all = 0;
                for task in tasks {
                    all += task.await.unwrap();
                }
                all
            })
        });
        ends.store(true, Ordering::SeqCst);
        assert!(given_up > 20, "{given_up} stores were given up");
    });
}

/// Stores in one of several ways; if that was given up, removes, and looks. True if it was.
async fn give_up(cache: &Cache<u64>, instance: &Retainit, key: u64) -> bool {
    let failed = match key % 4 {
        0 => cache.set(&key, 7).await.is_err(),
        1 => cache.set_if_absent(&key, 7).await.is_err(),
        2 => cache.set_with(&key, 7, CallOptions::new().tags(["u"])).await.is_err(),
        _ => tokio::time::timeout(Duration::from_millis(10), cache.set(&key, 7)).await.is_err(),
    };
    if !failed {
        return false;
    }
    loop {
        let removed = match key % 3 {
            0 => cache.remove(&key).await.map(drop),
            1 => instance.invalidate_tag("t").await,
            _ => cache.clear().await.map(drop),
        };
        if removed.is_ok() {
            break;
        }
    }
    // What comes late would come now.
    for _ in 0..3 {
        if let Ok(found) = cache.get(&key).await {
            assert!(found.is_miss(), "key {key} comes back after its removal was acknowledged");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    true
}

/// Lists byte backends by what they offer, each with the way its stores are held back.
fn kinds() -> [(&'static str, ByteConfig); 5] {
    let fenced = Capabilities::none().fences().versions().scan().set_if_absent().native_ttl();
    let bare = Capabilities::none().scan().set_if_absent();
    [
        ("a network", ByteConfig::new()),
        ("blocking, hears of it", ByteConfig::new().blocking()),
        ("blocking, with fences", ByteConfig::new().blocking().capabilities(fenced)),
        ("blocking, without fences", ByteConfig::new().blocking().capabilities(bare)),
        ("a network without fences", ByteConfig::new().capabilities(bare)),
    ]
}

fn impatient(config: ByteConfig) -> (Retainit, Faults) {
    let faults = config.faults();
    let builder = Retainit::builder().op_timeout(Duration::from_millis(60)).register_backend("default", config);
    (builder.build().unwrap(), faults)
}

// On every kind of byte backend, whoever gives up and how.
#[tokio::test]
async fn a_removal_is_acknowledged_only_when_nothing_can_follow_it() {
    for dropped in [false, true] {
        for absent in [false, true] {
            for (kind, config) in kinds() {
                let (instance, faults) = impatient(config);
                let cache = instance.cache::<u64>("numbers").build().unwrap();
                soon(async { while cache.set(&0, 0).await.is_err() {} }).await;
                faults.hang(Op::Store);
                let store = async {
                    match absent {
                        true => cache.set_if_absent(&1, 1).await.map(drop),
                        false => cache.set(&1, 1).await,
                    }
                };
                match dropped {
                    true => assert!(tokio::time::timeout(Duration::from_millis(5), store).await.is_err()),
                    false => assert_eq!(store.await.unwrap_err().kind(), ErrorKind::Timeout, "{kind}"),
                }
                // Without a fence it has to wait for the store to be over.
                let waits = kind.ends_with("without fences");
                let removed = soon(async {
                    loop {
                        match cache.remove(&1).await {
                            // A busy machine may need longer than the limit.
                            Err(_) if !waits => {}
                            removed => break removed,
                        }
                    }
                });
                let acknowledged = removed.await.is_ok();
                faults.heal();
                soon(async { while cache.remove(&0).await.is_err() {} }).await;
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let is_hit = cache.get(&1).await.is_ok_and(|found| found.is_hit());
                    assert!(!is_hit, "{kind}, dropped: {dropped}, acknowledged: {acknowledged}");
                }
                let is_used = async || {
                    while cache.set(&1, 2).await.is_err() {}
                    cache.get(&1).await.is_ok_and(|found| found.value() == Some(2))
                };
                soon(async { while !is_used().await {} }).await;
            }
        }
    }
}

#[retain(id = "given_up.user")]
async fn user(id: u64) -> u64 {
    id
}

#[retain_put(of = user, key = (id,))]
async fn rename(id: u64, name: u64) -> u64 {
    name
}

// `retain_put`, a refresh and the store of a load are stores like others.
#[tokio::test]
async fn what_functions_store_is_held_back_too() {
    for way in 0..3 {
        for (kind, config) in kinds().into_iter().take(3) {
            let (instance, faults) = impatient(config);
            retainit::with_instance(&instance, async {
                faults.hang(Op::Store);
                let call = async {
                    match way {
                        0 => rename(1, 7).await,
                        1 => user::cache().refresh(1).await,
                        _ => user(1).await,
                    }
                };
                let given_up = tokio::time::timeout(Duration::from_millis(5), call).await;
                assert!(given_up.is_err(), "{kind}: it waits for the store");
                soon(async { while user::cache().remove(&1).await.is_err() {} }).await;
                faults.heal();
                tokio::time::sleep(Duration::from_millis(10)).await;
                let is_hit = user::cache().get(&1).await.is_ok_and(|found| found.is_hit());
                assert!(!is_hit, "{kind}, way {way}");
            })
            .await;
        }
    }
}

// Others write to the same key all the time: a conditional store is tried again, and fails in the end.
#[tokio::test]
async fn sets_of_many_for_one_key_are_tried_again() {
    let instance = patient().register_backend("default", ByteConfig::new()).build().unwrap();
    let cache = instance.cache::<u64>("contended").build().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    if let Err(error) = cache.set(&1, task * 100 + round).await {
                        assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(cache.get(&1).await.unwrap().is_hit());
    cache.set(&1, 4_711).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap().value(), Some(4_711));
}
