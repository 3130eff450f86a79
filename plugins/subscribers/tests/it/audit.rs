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
