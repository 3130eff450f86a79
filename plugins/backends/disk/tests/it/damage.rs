use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use retainit_plugin::{Read, StoreCondition, Stored};

use crate::common::{Bench, Disk, bytes, fence, folders, peek, put, set};

const ENTRIES: usize = 400;

fn key(number: usize) -> String {
    format!("key{number}")
}

fn fill(disk: &Disk) {
    (0..ENTRIES).for_each(|i| set(disk, &key(i), bytes(&key(i), 500 + i * 20)));
}

/// Reads everything: what is found must be right. Gives how much was found.
fn check(disk: &Disk) -> usize {
    let right = |i: &usize| {
        let found = disk.read(&key(*i), Read::take(crate::common::LEASE)).expect("damage is no error").entry;
        found.is_some_and(|found| {
            assert!(found == bytes(&key(*i), 500 + i * 20), "{} is wrong", key(*i));
            true
        })
    };
    (0..ENTRIES).filter(right).count()
}

/// Checks that after damage nothing is wrong, and everything can be stored again.
fn recovers(bench: &Bench, disks: &[&Disk]) {
    for disk in disks {
        check(disk);
    }
    fill(disks[0]);
    for disk in disks {
        assert_eq!(check(disk), ENTRIES);
    }
    assert!(folders(&bench.base().join("v1"), "broken-").len() <= 1);
}

fn truncate(path: &Path, len: u64) {
    OpenOptions::new()
        .write(true)
        .open(path)
        .expect("the file can be written")
        .set_len(len)
        .expect("the file can be written");
}

fn scribble(path: &Path, from: u64, len: usize) {
    let file = OpenOptions::new().write(true).open(path).expect("the file can be written");
    file.write_all_at(&bytes("scribble", len), from).expect("the file can be written");
}

#[test]
fn what_is_read_has_been_verified() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "row", "value");
    set(&disk, "file", bytes("blob", 100_000));
    for key in ["row", "file"] {
        let snapshot = disk.read(key, Read::peek()).unwrap();
        assert!(snapshot.entry.is_some() && snapshot.verified, "{key}");
    }
}

#[test]
fn a_damaged_row_is_a_miss_and_is_reported() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    for (column, value) in
        [("value", "'other'"), ("gen", "gen + 1"), ("deadline", "deadline - 1"), ("sum", "sum + 1"), ("key", "'moved'")]
    {
        set(&disk, "key", "value");
        bench.sql().execute(&format!("UPDATE entry SET {column} = {value}"), []).unwrap();
        let name = if column == "key" { "moved" } else { "key" };
        let snapshot = disk.read(name, Read::take(crate::common::LEASE)).unwrap();
        assert_eq!(snapshot.entry, None, "a changed {column} was not noticed");
        let loaded = put(&disk, name, "loaded", StoreCondition::Fenced(snapshot.fence.unwrap()));
        assert_eq!(loaded, Stored::Yes, "the fence of a damaged row holds");
        bench.sql().execute("DELETE FROM entry", []).unwrap();
    }
    // A text where a blob should be is damage of the whole database.
    let row_damage = bench.failures();
    assert!(row_damage.iter().all(|operation| ["read", "database"].contains(operation)), "{row_damage:?}");
    assert_eq!(row_damage.len(), 5);
}

#[test]
fn a_missing_short_or_changed_blob_is_a_miss_and_is_reported() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    let damages: [fn(&Path); 4] = [
        |blob| fs::remove_file(blob).unwrap(),
        |blob| truncate(blob, 1_000),
        |blob| truncate(blob, 200_000),
        |blob| scribble(blob, 50_000, 10),
    ];
    for (i, damage) in damages.iter().enumerate() {
        set(&disk, "key", bytes("blob", 100_000));
        damage(&bench.blobs()[0]);
        assert_eq!(peek(&disk, "key"), None, "damage {i} was not noticed");
        assert_eq!(bench.failures().len(), i + 1);
        assert_eq!(bench.count("entry"), 0, "the row is gone too");
        let fence = fence(&disk, "key");
        assert_eq!(put(&disk, "key", "loaded", StoreCondition::Fenced(fence)), Stored::Yes);
        disk.remove("key").unwrap();
    }
}

#[test]
fn a_file_that_is_no_database_is_put_aside() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    fill(&disk);
    disk.close().unwrap();
    drop(disk);
    fs::write(bench.home().join("store.db"), bytes("garbage", 100_000)).unwrap();
    let disk = bench.open_in_real_time();
    assert_eq!(check(&disk), 0);
    assert_eq!(bench.failures(), ["database"]);
    let broken = folders(&bench.base().join("v1"), "broken-");
    assert_eq!(fs::read(broken[0].join("store.db")).unwrap(), bytes("garbage", 100_000));
    recovers(&bench, &[&disk]);
}

#[test]
fn an_empty_file_is_no_database_either() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    fill(&disk);
    disk.close().unwrap();
    drop(disk);
    truncate(&bench.home().join("store.db"), 0);
    let disk = bench.open_in_real_time();
    assert_eq!(check(&disk), 0);
    recovers(&bench, &[&disk]);
}

#[test]
fn a_database_truncated_under_live_processes_is_replaced_for_all_of_them() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    fill(&disk);
    assert_eq!(check(&other), ENTRIES);
    bench.sql().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    truncate(&bench.home().join("store.db"), 100_000);
    recovers(&bench, &[&disk, &other, &bench.open_in_real_time()]);
}

#[test]
fn a_database_scribbled_over_under_live_processes_is_replaced_for_all_of_them() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    fill(&disk);
    assert_eq!(check(&other), ENTRIES);
    bench.sql().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    scribble(&bench.home().join("store.db"), 8_192, 500_000);
    recovers(&bench, &[&other, &disk, &bench.open_in_real_time()]);
}

#[test]
fn a_log_truncated_under_live_processes_gives_nothing_wrong() {
    for len in [0, 100, 50_000] {
        let bench = Bench::new();
        let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
        fill(&disk);
        assert_eq!(check(&other), ENTRIES);
        truncate(&bench.home().join("store.db-wal"), len);
        recovers(&bench, &[&other, &disk, &bench.open_in_real_time()]);
    }
}

#[test]
fn a_scribbled_log_gives_nothing_wrong() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    fill(&disk);
    scribble(&bench.home().join("store.db-wal"), 10_000, 1_000_000);
    recovers(&bench, &[&other, &disk, &bench.open_in_real_time()]);
}
