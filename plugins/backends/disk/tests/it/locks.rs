use std::fs::OpenOptions;
use std::thread;
use std::time::Duration;

use retainit_plugin::{ErrorKind, Group, Read, Strength, Terms, When};
use rustix::process::Signal;

use crate::child::Process;
use crate::common::{Bench, peek, set, time};

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
                let (stored, took) = time(|| disk.store("key", "new".into(), Terms::new(When::Always)));
                assert_eq!(stored.unwrap_err().kind(), ErrorKind::Timeout);
                assert!(took >= Duration::from_millis(150) && took < BOUND, "a store waited {took:?}");
            });
        }
    });
    let (removed, took) = time(|| disk.remove("key"));
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(took < BOUND, "a removal waited {took:?}");
    let raised = disk.raise(&Group::new("group"), Strength::Hard);
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
