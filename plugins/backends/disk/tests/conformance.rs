//! The disk backend against the suite that every byte backend has to pass.

use retainit_disk::DiskConfig;
use retainit_plugin::{BackendConfig, Context};
use retainit_testkit::conformance;

/// Every call of the closure opens the folder anew: connections of its own, as another process has them.
fn conforms(config: DiskConfig) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config.base_path(folder.path());
    let make = move |context: Context| config.build(context).expect("the configuration is valid");
    let report = conformance::bytes(make);
    let skipped: Vec<_> = report.skipped.iter().map(|(case, _)| *case).collect();
    let left_out = ["a_lost_version_never_returns_to_an_old_number", "a_dropped_future_leaves_the_store_in_order"];
    assert_eq!(skipped, left_out);
}

// C-31
#[test]
fn the_disk_backend_conforms() {
    conforms(DiskConfig::new());
}

#[test]
fn it_conforms_without_sync_and_with_bounds() {
    conforms(DiskConfig::new().sync("off").max_entries(100_000).max_bytes(64 << 20));
}
