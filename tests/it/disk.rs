//! The disk backend behind the engine.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{Evicted, Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_testkit::ManualClock;

use crate::common::{Runs, patient};

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

/// Builds an instance on a folder, as another process would, or this one after a restart.
fn instance(folder: &Path) -> Retainit {
    let disk = DiskConfig::new().base_path(folder);
    patient().register_backend("disk", disk).build().expect("a disk backend")
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
    assert_eq!(one.stats().total_keys, 2);
    one.close().await.expect("closable");
    let after_restart = instance(folder.path());
    assert_eq!(after_restart.stats().total_keys, 0, "statistics open no folder that nothing has used");
    retainit::with_instance(&after_restart, async {
        assert_eq!((report(5).await.as_deref(), square(4)), (Some("report 5"), 16));
        assert_eq!(RUNS.load(Ordering::SeqCst), 2, "both were answered from disk");
        let mut keys = after_restart.keys("").collect().await.expect("listable");
        keys.sort();
        assert_eq!(keys, ["disk.report:5", "disk.square:4"]);
        assert_eq!(after_restart.stats().total_keys, 2);
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

/// Builds an instance with a clock that is moved by hand.
fn timed(disk: DiskConfig, folder: &Path, clock: &ManualClock) -> Retainit {
    let builder = patient().clock(clock.clone()).register_backend("disk", disk.base_path(folder));
    builder.build().expect("a disk backend")
}

static USERS: Runs = Runs::new();

#[retain(id = "disk.user", ttl = "1m", jitter = 0)]
async fn user(name: String) -> usize {
    USERS.add();
    name.len()
}

#[retain(id = "disk.order", ttl = "1m", jitter = 0)]
fn order(name: &str) -> usize {
    USERS.add();
    name.len()
}

/// Calls all of them, and returns the number of runs.
async fn ask() -> u64 {
    USERS.take();
    for name in ["ann", "anton", "bert"] {
        user(name.to_owned()).await;
        order(name);
    }
    USERS.take()
}

// P-12, R-11, R-12, R-13, T-103 (disk)
#[tokio::test]
async fn keys_patterns_and_times_of_entries_on_the_disk() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::new());
    let [one, other] = [(); 2].map(|()| timed(DiskConfig::new(), folder.path(), &clock));
    retainit::with_instance(&one, async {
        assert_eq!((ask().await, ask().await), (6, 0));
        assert!(user::cache().exists("ann").await.expect("answered"));
        assert!(!user::cache().exists("carl").await.expect("answered"));
        assert!(order::cache().exists("bert").expect("answered"));
        assert_eq!(user::cache().stats().hits, 3, "a question is no hit");
        clock.advance(Duration::from_secs(15));
        assert_eq!(user::cache().ttl("ann").await.expect("answered"), Some(Some(Duration::from_secs(45))));
        assert_eq!(order::cache().ttl("carl").expect("answered"), None);

        let mut keys = one.keys("disk.user:\"an").collect().await.expect("listed");
        keys.sort();
        assert_eq!(keys, ["disk.user:\"ann\"", "disk.user:\"anton\""]);
        assert_eq!(one.keys("").collect().await.expect("listed").len(), 6);
        assert_eq!(other.invalidate_pattern("disk.user:\"an*").await.expect("acknowledged"), Evicted::Exact(2));
        assert_eq!(one.invalidate_pattern("disk.user:an*").await.expect("acknowledged"), Evicted::Exact(0));
        assert_eq!(ask().await, 2, "what the other instance removed by pattern, and nothing else");

        // The four that were not removed end now, though they are still on the disk.
        clock.advance(Duration::from_secs(45));
        assert_eq!(order::cache().ttl("bert").expect("answered"), None);
        assert_eq!(one.keys("").collect().await.expect("listed").len(), 2);
        assert_eq!(ask().await, 4);
    })
    .await;
}

#[retain(id = "disk.row")]
fn row(number: u64) -> u64 {
    number
}

#[retain(id = "disk.page")]
async fn page(number: u64) -> u64 {
    number
}

#[tokio::test]
async fn what_the_disk_evicts_is_counted_for_its_function() {
    let folder = tempfile::tempdir().expect("a folder");
    let retainit = timed(DiskConfig::new().max_entries(10), folder.path(), &ManualClock::new());
    retainit::with_instance(&retainit, async {
        for number in 0..14 {
            row(number);
        }
        page(0).await;
        assert_eq!((row::cache().stats().evictions, page::cache().stats().evictions), (5, 0));
    })
    .await;
}

/// Checks that while the disk keeps one task waiting, another runs on the same thread: it is the one that ends the
/// wait.
// C-31
#[tokio::test(flavor = "current_thread")]
async fn a_task_that_waits_for_the_disk_blocks_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let retainit = instance(folder.path());
    std::fs::create_dir_all(folder.path().join("v1")).expect("a folder");
    // Whoever opens the database waits for this.
    let lock = std::fs::File::create(folder.path().join("v1/lock")).expect("a file");
    lock.lock().expect("nobody else has it");
    retainit::with_instance(&retainit, async {
        let (first, ()) = tokio::join!(page(1), async { lock.unlock().expect("it was locked") });
        assert_eq!((first, page(1).await), (1, 1));
        let stats = page::cache().stats();
        assert_eq!((stats.errors, stats.hits, stats.loads), (0, 1, 1), "the disk was not given up");
    })
    .await;
}
