use std::fs;
use std::path::{Path, PathBuf};

use retainit_plugin::{EventKind, QueuePolicy, Section, Subscriber, SubscriberConfig};
use retainit_subscribers::AuditConfig;
use tempfile::TempDir;

use crate::{context, event, lines};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

fn audit(path: &Path) -> Box<dyn Subscriber> {
    AuditConfig::new().path(path).build(context()).unwrap()
}

fn spill_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.spill", path.display()))
}

fn numbers(path: &Path) -> Vec<u64> {
    lines(path).iter().map(|line| line["count"].as_u64().unwrap()).collect()
}

// T-114
#[test]
fn records_are_appended_with_their_actor() {
    let (_folder, path) = place();
    for number in 0..3 {
        let mut audit = audit(&path);
        audit.handle(&event(EventKind::CacheDelete, number)).unwrap();
        audit.close().unwrap();
    }
    assert_eq!(numbers(&path), [0, 1, 2]);
    let line = &lines(&path)[0];
    assert_eq!((line["event"].as_str(), line["actor"].as_str()), (Some("cache_delete"), Some("ada \"the\" admin")));
    assert_eq!((line["namespace"].as_str(), line["operation"].as_str()), (Some("shop"), Some("read")));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    let audit = audit(&path);
    audit.spill().unwrap().put(&event(EventKind::CacheSet, 1)).unwrap();
    for file in [&path, &spill_of(&path)] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

// The name of the spill can be foreseen: whoever may write to the folder could have another file read and emptied.
#[cfg(unix)]
#[test]
fn a_planted_spill_is_not_used() {
    let (folder, path) = place();
    let foreign = folder.path().join("foreign");
    fs::write(&foreign, "precious\n").unwrap();
    let plant: [fn(&Path, &Path) -> std::io::Result<()>; 2] =
        [|from, to| std::os::unix::fs::symlink(from, to), |from, to| fs::hard_link(from, to)];
    for plant in plant {
        plant(&foreign, &spill_of(&path)).unwrap();
        let refused = AuditConfig::new().path(path.as_path()).build(context()).map(drop).unwrap_err();
        assert!(refused.report().contains("link"), "{}", refused.report());
        fs::remove_file(spill_of(&path)).unwrap();
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "precious\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    audit(&path);
}

#[test]
fn it_asks_for_what_it_needs() {
    let (_folder, path) = place();
    let audit = audit(&path);
    let kinds = [EventKind::CacheSet, EventKind::CacheDelete, EventKind::CacheClear, EventKind::ConfigChange];
    assert_eq!(audit.kinds(), kinds.into());
    assert!(audit.wants_actor() && !audit.writes_log() && matches!(audit.policy(), QueuePolicy::Keep(_)));
    assert_eq!(AuditConfig::new().problems()[0].field, "path");
}

#[test]
fn what_was_spilled_comes_before_anything_newer() {
    let (_folder, path) = place();
    let mut audit = audit(&path);
    let spill = audit.spill().unwrap();
    audit.handle(&event(EventKind::CacheSet, 0)).unwrap();
    // More than is moved in one piece.
    (1..1_000).for_each(|number| spill.put(&event(EventKind::CacheSet, number)).unwrap());
    audit.take_spilled().unwrap();
    assert_eq!(fs::metadata(spill_of(&path)).unwrap().len(), 0);
    spill.put(&event(EventKind::CacheSet, 1_000)).unwrap();
    audit.take_spilled().unwrap();
    audit.handle(&event(EventKind::CacheSet, 1_001)).unwrap();
    assert_eq!(numbers(&path), (0..=1_001).collect::<Vec<_>>());
}

#[test]
fn what_an_earlier_process_spilled_is_taken_over() {
    let (_folder, path) = place();
    {
        let mut audit = audit(&path);
        audit.handle(&event(EventKind::CacheSet, 0)).unwrap();
        audit.spill().unwrap().put(&event(EventKind::CacheSet, 1)).unwrap();
    }
    let mut audit = audit(&path);
    audit.handle(&event(EventKind::CacheSet, 2)).unwrap();
    assert_eq!(numbers(&path), [0, 1, 2]);
}

#[test]
fn a_line_that_was_cut_off_does_not_spoil_the_next() {
    let (_folder, path) = place();
    fs::write(&path, "{\"cut\":").unwrap();
    fs::write(spill_of(&path), "{\"cut too").unwrap();
    audit(&path).handle(&event(EventKind::CacheSet, 1)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (cut, whole) = text.split_at(text.len() - text.lines().last().unwrap().len() - 1);
    assert_eq!(cut, "{\"cut\":\n{\"cut too\n");
    assert!(serde_json::from_str::<serde_json::Value>(whole).is_ok());
}

#[test]
fn one_instance_writes_to_one_file() {
    let (_folder, path) = place();
    let first = audit(&path);
    let error = AuditConfig::new().path(path.as_path()).build(context()).expect_err("it is taken").to_string();
    assert!(error.contains("another instance writes"), "{error}");
    drop(first);
    audit(&path);
}

// A log that is rotated under it: records go to the file that the path names, and none is lost.
#[cfg(unix)]
#[test]
fn a_rotated_log_is_opened_anew() {
    let (folder, path) = place();
    let mut audit = audit(&path);
    let spill = audit.spill().unwrap();
    let old = folder.path().join("audit.jsonl.1");
    audit.handle(&event(EventKind::CacheSet, 0)).unwrap();
    fs::rename(&path, &old).unwrap();
    audit.handle(&event(EventKind::CacheSet, 1)).unwrap();
    assert_eq!((numbers(&old), numbers(&path)), (vec![0], vec![1]));
    // A new one is there already, or the old one is just gone, or it was emptied in its place.
    fs::rename(&path, &old).unwrap();
    fs::write(&path, "").unwrap();
    audit.handle(&event(EventKind::CacheSet, 2)).unwrap();
    assert_eq!(numbers(&path), [2]);
    fs::remove_file(&path).unwrap();
    audit.handle(&event(EventKind::CacheSet, 3)).unwrap();
    assert_eq!(numbers(&path), [3]);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    audit.handle(&event(EventKind::CacheSet, 4)).unwrap();
    assert_eq!(numbers(&path), [4]);
    // What is spilled goes the same ways.
    spill.put(&event(EventKind::CacheSet, 5)).unwrap();
    fs::remove_file(&path).unwrap();
    audit.take_spilled().unwrap();
    fs::remove_file(spill_of(&path)).unwrap();
    spill.put(&event(EventKind::CacheSet, 6)).unwrap();
    assert_eq!((numbers(&path), numbers(&spill_of(&path))), (vec![5], vec![6]));
    audit.take_spilled().unwrap();
    audit.close().unwrap();
    assert_eq!(numbers(&path), [5, 6]);
    // Nobody else may write to the new one either.
    assert!(AuditConfig::new().path(path.as_path()).build(context()).is_err());
}

// A folder that is gone is no reason to stop for good.
#[cfg(unix)]
#[test]
fn a_log_whose_folder_is_gone_is_written_to_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, path) = (folder.path().join("logs"), folder.path().join("logs/audit.jsonl"));
    fs::create_dir(&logs).unwrap();
    let mut audit = audit(&path);
    fs::rename(&logs, folder.path().join("moved")).unwrap();
    assert!(audit.handle(&event(EventKind::CacheSet, 0)).is_err());
    fs::create_dir(&logs).unwrap();
    audit.handle(&event(EventKind::CacheSet, 0)).unwrap();
    assert_eq!(numbers(&path), [0]);
}

/// Runs a test once more in a process of its own, whose files may have a few KiB: the system refuses to write more.
/// True there.
#[cfg(target_os = "linux")]
fn with_full_disk(test: &str) -> bool {
    if std::env::var_os("AUDIT_TEST_FULL").is_some() {
        return true;
    }
    let child = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env("AUDIT_TEST_FULL", "1")
        // Coverage of half a file could not be read.
        .env("LLVM_PROFILE_FILE", "/dev/null")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    false
}

// Nothing is written by halves on a disk that is really full, and it is reported; then there is room again.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_until_there_is_room() {
    if !with_full_disk("audit::a_full_disk_is_an_error_until_there_is_room") {
        return;
    }
    let (folder, path) = place();
    let mut audit = audit(&path);
    let spill = audit.spill().unwrap();
    let written = (0..).find(|number| audit.handle(&event(EventKind::CacheSet, *number)).is_err()).unwrap();
    assert!(written > 3 && numbers(&path) == (0..written).collect::<Vec<_>>(), "{written}");
    let spilled = (written..).find(|number| spill.put(&event(EventKind::CacheSet, *number)).is_err()).unwrap();
    let error = audit.take_spilled().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("File too large"), "{source}");
    fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
    audit.take_spilled().unwrap();
    assert_eq!(numbers(&path), (written..spilled).collect::<Vec<_>>());
}
