//! One flipped bit in a row that decides whether an entry may be served or stored: it fails towards a miss. What was
//! invalidated stays so, no operation fails, and the store goes on.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::time::Duration;

use retainit_disk::DiskConfig;
use retainit_plugin::{Bytes, GroupVersion, Read, StoreCondition, StoreOptions, Stored, Strength};

use crate::common::{Bench, Disk, LEASE, bytes, fence, folders, peek, put, set};

/// Reads the version of a group, which gets one if it has none.
fn version(disk: &Disk, group: &str) -> GroupVersion {
    let found = disk.read("any", Read::take(LEASE).groups(&[group])).expect("damage is no error");
    found.versions[0].expect("a take makes what is missing")
}

/// Returns a version whose counters are even: each raised once, they differ in one bit.
fn even_version(disk: &Disk, group: &str) -> GroupVersion {
    let mut found = version(disk, group);
    while found.hard % 2 == 1 {
        found = disk.raise(group, Strength::Hard).expect("a raise");
    }
    while found.soft % 2 == 1 {
        found = disk.raise(group, Strength::Soft).expect("a raise");
    }
    found
}

/// Returns a number with one bit flipped.
fn flipped(number: i64, bit: u32) -> i64 {
    number ^ (1_i64 << bit)
}

/// Flips a bit of a number in the database, past the backend.
fn flip(bench: &Bench, table: &str, column: &str, row: &str, bit: u32) {
    let sql = bench.sql();
    let number: i64 =
        sql.query_row(&format!("SELECT {column} FROM {table} WHERE {row}"), [], |row| row.get(0)).expect("a number");
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {row}");
    assert_eq!(sql.execute(&update, [flipped(number, bit)]).expect("an update"), 1);
}

/// Asserts that nobody finds the entry of a key that was loaded under `old`.
fn assert_gone(disk: &Disk, group: &str, old: GroupVersion, what: &str) {
    assert_ne!(version(disk, group), old, "{what} took the invalidation back");
}

/// Asserts that all find an entry that is stored under the current version.
fn works_again(disks: &[&Disk], group: &str, what: &str) {
    let groups = &[group];
    let mut seal = |versions: &[Option<GroupVersion>]| Ok(Bytes::from(format!("{versions:?}")));
    let stored = disks[0].store_with("key", &mut seal, StoreOptions::new(StoreCondition::Always).groups(groups));
    assert_eq!(stored.expect(what), Stored::Yes, "{what}");
    for disk in disks {
        let found = disk.read("key", Read::peek().groups(groups)).expect(what);
        assert_eq!(found.entry, Some(Bytes::from(format!("{:?}", found.versions))), "{what}");
    }
}

#[test]
fn no_bit_of_a_version_takes_an_invalidation_back() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    for column in ["hard", "soft", "sum", "deadline"] {
        for bit in 0..64 {
            let group = format!("{column}{bit}");
            let old = even_version(&one, &group);
            assert_eq!(version(&two, &group), old);
            two.raise(&group, if column == "soft" { Strength::Soft } else { Strength::Hard }).unwrap();
            flip(&bench, "version", column, &format!("name = '{}'", group.as_str()), bit);
            let what = format!("bit {bit} of {column}");
            for disk in [&one, &two, &bench.open()] {
                assert_gone(disk, &group, old, &what);
            }
            works_again(&[&one, &two, &bench.open()], &group, &what);
        }
    }
}

#[test]
fn no_bit_of_the_stamp_of_versions_takes_an_invalidation_back() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    // With so many raises before, in case that it counts: every other number differs from the next in one bit.
    for (bit, before) in (0..64).flat_map(|bit| (0..3).map(move |before| (bit, before))) {
        let group = format!("stamp{bit}/{before}");
        for _ in 0..before {
            two.raise("other", Strength::Hard).unwrap();
        }
        let old = version(&one, &group);
        version(&two, &group);
        two.raise(&group, Strength::Hard).unwrap();
        flip(&bench, "meta", "raised", "id = 1", bit);
        for disk in [&one, &two] {
            assert_gone(disk, &group, old, &format!("bit {bit}"));
        }
        works_again(&[&one, &two], &group, &format!("bit {bit}"));
    }
}

#[test]
fn no_bit_of_a_stripe_lets_a_refused_load_be_stored() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    let counters = || -> Vec<(i64, i64)> {
        let sql = bench.sql();
        let mut select = sql.prepare("SELECT id, gen FROM stripe ORDER BY id").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    set(&one, "something", "there");
    for bit in 0..64 {
        let (before, loading) = (counters(), fence(&one, "key"));
        two.remove("key").unwrap();
        let changed: Vec<_> = counters().into_iter().filter(|counter| !before.contains(counter)).collect();
        let [(stripe, _)] = changed[..] else { panic!("{changed:?}") };
        flip(&bench, "stripe", "gen", &format!("id = {stripe}"), bit);
        for disk in [&one, &two, &bench.open()] {
            assert_eq!(put(disk, "key", "stale", StoreCondition::Fenced(loading)), Stored::Refused, "bit {bit}");
        }
        let again = fence(&two, "key");
        assert_eq!(put(&two, "key", "loaded", StoreCondition::Fenced(again)), Stored::Yes, "bit {bit}");
        assert!(one.remove("key").unwrap());
    }
}

// What a `set` leaves in its entry keeps older loads out until the entry ends.
#[test]
fn no_bit_of_an_entry_lets_a_load_overtake_a_set() {
    let bench = Bench::new();
    let (one, two) = (bench.open(), bench.open());
    for column in ["gen", "deadline", "sum"] {
        for bit in 0..64 {
            let what = format!("bit {bit} of {column}");
            let loading = fence(&one, "key");
            let terms = StoreOptions::new(StoreCondition::Always).ttl(Some(Duration::from_secs(1)));
            assert_eq!(two.store("key", "set".into(), terms).unwrap(), Stored::Yes);
            flip(&bench, "entry", column, "key = 'key'", bit);
            assert_eq!(put(&one, "key", "stale", StoreCondition::Fenced(loading)), Stored::Refused, "{what}");
            bench.clock.advance(Duration::from_secs(2));
            assert_eq!(
                put(&one, "key", "stale", StoreCondition::Fenced(loading)),
                Stored::Refused,
                "{what}, when it has expired"
            );
            assert_eq!(peek(&two, "key"), None, "{what}");
            let again = fence(&two, "key");
            assert_eq!(put(&two, "key", "loaded", StoreCondition::Fenced(again)), Stored::Yes, "{what}");
            one.remove("key").unwrap();
        }
    }
}

#[test]
fn no_bit_of_the_size_of_blobs_empties_the_cache() {
    let bench = Bench::new();
    let disk = bench.open_with(DiskConfig::new().max_bytes(16 << 20));
    set(&disk, "first", bytes("first", 100_000));
    for column in ["blob_bytes", "sum"] {
        for bit in 0..64 {
            flip(&bench, "meta", column, "id = 1", bit);
            // Enough for the use to be looked at.
            set(&disk, "row", bytes("row", 60_000));
            set(&disk, "other row", bytes("row", 60_000));
            assert!(peek(&disk, "first").is_some(), "bit {bit} of {column}");
            set(&disk, "file", bytes("file", 100_000 + bit as usize));
            let counted: i64 = bench.sql().query_row("SELECT blob_bytes FROM meta", [], |row| row.get(0)).unwrap();
            assert_eq!(counted, 200_000 + i64::from(bit), "bit {bit} of {column}");
        }
    }
}

// The bytes of the rows as they are in the file, names and lengths of columns too.
#[test]
fn no_bit_of_the_file_around_a_version_takes_an_invalidation_back() {
    const NAME: &str = "r1:t:default:-:a-tag-of-the-file";
    let bench = Bench::new();
    let disk = bench.open();
    let old = even_version(&disk, NAME);
    disk.raise(NAME, Strength::Hard).unwrap();
    disk.close().unwrap();
    drop(disk);
    bench.sql().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let file = fs::read(bench.home().join("store.db")).unwrap();
    let cells = file.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME.as_bytes());
    let cells: Vec<usize> = cells.map(|(at, _)| at).collect();
    assert!(!cells.is_empty());
    // Lengths of the cell and of its columns are before the name, the numbers behind it.
    let around = |at: &usize| (at - 6..at + 2).chain(at + NAME.len()..at + NAME.len() + 30);
    for byte in cells.iter().flat_map(around) {
        for bit in 0..8 {
            let what = format!("bit {bit} of byte {byte}");
            let damaged = Bench::new();
            copy(&bench.base(), &damaged.base());
            let store = fs::OpenOptions::new().write(true).open(damaged.home().join("store.db")).unwrap();
            store.write_all_at(&[file[byte] ^ (1 << bit)], byte as u64).unwrap();
            let (one, two) = (damaged.open(), damaged.open());
            assert_gone(&one, NAME, old, &what);
            works_again(&[&two, &one], NAME, &what);
        }
    }
}

/// Copies a folder as it is.
fn copy(from: &Path, to: &Path) {
    fs::DirBuilder::new().mode(0o700).create(to).expect("a folder");
    for entry in folders(from, "") {
        let copied = to.join(entry.file_name().expect("it has a name"));
        if entry.is_dir() { copy(&entry, &copied) } else { fs::copy(&entry, &copied).map(drop).expect("a copy") }
    }
}

// A database of a layout that has no checksums is put aside, as a damaged one is.
#[test]
fn an_older_layout_is_put_aside() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "key", "value");
    disk.close().unwrap();
    drop(disk);
    bench.sql().execute_batch("PRAGMA user_version = 0").unwrap();
    let disk = bench.open();
    assert_eq!(peek(&disk, "key"), None);
    set(&disk, "key", "again");
    assert_eq!(peek(&bench.open(), "key"), Some("again".into()));
    assert_eq!(folders(&bench.base().join("v1"), "broken-").len(), 1);
}
