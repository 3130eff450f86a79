//! The disk backend behind the engine.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{Retainit, retain};
use retainit_disk::DiskConfig;

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(id = "disk.report", tags("reports"))]
async fn report(month: u32) -> Option<String> {
    RUNS.fetch_add(1, Ordering::SeqCst);
    Some(format!("report {month}"))
}

#[retain(id = "disk.square")]
fn square(n: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    n * n
}

/// What another process, or this one after a restart, would have.
fn instance(folder: &Path) -> Retainit {
    let disk = DiskConfig::new().base_path(folder);
    Retainit::builder().register_backend("disk", disk).build().expect("a disk backend")
}

// T-20, T-26, R-13 (disk): sync and async functions, restart, two instances on one folder.
#[tokio::test]
async fn results_outlive_an_instance_and_are_shared_by_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (instance(folder.path()), instance(folder.path()));
    retainit::with_instance(&one, async {
        assert_eq!(report(5).await.as_deref(), Some("report 5"));
        assert_eq!(square(4), 16);
    })
    .await;
    one.close().await.expect("closable");
    let after_restart = instance(folder.path());
    retainit::with_instance(&after_restart, async {
        assert_eq!((report(5).await.as_deref(), square(4)), (Some("report 5"), 16));
        assert_eq!(RUNS.load(Ordering::SeqCst), 2, "both were answered from disk");
        let mut keys = after_restart.keys("").collect().await.expect("listable");
        keys.sort();
        assert_eq!(keys, ["disk.report:5", "disk.square:4"]);
        assert_eq!(report::cache().ttl(&5).await.expect("readable"), Some(None));
        after_restart.invalidate_tag("reports").await.expect("acknowledged");
        square::cache().remove(&4).expect("acknowledged");
    })
    .await;
    retainit::with_instance(&two, async {
        assert_eq!((report(5).await.as_deref(), square(4)), (Some("report 5"), 16));
        assert_eq!(RUNS.load(Ordering::SeqCst), 4, "what one instance invalidated, the other loads again");
    })
    .await;
}
