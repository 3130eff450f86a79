use std::fs;

use retainit_disk::DiskConfig;
use retainit_plugin::{ErrorKind, Terms, When};
use retainit_testkit::Notice;

use crate::common::{Bench, bytes, peek, set};

fn key(number: usize) -> String {
    format!("key{number:04}")
}

// T-25
#[test]
fn the_least_recently_used_entries_go_first() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(100));
    (0..100).for_each(|i| set(&disk, &key(i), "value"));
    for i in (0..50).step_by(5) {
        assert!(peek(&disk, &key(i)).is_some());
    }
    set(&disk, &key(1), "stored again");
    (100..140).for_each(|i| set(&disk, &key(i), "value"));
    for i in 0..140 {
        // Fifty entries of the first half are older than the forty that had to go, less the eleven that were used.
        let used = i < 50 && i % 5 == 0 || i == 1;
        let there = peek(&disk, &key(i)).is_some();
        assert!(there == used || i > 50, "{} was {}", key(i), if there { "kept" } else { "evicted" });
        assert!(there || i <= 51, "{} was evicted", key(i));
    }
    assert_eq!(bench.count("entry"), 100);
}

#[test]
fn use_is_written_down_before_a_restart() {
    let bench = Bench::new();
    let config = DiskConfig::new().max_entries(100);
    let disk = bench.open_with(config.clone());
    (0..100).for_each(|i| set(&disk, &key(i), "value"));
    assert!(peek(&disk, &key(0)).is_some());
    disk.close().unwrap();
    let disk = bench.open_with(config);
    (100..120).for_each(|i| set(&disk, &key(i), "value"));
    assert!(peek(&disk, &key(0)).is_some() && peek(&disk, &key(1)).is_none());
}

#[test]
fn two_processes_keep_one_bound() {
    let bench = Bench::new();
    let disks = [(); 2].map(|()| bench.open_with(DiskConfig::new().max_entries(128)));
    for i in 0..600 {
        set(&disks[i % 2], &key(i), "value");
    }
    let count = bench.count("entry");
    assert!((126..=132).contains(&count), "{count} entries");
}

#[test]
fn bytes_on_the_disk_stay_below_their_bound() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_bytes(4 << 20));
    for i in 0..6_000 {
        set(&disk, &key(i), bytes(&key(i), 1_000));
    }
    let len = |path| fs::metadata(path).unwrap().len();
    let database = len(bench.home().join("store.db"));
    assert!(database < (4 << 20) + (256 << 10), "the database takes {database} bytes");
    let count = bench.count("entry");
    assert!(count > 2_500, "only {count} entries are kept");
    assert!(peek(&disk, &key(5_999)).is_some() && peek(&disk, &key(0)).is_none());

    for i in 0..60 {
        set(&disk, &format!("blob{i}"), bytes("blob", 100_000));
    }
    let blobs: u64 = bench.blobs().into_iter().map(len).sum();
    assert!(blobs < 4 << 20, "blobs take {blobs} bytes");
    assert!(bench.blobs().len() > 20, "only {} blobs are kept", bench.blobs().len());
    assert_eq!(bench.blobs().len() as u64, bench.count("entry WHERE blob IS NOT NULL"), "a file for each row");
    let near = bench.recorder.notices().into_iter().filter(|notice| matches!(notice, Notice::NearCapacity { .. }));
    assert!((1..20).contains(&near.count()), "R-23: told when it fills, not with every store");
}

#[test]
fn an_entry_above_the_bound_is_refused_and_empties_its_slot() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_bytes(1 << 20));
    set(&disk, "key", "old");
    let stored = disk.store("key", bytes("large", 2 << 20), Terms::new(When::Always));
    assert_eq!(stored.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(peek(&disk, "key"), None);
}
