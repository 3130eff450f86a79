//! A process on the same folder that is stopped in mid-commit.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use retainit::{Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_plugin::{Clock, Moment, SystemClock};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::common::Runs;

static RUNS: Runs = Runs::new();

#[retain(id = "stopped.double")]
fn double(n: u64) -> u64 {
    RUNS.add();
    n * 2
}

#[retain(id = "stopped.triple", tags("thirds"))]
async fn triple(n: u64) -> u64 {
    RUNS.add();
    n * 3
}

const FOLDER: &str = "STOPPED_TEST_FOLDER";

/// Runs as the process that holds the write lock, with only one of the two headers of the log's index written.
#[test]
fn committer() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let home = home(&folder);
    let sql = Connection::open(home.join("store.db")).expect("a database");
    sql.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET blob_bytes = blob_bytes").expect("the lock is free");
    let index = OpenOptions::new().read(true).write(true).open(home.join("store.db-shm")).expect("a log has an index");
    // The number of changes in the second header, which is the first to be written.
    let (place, mut before) = (48 + 8, [0; 4]);
    index.read_exact_at(&mut before, place).expect("it has two headers");
    index.write_all_at(&before.map(|byte| !byte), place).expect("it can be written");
    println!("> torn");
    while !folder.join("go_on").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    index.write_all_at(&before, place).expect("it can be written");
    sql.execute_batch("COMMIT").expect("the lock was kept");
    println!("> whole");
}

fn home(folder: &Path) -> PathBuf {
    let id = fs::read_to_string(folder.join("v1/current")).expect("there is a database");
    folder.join("v1").join(format!("db-{id}"))
}

struct Stopped {
    child: Child,
    folder: PathBuf,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Stopped {
    fn start(folder: &Path) -> Stopped {
        let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
        command.args(["--exact", "stopped::committer", "--nocapture"]).env(FOLDER, folder).stdout(Stdio::piped());
        // Killed while it ends, it would leave half a file of coverage, which cannot be read.
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        let mut child = command.spawn().expect("this binary can be started");
        let out = BufReader::new(child.stdout.take().expect("it was asked for")).lines().map_while(Result::ok);
        let lines = Box::new(out.filter_map(|line| Some(line.split_once("> ")?.1.to_owned())));
        let mut stopped = Stopped { child, folder: folder.to_owned(), lines };
        assert_eq!(stopped.lines.next().as_deref(), Some("torn"));
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("there is a kill").success());
    }

    fn go_on(&mut self) {
        fs::write(self.folder.join("go_on"), "").expect("the folder can be written");
        self.signal("-CONT");
        assert_eq!(self.lines.next().as_deref(), Some("whole"));
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn instance(folder: &TempDir) -> Retainit {
    let disk = DiskConfig::new().base_path(folder.path());
    Retainit::builder().register_backend("disk", disk).build().expect("a disk backend")
}

/// Checks that something took far less than the ten seconds for which SQLite itself would try.
#[track_caller]
fn far_below_ten_seconds<T>(what: &str, begun: Moment, done: T) -> T {
    let took = SystemClock.now().since(begun);
    assert!(took < Duration::from_secs(2), "{what} took {took:?}");
    done
}

macro_rules! bounded {
    ($what:expr, $act:expr) => {{
        let begun = SystemClock.now();
        let done = $act;
        far_below_ten_seconds($what, begun, done)
    }};
}

// T-95
#[tokio::test]
async fn no_call_waits_for_a_process_stopped_in_mid_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, fresh) = (instance(&folder), instance(&folder));
    retainit::with_instance(&here, async {
        assert_eq!((double(1), triple(1).await, RUNS.take()), (2, 3, 2));
        assert_eq!((double(1), triple(1).await, RUNS.take()), (2, 3, 0));
    })
    .await;
    let mut stopped = Stopped::start(folder.path());
    for (whose, instance) in [("an open instance", &here), ("the first call of an instance", &fresh)] {
        retainit::with_instance(instance, async {
            let told = |what: &str| format!("{what}, {whose}");
            assert_eq!(bounded!(&told("a sync hit"), double(1)), 2);
            assert_eq!(bounded!(&told("an async hit"), triple(1).await), 3);
            assert_eq!(bounded!(&told("a sync miss"), double(2)), 4);
            assert_eq!(bounded!(&told("an async miss"), triple(2).await), 6);
            assert_eq!(RUNS.take(), 4, "what the disk cannot say is loaded");
            drop(bounded!(&told("a sync get"), double::cache().get(&1)));
            drop(bounded!(&told("an async get"), triple::cache().get(&1).await));
            drop(bounded!(&told("a question"), double::cache().exists(&3)));
            drop(bounded!(&told("a removal"), double::cache().remove(&3)));
            drop(bounded!(&told("a tag"), instance.invalidate_tag("others").await));
            drop(bounded!(&told("a question for health"), instance.health().await));
            // More than there are threads for the disk.
            let many = (100..300).map(|n| tokio::spawn(retainit::propagate(async move { triple(n).await == 3 * n })));
            let many: Vec<_> = many.collect();
            let all = bounded!(&told("a storm of misses"), {
                let mut all = true;
                for task in many {
                    all &= task.await.expect("no call fails");
                }
                all
            });
            assert!(all && RUNS.take() == 200);
        })
        .await;
    }
    stopped.go_on();
    for instance in [&here, &fresh] {
        retainit::with_instance(instance, async {
            // What could not be removed meanwhile is removed now.
            for _ in 0..500 {
                if instance.invalidate_tag("others").await.is_ok() && double::cache().remove(&3).is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!((double(2), triple(2).await), (4, 6));
            RUNS.take();
            assert_eq!((double(1), triple(1).await, double(2), triple(2).await, RUNS.take()), (2, 3, 4, 6, 0));
        })
        .await;
    }
    bounded!("closing", (here.close().await.expect("closable"), fresh.close().await.expect("closable")));
}
