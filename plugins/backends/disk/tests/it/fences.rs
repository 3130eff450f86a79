use retainit_disk::DiskConfig;
use retainit_plugin::{Read, Scan, StoreCondition, StoreOptions, Stored};

use crate::common::{Bench, HOUR, LEASE, bytes, fence, peek, put, set};

#[test]
fn who_asks_for_placeholders_refuses_the_loads_behind_empty_slots() {
    let bench = Bench::new();
    let (disk, other) = (bench.open(), bench.open());
    set(&disk, "a/present", "old");
    let (present, empty) = (fence(&disk, "a/present"), fence(&disk, "a/empty"));
    let page = other.scan(Scan::prefix("a/").placeholders()).unwrap();
    assert_eq!((page.keys, page.next), (vec!["a/present".to_owned()], None));
    assert!(other.remove("a/present").unwrap());
    assert_eq!(put(&disk, "a/present", "stale", StoreCondition::Fenced(present)), Stored::Refused);
    assert_eq!(put(&disk, "a/empty", "stale", StoreCondition::Fenced(empty)), Stored::Refused);
}

/// The fence of a load over an expired entry is that entry, if a `set` has left it there.
#[test]
fn who_asks_for_placeholders_refuses_the_loads_over_expired_entries() {
    let bench = Bench::new();
    let (disk, other) = (bench.open(), bench.open());
    disk.store("a/expired", "set".into(), StoreOptions::new(StoreCondition::Always).ttl(Some(HOUR))).unwrap();
    bench.clock.advance(HOUR * 2);
    let expired = fence(&disk, "a/expired");
    assert_eq!(other.scan(Scan::prefix("a/")).unwrap().keys, [""; 0]);
    for key in other.scan(Scan::prefix("a/").placeholders()).unwrap().keys {
        assert!(!other.remove(&key).unwrap(), "it is no entry any more");
    }
    assert_eq!(put(&disk, "a/expired", "stale", StoreCondition::Fenced(expired)), Stored::Refused);
}

#[test]
fn a_scan_breaks_no_fence() {
    let bench = Bench::new();
    let disk = bench.open();
    let empty = fence(&disk, "empty");
    disk.scan(Scan::prefix("")).unwrap();
    assert_eq!(put(&disk, "empty", "loaded", StoreCondition::Fenced(empty)), Stored::Yes);
}

/// Checks that neither eviction nor expiry brings a fence back that a `set` has broken.
#[test]
fn a_fence_stays_broken_when_the_entry_that_broke_it_has_gone() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_entries(4));
    let absent = fence(&disk, "key");
    set(&disk, "key", "set");
    (0..8).for_each(|i| set(&disk, &format!("other{i}"), "value"));
    assert_eq!(peek(&disk, "key"), None, "it was evicted");
    assert_eq!(put(&disk, "key", "stale", StoreCondition::Fenced(absent)), Stored::Refused);
}

#[test]
fn a_fence_stays_broken_when_the_entry_that_broke_it_has_expired() {
    for sweep in [false, true] {
        let bench = Bench::new();
        let disk = bench.open();
        let absent = fence(&disk, "key");
        disk.store("key", "set".into(), StoreOptions::new(StoreCondition::Always).ttl(Some(HOUR))).unwrap();
        // A load that replaces what was set does not mend the fence either.
        let present = fence(&disk, "key");
        disk.store("key", "loaded".into(), StoreOptions::new(StoreCondition::Fenced(present)).ttl(Some(HOUR))).unwrap();
        bench.clock.advance(HOUR * 2);
        if sweep {
            (0..100).for_each(|_| set(&disk, "other", "value"));
            assert_eq!(bench.count("entry"), 1);
        }
        assert_eq!(put(&disk, "key", "stale", StoreCondition::Fenced(absent)), Stored::Refused, "swept: {sweep}");
        let expired = fence(&disk, "key");
        assert_eq!(put(&disk, "key", "new", StoreCondition::Fenced(expired)), Stored::Yes, "swept: {sweep}");
    }
}

#[test]
fn a_load_over_an_expired_entry_is_stored_swept_or_not() {
    let bench = Bench::new();
    let disk = bench.open();
    for sweep in [false, true] {
        let absent = fence(&disk, "key");
        disk.store("key", "old".into(), StoreOptions::new(StoreCondition::Fenced(absent)).ttl(Some(HOUR))).unwrap();
        bench.clock.advance(HOUR * 2);
        let expired = fence(&disk, "key");
        if sweep {
            bench.sql().execute("DELETE FROM entry", []).unwrap();
        }
        assert_eq!(put(&disk, "key", "new", StoreCondition::Fenced(expired)), Stored::Yes, "swept: {sweep}");
        assert_eq!(put(&disk, "key", "late", StoreCondition::Fenced(expired)), Stored::Refused);
        disk.remove("key").unwrap();
    }
}

#[test]
fn a_load_over_an_expired_file_leaves_no_file() {
    let bench = Bench::new();
    let disk = bench.open();
    let absent = fence(&disk, "key");
    disk.store("key", bytes("blob", 100_000), StoreOptions::new(StoreCondition::Fenced(absent)).ttl(Some(HOUR)))
        .unwrap();
    bench.clock.advance(HOUR * 2);
    let expired = fence(&disk, "key");
    assert_eq!(put(&disk, "key", "small", StoreCondition::Fenced(expired)), Stored::Yes);
    assert_eq!(peek(&disk, "key"), Some("small".into()));
    assert!(bench.blobs().is_empty(), "{:?}", bench.blobs());
    let counted: i64 = bench.sql().query_row("SELECT blob_bytes FROM meta", [], |row| row.get(0)).unwrap();
    assert_eq!(counted, 0);
}

#[test]
fn what_a_load_depends_on_lives_as_long_as_what_it_brings() {
    let bench = Bench::new();
    let disk = bench.open();
    let groups = ["group"];
    let read = || disk.read("key", Read::take(LEASE).groups(&groups)).unwrap();
    let before = read();
    let terms = StoreOptions::new(StoreCondition::Fenced(before.fence.unwrap())).ttl(Some(HOUR * 240)).groups(&groups);
    assert_eq!(disk.store("key", "loaded".into(), terms).unwrap(), Stored::Yes);
    bench.clock.advance(HOUR * 200);
    (0..200).for_each(|_| set(&disk, "other", "value"));
    let after = read();
    assert_eq!((after.entry, after.versions), (Some("loaded".into()), before.versions));
}

#[test]
fn reads_write_nothing() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "present", "value");
    let sql = bench.sql();
    let commits = || sql.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = commits();
    for _ in 0..1_000 {
        fence(&disk, "empty");
        fence(&disk, "present");
        peek(&disk, "present");
    }
    assert_eq!(commits(), before);
}
