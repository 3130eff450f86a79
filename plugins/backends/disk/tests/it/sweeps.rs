use std::fs::{self, File};
use std::time::Duration;

use retainit_plugin::{Clock, Read, StoreCondition, StoreOptions, Strength};

use crate::common::{Bench, HOUR, bytes, count_of, peek, set};

/// Writes after which a sweep has gone round once, for few entries.
const ROUND: usize = 64;

/// `DISK_TEST_TAGS=1000000` for the long run.
#[test]
fn expired_tags_leave_nothing_behind() {
    let bench = Bench::new();
    let (disk, tags) = (bench.open(), count_of("DISK_TEST_TAGS", 100_000));
    let groups: Vec<String> = (0..tags).map(|i| format!("r1:t:default:-:tag{i}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    for groups in groups.chunks(1_000) {
        disk.read("key", Read::take(HOUR).groups(groups)).unwrap();
    }
    assert_eq!(bench.count("version"), tags as u64);
    bench.clock.advance(HOUR * 2);
    for _ in 0..tags.div_ceil(512) * 32 + 32 {
        disk.remove("key").unwrap();
    }
    assert_eq!(bench.count("version"), 0);
}

#[test]
fn a_version_outlives_the_entries_that_carry_it() {
    let bench = Bench::new();
    let (disk, group) = (bench.open(), ["group"]);
    let version = disk.raise("group", Strength::Hard).unwrap();
    disk.store("key", "value".into(), StoreOptions::new(StoreCondition::Always).ttl(Some(HOUR * 100)).groups(&group))
        .unwrap();
    bench.clock.advance(HOUR * 99);
    (0..ROUND).for_each(|_| assert!(!disk.remove("other").unwrap()));
    assert_eq!(*disk.read("key", Read::peek().groups(&group)).unwrap().versions, [Some(version)]);
    bench.clock.advance(HOUR * 100);
    assert_eq!(*disk.read("key", Read::peek().groups(&group)).unwrap().versions, [None]);
}

// T-103
#[test]
fn expired_entries_are_not_shown_and_swept_with_their_files() {
    let bench = Bench::new();
    let disk = bench.open();
    for i in 0..200 {
        let entry = if i % 50 == 0 { bytes("blob", 70_000) } else { "value".into() };
        disk.store(&format!("key{i}"), entry, StoreOptions::new(StoreCondition::Always).ttl(Some(HOUR))).unwrap();
    }
    bench.clock.advance(HOUR * 2);
    assert_eq!(peek(&disk, "key7"), None);
    assert_eq!(disk.scan(retainit_plugin::Scan::prefix("")).unwrap().keys, [""; 0]);
    assert_eq!((bench.count("entry"), bench.blobs().len()), (200, 4));
    (0..ROUND * 4).for_each(|_| set(&disk, "other", "value"));
    assert_eq!((bench.count("entry"), bench.blobs().len()), (1, 0));
}

#[test]
fn files_without_a_row_are_swept_when_they_are_old() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "key", bytes("blob", 70_000));
    let cached = bench.blobs().remove(0);
    let shard = cached.parent().unwrap().to_owned();
    let write = |name: &str, age: Duration| {
        let file = shard.join(name);
        fs::write(&file, "rubbish").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(bench.clock.wall() - age).unwrap();
        file
    };
    File::options().write(true).open(&cached).unwrap().set_modified(bench.clock.wall() - HOUR * 9).unwrap();
    let old = [write("00000000000000aa", HOUR * 2), write("00000000000000ae", HOUR * 2)];
    let spared = [write("00000000000000ac", HOUR / 2), write("notes.txt", HOUR * 9), cached];
    bench.clock.advance(Duration::from_secs(11));
    (0..ROUND).for_each(|_| set(&disk, "other", "value"));
    old.iter().for_each(|file| assert!(!file.exists(), "{}", file.display()));
    spared.iter().for_each(|file| assert!(file.exists(), "{}", file.display()));
    assert_eq!(peek(&disk, "key"), Some(bytes("blob", 70_000)));
}
