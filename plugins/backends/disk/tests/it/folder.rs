use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use retainit_disk::DiskConfig;
use retainit_plugin::{ErrorKind, Read, Scan};

use crate::child;
use crate::common::{Bench, bytes, peek, set};

// T-110
#[test]
fn only_the_owner_may_enter() {
    let bench = Bench::new();
    set(&bench.open(), "key", bytes("blob", 100_000));
    for folder in [bench.base(), bench.base().join("v1"), bench.home()] {
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

// T-110
#[test]
fn what_was_open_to_others_is_closed_and_a_link_is_refused() {
    let bench = Bench::new();
    let ours = bench.base().join("v1");
    fs::create_dir_all(&ours).unwrap();
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o777)).unwrap();
    let disk = bench.open();
    set(&disk, "key", bytes("blob", 100_000));
    for entry in [ours.clone(), bench.home()] {
        assert_eq!(fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o700, "{}", entry.display());
    }
    let shards = fs::read_dir(bench.home().join("blobs")).unwrap();
    for shard in shards {
        assert_eq!(shard.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    let (linked, elsewhere) = (Bench::new(), Bench::new());
    fs::create_dir_all(linked.base()).unwrap();
    std::os::unix::fs::symlink(elsewhere.base(), linked.base().join("v1")).unwrap();
    fs::create_dir_all(elsewhere.base()).unwrap();
    assert!(linked.open().health().is_err());
}

// T-20
#[test]
fn without_a_path_it_is_below_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    child::run_in("default_path", folder.path());
    assert!(folder.path().join(".cache/retainit/v1/current").is_file());
}

// T-26
#[test]
fn entries_versions_and_order_survive_a_restart() {
    let bench = Bench::new();
    let large = bytes("large", 300_000);
    let disk = bench.open();
    set(&disk, "small", "value");
    set(&disk, "large", large.clone());
    disk.close().unwrap();
    let again = bench.open();
    assert_eq!((peek(&again, "small"), peek(&again, "large")), (Some("value".into()), Some(large)));
    assert_eq!(bench.failures(), [""; 0]);
}

#[test]
fn a_replaced_blob_leaves_no_file() {
    let bench = Bench::new();
    let disk = bench.open();
    for round in 0..3 {
        set(&disk, "key", bytes(&format!("round{round}"), 70_000));
        assert_eq!(bench.blobs().len(), 1);
    }
    set(&disk, "key", "small");
    assert_eq!(bench.blobs().len(), 0);
    set(&disk, "key", bytes("again", 70_000));
    assert!(disk.remove("key").unwrap());
    assert_eq!(bench.blobs().len(), 0);
}

#[test]
fn foreign_files_and_newer_formats_are_left_alone() {
    let bench = Bench::new();
    let foreign =
        ["notes.txt", "v2/store.db", "v1/notes.txt", "v1/db-mine/notes.txt"].map(|name| bench.base().join(name));
    for file in &foreign {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine").unwrap();
    }
    let disk = bench.open();
    set(&disk, "key", bytes("blob", 100_000));
    let current = bench.base().join("v1/current");
    let named = format!("v1/db-{}/store.db", fs::read_to_string(&current).unwrap());
    fs::remove_file(bench.base().join(named)).unwrap();
    let disk = bench.open();
    assert_eq!(peek(&disk, "key"), None);
    foreign.iter().for_each(|file| assert_eq!(fs::read(file).unwrap(), b"mine", "{}", file.display()));
}

#[test]
fn a_database_whose_name_was_lost_is_taken_up_again() {
    let bench = Bench::new();
    let disk = bench.open_in_real_time();
    let current = bench.base().join("v1/current");
    for (round, lose) in [|path| fs::remove_file(path), |path| fs::write(path, ""), |path| fs::write(path, "gone")]
        .into_iter()
        .enumerate()
    {
        let (before, after) = (format!("before{round}"), format!("after{round}"));
        set(&disk, &before, bytes("blob", 100_000));
        lose(&current).unwrap();
        let other = bench.open_in_real_time();
        assert_eq!(peek(&other, &before), Some(bytes("blob", 100_000)));
        set(&other, &after, "value");
        assert_eq!(peek(&disk, &after), Some("value".into()), "the process that was there follows");
    }
    assert_eq!(bench.failures(), [""; 0]);
}

#[test]
fn nobody_waits_for_the_other_end_of_a_pipe() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "key", bytes("blob", 100_000));
    let pipe_at = |path: &Path| {
        fs::remove_file(path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
    };
    pipe_at(&bench.blobs()[0]);
    assert_eq!(peek(&disk, "key"), None);
    set(&disk, "key", "value");
    pipe_at(&bench.base().join("v1/current"));
    assert_eq!(peek(&bench.open(), "key"), Some("value".into()));
    pipe_at(&bench.base().join("v1/lock"));
    assert_eq!(bench.open().health().unwrap_err().kind(), ErrorKind::Backend);
}

#[test]
fn a_folder_that_is_taken_away_is_made_again() {
    let bench = Bench::new();
    let (disk, other) = (bench.open_in_real_time(), bench.open_in_real_time());
    set(&disk, "key", "value");
    assert_eq!(peek(&other, "key"), Some("value".into()));
    fs::remove_dir_all(bench.base()).unwrap();
    assert_eq!(peek(&disk, "key"), None);
    set(&other, "key", "again");
    assert_eq!(peek(&disk, "key"), Some("again".into()));
}

#[test]
fn each_part_of_the_layout_is_made_again_when_it_is_missing() {
    let parts: [fn(&Bench) -> PathBuf; 8] = [
        |bench| bench.home().join("blobs"),
        |bench| bench.blobs()[0].parent().unwrap().to_owned(),
        |bench| bench.blobs()[0].clone(),
        |bench| bench.home(),
        |bench| bench.home().join("store.db"),
        |bench| bench.base().join("v1/lock"),
        |bench| bench.base().join("v1/current"),
        |bench| bench.base(),
    ];
    for (part, sync) in parts.iter().flat_map(|part| ["normal", "full"].map(|sync| (part, sync))) {
        let bench = Bench::new();
        let disk = bench.open_with(DiskConfig::new().sync(sync));
        set(&disk, "key", bytes("blob", 100_000));
        let missing = part(&bench);
        if missing.is_dir() {
            fs::remove_dir_all(&missing).unwrap()
        } else {
            fs::remove_file(&missing).unwrap()
        }
        for key in ["key", "other"] {
            set(&disk, key, bytes(key, 100_000));
            assert_eq!(peek(&disk, key), Some(bytes(key, 100_000)), "{} and {key}", missing.display());
        }
        let another = bench.open();
        assert_eq!(peek(&another, "key"), Some(bytes("key", 100_000)), "{} elsewhere", missing.display());
        assert_eq!(bench.failures(), [""; 0], "{}", missing.display());
    }
}

#[test]
fn a_lock_that_was_removed_while_it_was_held_keeps_nobody_out() {
    let bench = Bench::new();
    set(&bench.open(), "key", "value");
    let path = bench.base().join("v1/lock");
    let held = fs::OpenOptions::new().write(true).open(&path).unwrap();
    held.lock().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(peek(&bench.open(), "key"), Some("value".into()));
    assert!(path.exists());
}

/// Returns the bytes that this thread has read from files so far.
#[cfg(target_os = "linux")]
fn bytes_read() -> u64 {
    let counters = fs::read_to_string("/proc/thread-self/io").expect("Linux counts it");
    let read = counters.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a counter of bytes read");
    read.parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn opening_reads_next_to_nothing_of_the_entries() {
    let bench = Bench::new();
    let disk = bench.open();
    (0..4_000).for_each(|i| set(&disk, &format!("key{i}"), bytes("value", 1_000)));
    disk.close().unwrap();
    drop(disk);
    let before = bytes_read();
    assert!(peek(&bench.open(), "key2000").is_some());
    let (read, all) = (bytes_read() - before, fs::metadata(bench.home().join("store.db")).unwrap().len());
    assert!(read < all / 20, "{read} bytes of {all} were read");
}

// P-39
#[test]
fn a_closed_backend_says_so() {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "key", "value");
    disk.close().unwrap();
    disk.close().unwrap();
    assert_eq!(disk.read("key", Read::peek()).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(disk.scan(Scan::prefix("")).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_path_below_a_file_is_an_error_of_each_operation() {
    let bench = Bench::new();
    fs::write(bench.base(), "a file").unwrap();
    let disk = bench.open();
    for _ in 0..2 {
        let error = disk.read("key", Read::peek()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Backend);
        assert!(error.to_string().contains("(path: "), "{error}");
    }
    fs::remove_file(bench.base()).unwrap();
    set(&disk, "key", "value");
}

/// Root may write anywhere, so this is tried by a child under another user.
#[test]
fn a_read_only_folder_is_an_error_of_each_operation() {
    let bench = Bench::new();
    let user = if rustix::process::getuid().is_root() { Some(65_534) } else { None };
    let parent = bench.base().parent().unwrap().to_owned();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(bench.base()).unwrap();
    chown(bench.base(), user, None).unwrap();
    fs::set_permissions(bench.base(), fs::Permissions::from_mode(0o500)).unwrap();
    child::run_as("read_only", &bench.base(), user);
    fs::set_permissions(bench.base(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Limits the size of files, in place of a full disk.
#[test]
fn a_full_disk_is_an_error_of_the_store_and_spoils_nothing() {
    let bench = Bench::new();
    child::run_with_small_files("full", &bench.base());
    let disk = bench.open_in_real_time();
    let keys = disk.scan(Scan::prefix("")).unwrap().keys;
    assert!(!keys.is_empty(), "what went in before is still there");
    for key in keys {
        assert!(peek(&disk, &key).is_none_or(|found| found == bytes(&key, found.len())), "{key}");
    }
    set(&disk, "now", bytes("now", 1 << 20));
    assert_eq!(bench.failures(), [""; 0]);
}
