use std::fs::{self, OpenOptions};
use std::thread;
use std::time::Duration;

use retainit_plugin::{Bytes, ErrorKind, Read, Result, Scan, StoreCondition, StoreOptions, Strength};
use rustix::process::Signal;

use crate::child::Process;
use crate::common::{Bench, Disk, LEASE, peek, set, time};

/// 200 ms, and what a busy machine needs beside.
const BOUND: Duration = Duration::from_millis(400);

// T-95, T-97
#[test]
fn a_stopped_process_with_the_write_lock_delays_nobody_for_long() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    let mut holder = Process::start("holder", &bench.base());
    assert_eq!(holder.lines().next().as_deref(), Some("held"));
    holder.signal(Signal::STOP);

    let (found, took) = time(|| peek(&disk, "key"));
    assert_eq!(found, Some("value".into()));
    assert!(took < BOUND / 4, "a read waited {took:?}");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (stored, took) =
                    time(|| disk.store("key", "new".into(), StoreOptions::new(StoreCondition::Always)));
                assert_eq!(stored.unwrap_err().kind(), ErrorKind::Timeout);
                assert!(took >= Duration::from_millis(150) && took < BOUND, "a store waited {took:?}");
            });
        }
    });
    let (removed, took) = time(|| disk.remove("key"));
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(took < BOUND, "a removal waited {took:?}");
    let raised = disk.raise("group", Strength::Hard);
    assert_eq!(raised.unwrap_err().kind(), ErrorKind::Timeout);

    drop(holder);
    assert!(disk.remove("key").unwrap(), "the lock of a killed process is free");
}

#[test]
fn a_stopped_process_that_opens_the_folder_delays_nobody_for_long() {
    let bench = Bench::new();
    set(&bench.open(), "key", "value");
    let lock = OpenOptions::new().write(true).open(bench.base().join("v1/lock")).unwrap();
    lock.lock().unwrap();
    let disk = bench.open_in_real_time();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (read, took) = time(|| disk.read("key", Read::peek()));
                assert_eq!(read.unwrap_err().kind(), ErrorKind::Timeout);
                assert!(took < BOUND, "a read waited {took:?}");
            });
        }
    });
    lock.unlock().unwrap();
    assert_eq!(peek(&disk, "key"), Some("value".into()));
}

/// Starts a process and stops it in mid-commit; also returns the lines that it prints once it goes on.
fn stopped_in_mid_commit(bench: &Bench) -> (Process, impl Iterator<Item = String> + use<>) {
    let mut committer = Process::start("committer", &bench.base());
    let mut lines = committer.lines();
    assert_eq!(lines.next().as_deref(), Some("torn"));
    committer.signal(Signal::STOP);
    (committer, lines)
}

type Operation = fn(&Disk) -> Result<()>;

/// Each operation of the contract.
const OPERATIONS: [(&str, Operation); 9] = [
    ("a hit", |disk| disk.read("key", Read::peek()).map(drop)),
    ("a hit with groups", |disk| disk.read("key", Read::take(LEASE).groups(&["group"])).map(drop)),
    ("a miss", |disk| disk.read("missing", Read::take(LEASE)).map(drop)),
    ("a store", |disk| disk.store("key", "new".into(), StoreOptions::new(StoreCondition::Always)).map(drop)),
    ("a sealed store", |disk| {
        disk.store_with("key", &mut |_| Ok(Bytes::from("new")), StoreOptions::new(StoreCondition::Always)).map(drop)
    }),
    ("a removal", |disk| disk.remove("key").map(drop)),
    ("a raise", |disk| disk.raise("group", Strength::Hard).map(drop)),
    ("a scan", |disk| disk.scan(Scan::prefix("")).map(drop)),
    ("a question for health", |disk| disk.health()),
];

/// SQLite itself would try for ten seconds.
const FAR_BELOW: Duration = Duration::from_secs(2);

// T-95
#[test]
fn a_process_stopped_in_mid_commit_delays_nobody_for_long() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    let (committer, mut lines) = stopped_in_mid_commit(&bench);
    let bounded = |disk: &Disk, what: &str, operation: Operation| {
        let (done, took) = time(|| operation(disk));
        assert_eq!(done.unwrap_err().kind(), ErrorKind::Timeout, "{what}");
        assert!(took < FAR_BELOW, "{what} waited {took:?}");
    };
    for (what, operation) in OPERATIONS {
        bounded(&disk, what, operation);
        bounded(&bench.open_in_real_time(), &format!("{what}, the first operation"), operation);
    }
    // As many as there are connections, each with a thread of its own.
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| OPERATIONS.iter().for_each(|(what, operation)| bounded(&disk, what, *operation)));
        }
    });
    let ((), took) = time(|| bench.open_in_real_time().close().unwrap());
    assert!(took < FAR_BELOW, "closing waited {took:?}");

    fs::write(bench.base().join("go_on"), "").unwrap();
    committer.signal(Signal::CONT);
    assert_eq!(lines.next().as_deref(), Some("whole"));
    assert_eq!(peek(&disk, "key"), Some("value".into()));
    OPERATIONS.iter().for_each(|(what, operation)| operation(&disk).unwrap_or_else(|error| panic!("{what}: {error}")));
    assert_eq!(bench.failures(), [""; 0], "a stopped process is no damage");
}

#[test]
fn closing_waits_for_no_process_stopped_in_mid_commit() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    // Many reads in a row: a thread keeps a transaction open beside them.
    set(&disk, "key", "value");
    (0..1_000).for_each(|_| drop(peek(&disk, "key")));
    let (_committer, _) = stopped_in_mid_commit(&bench);
    let (closed, took) = time(|| {
        let closed = disk.close();
        drop(disk);
        closed
    });
    closed.unwrap();
    assert!(took < FAR_BELOW, "closing waited {took:?}");
}

#[test]
fn a_process_killed_in_mid_commit_leaves_a_database_that_works() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    let (committer, _) = stopped_in_mid_commit(&bench);
    drop(committer);
    assert_eq!(peek(&disk, "key"), Some("value".into()));
    assert_eq!(peek(&bench.open_in_real_time(), "key"), Some("value".into()));
    OPERATIONS.iter().for_each(|(what, operation)| operation(&disk).unwrap_or_else(|error| panic!("{what}: {error}")));
    assert_eq!(bench.failures(), [""; 0]);
}
