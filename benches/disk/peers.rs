//! The contenders beside retained functions: each stores the same pages under the same keys.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use retainit_disk::DiskConfig;
use retainit_plugin::{
    BackendConfig, Built, Context, Error, Fence, Listener, LocalBackend, Read, Removal, StoreCondition, StoreOptions,
    Stored, SystemClock,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::PATIENCE;

/// The arguments of a call.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) size: usize,
    pub(crate) number: u64,
}

impl Page {
    /// Returns a key as long as the one that the engine makes.
    fn key(self) -> String {
        format!("r1:d:default:-:page@1:({},{})", self.size, self.number)
    }
}

/// Performs one operation, and panics if it fails.
pub(crate) trait Store: Send + Sync {
    /// Reads a page that is there.
    fn read(&self, page: Page);

    /// Looks for a page that is missing, then stores it.
    fn fill(&self, page: Page, value: Bytes);

    /// Replaces a page that is there.
    fn set(&self, page: Page, value: Bytes);
}

/// A store whose fill can be taken apart, as an async caller has to: it loads between the two steps, and not on a
/// thread that may block.
pub(crate) trait Steps: Store {
    /// Looks for a page; `None` if it is there, otherwise the fence on which a load that begins now may store.
    fn look(&self, page: Page) -> Option<Fence>;

    fn store(&self, page: Page, value: Bytes, fence: Fence);
}

/// One table `(key TEXT PRIMARY KEY, value BLOB)`, cached statements, the settings of the disk backend. Readers take
/// a connection each; writers share one, so that they wait for a lock of this process and not for the database's.
pub(crate) struct Bare {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Connection>,
}

impl Bare {
    pub(crate) fn open(folder: &Path) -> rusqlite::Result<Bare> {
        let path = folder.join("bare.db");
        let writer = Bare::connect(&path)?;
        writer.execute_batch("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL)")?;
        Ok(Bare { path, readers: Mutex::default(), writer: Mutex::new(writer) })
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0;
             PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;
             PRAGMA journal_size_limit = 16777216;",
        )?;
        Ok(connection)
    }

    fn select(connection: &Connection, key: &str) -> Option<Vec<u8>> {
        let mut select = connection.prepare_cached("SELECT value FROM kv WHERE key = ?1").expect("a statement");
        select.query_row([key], |row| row.get(0)).optional().expect("a read")
    }

    fn upsert(connection: &Connection, key: &str, value: &[u8]) {
        let upsert = "INSERT INTO kv VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        connection.prepare_cached(upsert).expect("a statement").execute(params![key, value]).expect("a store");
    }
}

impl Store for Bare {
    fn read(&self, page: Page) {
        let idle = self.readers.lock().pop();
        let connection = idle.unwrap_or_else(|| Bare::connect(&self.path).expect("a connection"));
        black_box(Bare::select(&connection, &page.key()).expect("a hit"));
        self.readers.lock().push(connection);
    }

    fn fill(&self, page: Page, value: Bytes) {
        if let Some(fence) = self.look(page) {
            self.store(page, value, fence);
        }
    }

    fn set(&self, page: Page, value: Bytes) {
        Bare::upsert(&self.writer.lock(), &page.key(), &value);
    }
}

/// Stores without fences.
impl Steps for Bare {
    /// Reads on the writer's connection: each commit invalidates the caches of all others.
    fn look(&self, page: Page) -> Option<Fence> {
        Bare::select(&self.writer.lock(), &page.key()).is_none().then(|| Fence::number(0))
    }

    fn store(&self, page: Page, value: Bytes, _: Fence) {
        Bare::upsert(&self.writer.lock(), &page.key(), &value);
    }
}

/// The disk backend, called as the engine calls it.
pub(crate) struct Backend {
    disk: Arc<dyn LocalBackend>,
    groups: [&'static str; 2],
}

const TTL: Duration = Duration::from_secs(3_600);

impl Backend {
    pub(crate) fn open(config: &DiskConfig) -> retainit_plugin::Result<Backend> {
        let groups = ["r1:e:default:-:-", "r1:e:default:-:page"];
        let context = Context::new("bench", Arc::new(SystemClock), Arc::new(Strict)).op_timeout(PATIENCE);
        match config.build(context)? {
            Built::Local(disk) => Ok(Backend { disk, groups }),
            other => panic!("disk built {other:?}"),
        }
    }

    fn put(&self, page: Page, value: Bytes, when: StoreCondition) {
        let terms = StoreOptions::new(when).ttl(Some(TTL)).groups(&self.groups);
        assert_eq!(self.disk.store(&page.key(), value, terms).expect("a store"), Stored::Yes);
    }
}

impl Store for Backend {
    fn read(&self, page: Page) {
        assert!(self.look(page).is_none(), "a hit");
    }

    fn fill(&self, page: Page, value: Bytes) {
        if let Some(fence) = self.look(page) {
            self.store(page, value, fence);
        }
    }

    fn set(&self, page: Page, value: Bytes) {
        self.put(page, value, StoreCondition::Always);
    }
}

impl Steps for Backend {
    fn look(&self, page: Page) -> Option<Fence> {
        let snapshot = self.disk.read(&page.key(), Read::seen().groups(&self.groups)).expect("a read");
        black_box(&snapshot).entry.is_none().then(|| snapshot.fence.expect("fences are declared"))
    }

    fn store(&self, page: Page, value: Bytes, fence: Fence) {
        self.put(page, value, StoreCondition::Fenced(fence));
    }
}

/// A listener for backends that have nothing to report.
#[derive(Debug)]
pub(crate) struct Strict;

impl Listener for Strict {
    fn removed(&self, _: Removal<'_>) {}
    fn near_capacity(&self, _: u64, _: u64) {}
    fn failed(&self, operation: &'static str, error: &Error) {
        panic!("{operation}: {error}");
    }
}

/// A database of one process. Its commits are lost with the process: it promises nothing between that and an fsync
/// each.
pub(crate) struct Redb(Database);

const PAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("pages");

impl Redb {
    pub(crate) fn open(folder: &Path) -> Result<Redb, redb::Error> {
        let database = Database::create(folder.join("pages.redb"))?;
        let begin = database.begin_write()?;
        begin.open_table(PAGES)?;
        begin.commit()?;
        Ok(Redb(database))
    }

    fn has(&self, key: &str) -> Result<bool, redb::Error> {
        let pages = self.0.begin_read()?.open_table(PAGES)?;
        Ok(pages.get(key)?.is_some_and(|found| {
            black_box(found.value().to_vec());
            true
        }))
    }

    fn insert(&self, key: &str, value: &[u8]) -> Result<(), redb::Error> {
        let mut begin = self.0.begin_write()?;
        begin.set_durability(Durability::None).expect("nothing was opened in it");
        begin.open_table(PAGES)?.insert(key, value)?;
        Ok(begin.commit()?)
    }
}

impl Store for Redb {
    fn read(&self, page: Page) {
        assert!(self.has(&page.key()).expect("a read"), "a hit");
    }

    fn fill(&self, page: Page, value: Bytes) {
        let key = page.key();
        if !self.has(&key).expect("a read") {
            self.insert(&key, &value).expect("a store");
        }
    }

    fn set(&self, page: Page, value: Bytes) {
        self.insert(&page.key(), &value).expect("a store");
    }
}

/// A file for each page, written aside and renamed.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn open(folder: &Path) -> std::io::Result<Files> {
        let folder = folder.join("files");
        fs::create_dir(&folder)?;
        Ok(Files(folder))
    }

    fn path(&self, page: Page) -> PathBuf {
        self.0.join(page.key())
    }
}

impl Store for Files {
    fn read(&self, page: Page) {
        black_box(fs::read(self.path(page)).expect("a hit"));
    }

    fn fill(&self, page: Page, value: Bytes) {
        if fs::read(self.path(page)).is_err() {
            self.set(page, value);
        }
    }

    fn set(&self, page: Page, value: Bytes) {
        let path = self.path(page);
        let aside = path.with_extension("new");
        fs::write(&aside, value).expect("a file");
        fs::rename(aside, path).expect("a name");
    }
}
