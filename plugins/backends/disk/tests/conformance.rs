//! The disk backend against the suite that every byte backend has to pass.

mod far;

use retainit_disk::DiskConfig;
use retainit_plugin::{BackendConfig, Built, Context};
use retainit_testkit::conformance;

/// Runs the suite. Every call of the closure opens the folder anew: connections of its own, as another process has
/// them.
fn conforms(make: impl Fn(Context) -> Built + Send + Sync + 'static) {
    let report = conformance::bytes(make);
    let skipped: Vec<_> = report.skipped.iter().map(|(case, _)| *case).collect();
    let left_out = [
        "what_was_given_up_does_not_follow_a_removal",
        "a_placeholder_is_kept_while_it_is_renewed",
        "what_is_released_is_an_empty_slot",
        "what_is_of_another_is_neither_renewed_nor_released",
        "a_lost_version_never_returns_to_an_old_number",
        "what_cannot_be_reached_says_so",
        "a_dropped_future_leaves_the_store_in_order",
    ];
    assert_eq!(skipped, left_out);
}

fn configured(config: DiskConfig) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config.base_path(folder.path());
    conforms(move |context| config.build(context).expect("the configuration is valid"));
}

// C-31
#[test]
fn the_disk_backend_conforms() {
    configured(DiskConfig::new());
}

#[test]
fn it_conforms_without_sync_and_with_bounds() {
    configured(DiskConfig::new().sync("off").max_entries(100_000).max_bytes(64 << 20));
}

// T-97, T-130
#[test]
fn it_conforms_when_two_processes_take_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    conforms(move |context| far::taking_turns(&path, context));
}
