use retainit_disk::{DiskConfig, SyncMode};
use retainit_plugin::{BackendConfig, ErrorKind, Part, linked_plugins};
use retainit_testkit::context;

// T-111
#[test]
fn building_touches_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("cache");
    drop(DiskConfig::new().base_path(&base).build(context("disk")).unwrap());
    assert!(!base.exists());
}

#[test]
fn every_problem_is_reported_at_once() {
    let config = DiskConfig::new()
        .base_path("")
        .max_bytes(1_000)
        .max_entries(0)
        .ttl("soon")
        .jitter(2.0)
        .sync("always")
        .busy_timeout("never");
    let error = config.build(context("main")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for part in [
        "base_path: expected a path that is not empty",
        "max_bytes: expected at least 1MiB, got 1000",
        "max_entries: expected at least 1",
        "ttl: expected \"500ms\"",
        "jitter: expected a fraction from 0 to 1, such as 0.1, got 2",
        "sync: expected \"off\", \"normal\", \"full\", got the text \"always\"",
        "busy_timeout: expected a length of time",
        "(backend: main)",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn it_is_registered_under_its_name_with_its_fields() {
    let disk = linked_plugins().find(|linked| linked.name == "disk").expect("it is linked");
    let Part::Backend(default) = disk.part else { panic!("{disk:?}") };
    assert_eq!((disk.origin, default().type_name()), ("retainit-disk", "disk"));
    let fields: Vec<_> = default().fields().iter().map(|field| field.name).collect();
    let own = ["base_path", "max_bytes", "max_entries", "ttl", "jitter", "serializer", "sync", "busy_timeout"];
    let of_every_byte_backend = ["op_timeout", "breaker_threshold", "breaker_timeout"];
    assert_eq!(fields, [&own[..], &of_every_byte_backend].concat());
}

#[test]
fn modes_are_read_from_text() {
    let modes = ["off", "normal", "full"].map(|text| text.parse::<SyncMode>().unwrap());
    assert_eq!(modes, [SyncMode::Off, SyncMode::Normal, SyncMode::Full]);
    assert_eq!(SyncMode::default(), SyncMode::Normal);
}
