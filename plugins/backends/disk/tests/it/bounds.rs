use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use retainit_disk::DiskConfig;
use retainit_plugin::{
    BackendConfig, Built, Context, Error, ErrorKind, Listener, Read, Removal, StoreCondition, StoreOptions, Stored,
    SystemClock,
};
use retainit_testkit::Notice;

use crate::common::{Bench, Disk, HOUR, bytes, fence, peek, put, set};

fn key(number: usize) -> String {
    format!("key{number:04}")
}

#[test]
fn loads_keep_the_bound_on_entries() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(4));
    for i in 0..100 {
        let absent = fence(&disk, &key(i));
        assert_eq!(put(&disk, &key(i), "loaded", StoreCondition::Fenced(absent)), Stored::Yes);
    }
    assert_eq!(bench.count("entry"), 4);
}

// T-25
#[test]
fn the_least_recently_used_entries_go_first() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(100));
    (0..100).for_each(|i| set(&disk, &key(i), "value"));
    for i in (0..50).step_by(5) {
        assert!(peek(&disk, &key(i)).is_some());
        let looked_at = disk.read(&key(i + 2), Read::peek().unnoticed()).expect("a read");
        assert!(looked_at.entry.is_some(), "which is no use of it");
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
    assert_eq!(near(&bench).len(), 1, "R-23: told when it fills, not with every store");
}

/// Returns the fill level at each notice that the backend is nearly full.
fn near(bench: &Bench) -> Vec<(u64, u64)> {
    let near = bench.recorder.notices().into_iter().filter_map(|notice| match notice {
        Notice::NearCapacity { used, capacity } => Some((used, capacity)),
        _ => None,
    });
    near.collect()
}

//
#[test]
fn nine_tenths_of_the_entries_are_reported_once_until_there_were_fewer() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(100));
    (0..89).for_each(|i| set(&disk, &key(i), "value"));
    assert_eq!(near(&bench), []);
    (89..150).for_each(|i| set(&disk, &key(i), "value"));
    assert_eq!(near(&bench), [(90, 100)]);
    (60..90).for_each(|i| assert!(disk.remove(&key(i)).unwrap()));
    (60..90).for_each(|i| set(&disk, &key(i), "value"));
    assert_eq!(near(&bench), [(90, 100); 2]);
}

//
#[test]
fn nine_tenths_of_the_bytes_are_reported_when_they_are_met_and_when_they_are_found() {
    let bench = Bench::new();
    let config = DiskConfig::new().max_bytes(2 << 20);
    let disk = bench.open_with(config.clone());
    let fill = |from: usize, to: usize| (from..to).for_each(|i| set(&disk, &key(i), bytes("blob", 100_000)));
    fill(0, 16);
    assert_eq!(near(&bench), [], "16 blobs of 100 KB are less than 1.8 MiB");
    fill(16, 40);
    let told = near(&bench);
    let [(used, capacity)] = told[..] else { panic!("{told:?}") };
    assert!(capacity == 2 << 20 && (capacity * 9 / 10..capacity).contains(&used), "{used} of {capacity}");
    assert!(peek(&bench.open_with(config), &key(39)).is_some());
    assert_eq!(near(&bench).len(), 2, "a process that opens the folder hears of it without a store");
}

#[test]
fn what_is_evicted_is_reported_by_its_key() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(10));
    let store = |i| {
        disk.store(&key(i), "value".into(), StoreOptions::new(StoreCondition::Always).ttl((i == 1).then_some(HOUR)))
    };
    (0..10).for_each(|i| assert_eq!(store(i).unwrap(), Stored::Yes));
    bench.clock.advance(HOUR * 2);
    assert_eq!(bench.recorder.evicted(), [""; 0]);
    (10..15).for_each(|i| assert_eq!(store(i).unwrap(), Stored::Yes));
    assert!(disk.remove(&key(9)).unwrap());
    let evicted = [0, 2, 3, 4].map(key);
    assert_eq!(bench.recorder.evicted(), evicted, "neither what had expired nor what was removed");

    let disk = bench.open_with(DiskConfig::new().max_bytes(1 << 20));
    (0..12).for_each(|i| set(&disk, &format!("blob{i:02}"), bytes("blob", 100_000)));
    let told = &bench.recorder.evicted()[4..];
    let gone = (0..12).map(|i| format!("blob{i:02}")).filter(|key| peek(&disk, key).is_none());
    let gone: Vec<String> = (5..15).map(key).filter(|key| key != "key0009").chain(gone).collect();
    assert!(gone.len() > 9, "blobs had to go");
    assert_eq!(told, gone);
}

/// A listener that uses the backend at every report.
#[derive(Debug, Default)]
struct Curious {
    disk: OnceLock<Disk>,
    told: AtomicUsize,
}

impl Curious {
    fn ask(&self) {
        let disk = self.disk.get().expect("nothing is told before the first store");
        assert!(!disk.remove("nothing").expect("a removal"));
        self.told.fetch_add(1, Ordering::Relaxed);
    }
}

impl Listener for Curious {
    fn removed(&self, _: Removal<'_>) {}

    fn evicted(&self, key: &str) {
        let disk = self.disk.get().expect("nothing is told before the first store");
        assert_eq!(peek(disk, key), None, "it was told before it had gone");
        self.ask();
    }

    fn near_capacity(&self, _: u64, _: u64) {
        self.ask();
    }

    fn failed(&self, _: &'static str, _: &Error) {}
}

#[test]
fn a_listener_may_use_the_backend() {
    let folder = tempfile::tempdir().unwrap();
    let curious = Arc::new(Curious::default());
    let context = Context::new("disk", Arc::new(SystemClock), curious.clone());
    let config = DiskConfig::new().base_path(folder.path()).max_entries(10);
    let Built::Local(disk) = config.build(context).unwrap() else { panic!("the disk blocks") };
    curious.disk.set(disk.clone()).expect("set once");
    (0..15).for_each(|i| set(&disk, &key(i), "value"));
    assert_eq!(curious.told.load(Ordering::Relaxed), 6, "five evictions, and nine tenths once");
}

#[test]
fn an_entry_above_the_bound_is_refused_and_empties_its_slot() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_bytes(1 << 20));
    set(&disk, "key", "old");
    let stored = disk.store("key", bytes("large", 2 << 20), StoreOptions::new(StoreCondition::Always));
    assert_eq!(stored.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(peek(&disk, "key"), None);
}
