//! Tests that an open database is a process's cache only while `base_path` leads there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use retainit_disk::DiskConfig;
use retainit_plugin::{Bytes, GroupVersion, Read, Scan, StoreCondition, Stored, Strength};

use crate::child::Process;
use crate::common::{Bench, Disk, LEASE, build, bytes, fence, folders, peek, put, set};

/// A cache several folders deep, with a link on the way to it: all that can be moved away.
struct Stage {
    bench: Bench,
    /// The configured `base_path`: through the link.
    base: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let bench = Bench::new();
        let outer = bench.base();
        fs::create_dir_all(outer.join("real/parent")).expect("the folders can be used");
        symlink("real", outer.join("link")).expect("the folders can be used");
        Stage { base: outer.join("link/parent/cache"), bench }
    }

    fn open(&self) -> Disk {
        let config = DiskConfig::new().base_path(&self.base);
        build(config, Arc::new(self.bench.clock.clone()), &self.bench.recorder)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.bench.base().join(path)
    }

    fn v1(&self) -> PathBuf {
        self.base.join("v1")
    }

    fn home(&self) -> PathBuf {
        folders(&self.v1(), "db-").remove(0)
    }

    fn away(&self, path: &Path) {
        fs::rename(path, self.at("old")).expect("the folders can be used");
    }

    /// Puts a copy in the place of what is moved away.
    fn exchange(&self, path: &Path) {
        copy(path, &self.at("copy"));
        self.away(path);
        fs::rename(self.at("copy"), path).expect("the folders can be used");
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("the folders can be used");
        for entry in fs::read_dir(from).expect("the folders can be used") {
            let name = entry.expect("the folders can be used").file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).expect("the folders can be used");
    }
}

type Move = (&'static str, fn(&Stage));

/// Ways in which a path comes to name something else while a process has it open.
const MOVES: [Move; 17] = [
    ("the folder renamed", |stage| stage.away(&stage.base)),
    ("v1 renamed", |stage| stage.away(&stage.v1())),
    ("the database's folder renamed", |stage| stage.away(&stage.home())),
    ("the database renamed", |stage| stage.away(&stage.home().join("store.db"))),
    ("a folder above renamed", |stage| stage.away(&stage.at("real/parent"))),
    ("the target of the link renamed", |stage| {
        stage.away(&stage.at("real"));
        fs::create_dir(stage.at("real")).expect("the folders can be used");
    }),
    ("the link renamed", |stage| stage.away(&stage.at("link"))),
    ("the folder removed", |stage| fs::remove_dir_all(&stage.base).expect("the folders can be used")),
    ("v1 removed", |stage| fs::remove_dir_all(stage.v1()).expect("the folders can be used")),
    ("the database's folder removed", |stage| fs::remove_dir_all(stage.home()).expect("the folders can be used")),
    ("the database removed", |stage| fs::remove_file(stage.home().join("store.db")).expect("the folders can be used")),
    ("the folder exchanged for a copy", |stage| stage.exchange(&stage.base)),
    ("v1 exchanged for a copy", |stage| stage.exchange(&stage.v1())),
    ("the database's folder exchanged for a copy", |stage| stage.exchange(&stage.home())),
    ("a folder above exchanged for a copy", |stage| stage.exchange(&stage.at("real/parent"))),
    ("the link switched to a copy", |stage| {
        copy(&stage.at("real"), &stage.at("other"));
        symlink("other", stage.at("link.new")).expect("the folders can be used");
        fs::rename(stage.at("link.new"), stage.at("link")).expect("the folders can be used");
    }),
    ("current names a copy", |stage| {
        copy(&stage.home(), &stage.v1().join("db-0123456789abcdef"));
        fs::write(stage.v1().join("current"), "0123456789abcdef").expect("the folders can be used");
    }),
];

fn version(disk: &Disk, group: &str) -> GroupVersion {
    let found = disk.read("other", Read::take(LEASE).groups(&[group])).expect("a read");
    found.versions[0].expect("a take makes what is missing")
}

fn keys(disk: &Disk) -> Vec<String> {
    disk.scan(Scan::prefix("")).expect("a scan").keys
}

/// Runs a test for each way to move a folder. The clock of these tests does not move: that some time has passed is of
/// no help.
fn each_move(test: impl Fn(&Stage, &str, &dyn Fn())) {
    for (name, act) in MOVES {
        let stage = Stage::new();
        test(&stage, name, &|| act(&stage));
        let told = stage.bench.failures();
        assert_eq!(told, [""; 0], "{name}");
    }
}

#[test]
fn a_removal_in_the_new_folder_wins() {
    each_move(|stage, name, act| {
        let disk = stage.open();
        set(&disk, "key", "old");
        set(&disk, "large", bytes("old", 100_000));
        assert_eq!(peek(&disk, "key"), Some("old".into()));
        act();
        let other = stage.open();
        for key in ["key", "large"] {
            other.remove(key).unwrap();
            assert_eq!(peek(&disk, key), None, "{name}");
        }
        assert_eq!(keys(&disk), [""; 0], "{name}");
        set(&other, "key", "new");
        assert_eq!(peek(&disk, "key"), Some("new".into()), "{name}");
    });
}

#[test]
fn an_invalidated_group_in_the_new_folder_wins() {
    each_move(|stage, name, act| {
        let disk = stage.open();
        let before = version(&disk, "tag");
        act();
        let other = stage.open();
        let raised = other.raise("tag", Strength::Hard).unwrap();
        assert_ne!(before, raised, "{name}");
        assert_eq!(version(&disk, "tag"), raised, "{name}");
    });
}

#[test]
fn a_load_that_began_in_the_old_folder_is_not_stored_in_the_new_one() {
    each_move(|stage, name, act| {
        let disk = stage.open();
        let began = fence(&disk, "key");
        act();
        let other = stage.open();
        other.remove("key").unwrap();
        assert_eq!(put(&disk, "key", "stale", StoreCondition::Fenced(began)), Stored::Refused, "{name}");
        assert_eq!(peek(&other, "key"), None, "{name}");
    });
}

/// The copy was made before the last removal in the old folder, and a removal in the copy counts up to the same number.
#[test]
fn a_fence_of_the_old_folder_never_holds_in_a_copy() {
    let stage = Stage::new();
    let disk = stage.open();
    disk.remove("key").unwrap();
    copy(&stage.v1(), &stage.at("copy"));
    disk.remove("key").unwrap();
    let began = fence(&disk, "key");
    stage.away(&stage.v1());
    fs::rename(stage.at("copy"), stage.v1()).unwrap();
    let other = stage.open();
    other.remove("key").unwrap();
    assert_eq!(put(&disk, "key", "stale", StoreCondition::Fenced(began)), Stored::Refused);
    assert_eq!(
        put(&disk, "key", "loaded", StoreCondition::Fenced(fence(&other, "key"))),
        Stored::Yes,
        "of one database they hold"
    );
}

#[test]
fn what_is_acknowledged_after_a_move_is_in_the_new_folder() {
    each_move(|stage, name, act| {
        let disk = stage.open();
        set(&disk, "key", "old");
        let before = version(&disk, "tag");
        act();
        set(&disk, "key", "new");
        set(&disk, "large", bytes("new", 100_000));
        let raised = disk.raise("tag", Strength::Hard).unwrap();
        let other = stage.open();
        assert_eq!(peek(&other, "key"), Some("new".into()), "{name}");
        assert_eq!(peek(&other, "large"), Some(bytes("new", 100_000)), "{name}");
        assert!(version(&other, "tag") == raised && before != raised, "{name}");
        disk.remove("key").unwrap();
        assert_eq!(peek(&other, "key"), None, "{name}");
    });
}

/// SQLite removes the log by its path when the last connection closes: here it is that of a copy in use.
#[test]
fn leaving_the_old_folder_takes_nothing_from_the_new_one() {
    each_move(|stage, name, act| {
        let disk = stage.open();
        for i in 0..20 {
            set(&disk, &format!("key{i}"), bytes("old", 70_000));
        }
        act();
        let other = stage.open();
        set(&other, "key", "new");
        set(&other, "large", bytes("new", 100_000));
        let held = keys(&other);
        drop(disk);
        assert_eq!(keys(&other), held, "{name}");
        let third = stage.open();
        assert_eq!(peek(&third, "key"), Some("new".into()), "{name}");
        assert_eq!(peek(&third, "large"), Some(bytes("new", 100_000)), "{name}");
    });
}

/// One process reads as fast as it can, so that a transaction lingers; the folder is renamed under it, and what another
/// process acknowledges in the new one is seen by each read that begins after that.
#[test]
fn readers_follow_at_once_while_the_folder_is_renamed_under_them() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    set(&disk, "key", "0");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let least = acknowledged.load(Ordering::SeqCst);
                    // A read that meets the folder half moved may fail.
                    let Ok(found) = disk.read("key", Read::take(LEASE)) else { continue };
                    let found = found.entry.map(|found| number(&found));
                    assert!(found.is_none_or(|found| found >= least), "{found:?} after {least} was acknowledged");
                }
            });
        }
        for round in 1..=60 {
            fs::rename(bench.base(), bench.base().with_extension(round.to_string())).unwrap();
            let other = bench.open_in_real_time();
            if round % 2 == 0 {
                set(&other, "key", round.to_string());
            } else {
                other.remove("key").unwrap();
            }
            acknowledged.store(round, Ordering::SeqCst);
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Checks two processes that have had the folder open before it is renamed.
#[test]
fn two_processes_that_were_there_follow() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    let mut other = Process::start("follower", &bench.base());
    for (round, line) in other.lines().enumerate() {
        assert_eq!(line, "removed");
        assert_eq!(peek(&disk, "key"), None, "round {round}");
        set(&disk, "key", "old");
        fs::rename(bench.base(), bench.base().with_extension(round.to_string())).unwrap();
        fs::write(bench.base().with_extension("go"), round.to_string()).unwrap();
    }
}

fn number(bytes: &Bytes) -> u64 {
    std::str::from_utf8(bytes).expect("text").parse().expect("a number")
}
