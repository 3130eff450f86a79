//! Tests that many reads in a row leave nothing behind that others would notice.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Bench, Disk, bytes, peek, set};

fn read_often(disk: &Disk) {
    for _ in 0..10_000 {
        assert_eq!(peek(disk, "key"), Some("value".into()));
    }
}

#[test]
fn a_transaction_lingers_while_reads_come_thick_and_fast() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    // While nobody reads, nobody but the one that lingers can keep the log from being emptied.
    let sql = bench.sql();
    sql.busy_timeout(Duration::ZERO).unwrap();
    let lingers = (0..1_000).any(|round| {
        set(&disk, "other", format!("round {round}"));
        read_often(&disk);
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap() == 1
    });
    assert!(lingers, "each read locks and unlocks the log");
}

#[test]
fn many_reads_leave_no_lock_behind() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    read_often(&disk);
    // It waits for readers, some seconds at most, and needs all of them gone.
    let (busy, log): (i64, i64) =
        bench.sql().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((busy, log), (0, 0), "somebody still reads");
    read_often(&disk);
}

#[test]
fn many_reads_leave_no_connection_behind() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    set(&disk, "key", "value");
    read_often(&disk);
    let log = bench.home().join("store.db-wal");
    assert!(log.exists());
    disk.close().unwrap();
    drop(disk);
    assert!(!log.exists(), "SQLite removes the log with the last connection");
}

#[test]
fn what_is_written_is_seen_at_once_by_who_reads_often() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    set(&disk, "key", "value");
    for round in 0..200 {
        (0..100).for_each(|_| assert!(peek(&disk, "key").is_some()));
        let value = format!("value {round}");
        set(&other, "key", value.clone());
        assert_eq!(peek(&disk, "key"), Some(value.into()));
    }
}

#[test]
fn the_log_stays_small_while_some_read_and_others_write() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    set(&disk, "key", "value");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                read_often(&disk);
            }
        });
        for i in 0..4_000 {
            set(&other, &format!("key{}", i % 100), bytes(&format!("round{i}"), 20_000));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let log = fs::metadata(bench.home().join("store.db-wal")).unwrap().len();
    assert!(log <= 12 << 20, "the log has {log} bytes after 80 MB were written");
}
