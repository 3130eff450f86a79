use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retainit_disk::DiskConfig;
use retainit_plugin::{
    BackendConfig, Built, Bytes, Clock, Context, Fence, LocalBackend, Read, StoreCondition, StoreOptions, Stored,
    SystemClock,
};
use retainit_testkit::{ManualClock, Notice, Recorder};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A folder, a clock and a listener that all backends of a test share.
pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) recorder: Recorder,
}

pub(crate) type Disk = Arc<dyn LocalBackend>;

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        Bench { folder, clock: ManualClock::new(), recorder: Recorder::new() }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Opens a process on the folder.
    pub(crate) fn open(&self) -> Disk {
        self.open_with(DiskConfig::new())
    }

    pub(crate) fn open_with(&self, config: DiskConfig) -> Disk {
        build(config.base_path(self.base()), Arc::new(self.clock.clone()), &self.recorder)
    }

    /// Opens a process for which time passes by itself.
    pub(crate) fn open_in_real_time(&self) -> Disk {
        build(DiskConfig::new().base_path(self.base()), Arc::new(SystemClock), &self.recorder)
    }

    /// Returns the folder of the current database.
    pub(crate) fn home(&self) -> PathBuf {
        let homes = folders(&self.base().join("v1"), "db-");
        assert_eq!(homes.len(), 1, "{homes:?}");
        homes[0].clone()
    }

    /// Opens the current database, past the backend.
    pub(crate) fn sql(&self) -> Connection {
        Connection::open(self.home().join("store.db")).expect("a database")
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        let count = format!("SELECT count(*) FROM {table}");
        let count: i64 = self.sql().query_row(&count, [], |row| row.get(0)).expect("a count");
        count as u64
    }

    /// Returns the files of all blobs.
    pub(crate) fn blobs(&self) -> Vec<PathBuf> {
        folders(&self.home().join("blobs"), "").iter().flat_map(|shard| folders(shard, "")).collect()
    }

    /// Returns the names of the operations that failed so far.
    pub(crate) fn failures(&self) -> Vec<&'static str> {
        let failed = self.recorder.notices().into_iter().filter_map(|notice| match notice {
            Notice::Failed { operation, .. } => Some(operation),
            _ => None,
        });
        failed.collect()
    }
}

pub(crate) fn build(config: DiskConfig, clock: Arc<dyn Clock>, recorder: &Recorder) -> Disk {
    match config.build(Context::new("disk", clock, Arc::new(recorder.clone()))) {
        Ok(Built::Local(backend)) => backend,
        other => panic!("disk built {other:?}"),
    }
}

/// Lists the paths in a folder whose names begin with `prefix`.
pub(crate) fn folders(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path()).collect()
}

/// Returns bytes that differ from one name to the next.
pub(crate) fn bytes(name: &str, len: usize) -> Bytes {
    let mut bytes: Vec<u8> = name.bytes().cycle().take(len).collect();
    bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte ^= i as u8);
    bytes.into()
}

pub(crate) fn peek(disk: &Disk, key: &str) -> Option<Bytes> {
    disk.read(key, Read::peek()).expect("a read").entry
}

pub(crate) fn fence(disk: &Disk, key: &str) -> Fence {
    disk.read(key, Read::take(LEASE)).expect("a read").fence.expect("a fence")
}

pub(crate) fn set(disk: &Disk, key: &str, entry: impl Into<Bytes>) {
    assert_eq!(put(disk, key, entry, StoreCondition::Always), Stored::Yes);
}

pub(crate) fn put(disk: &Disk, key: &str, entry: impl Into<Bytes>, when: StoreCondition) -> Stored {
    disk.store(key, entry.into(), StoreOptions::new(when)).expect("a store")
}

/// Measures the duration of `act`, in the coarse time of the system.
pub(crate) fn time<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begun = SystemClock.now();
    let done = act();
    (done, SystemClock.now().since(begun))
}

/// Returns a count that a variable of the environment raises for long runs.
pub(crate) fn count_of(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |count| count.parse().expect("a number"))
}
