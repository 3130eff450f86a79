use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use retainit_plugin::lock::RwLock;
use retainit_plugin::{
    Bytes, Capabilities, Context, Error, ErrorKind, GroupVersion, LivenessCheck, LocalBackend, Page, Process, Read,
    Result, Scan, Seal, Snapshot, StoreOptions, Stored, Strength,
};

use crate::database::{Database, Engine, Opened, Options};
use crate::fault::{self, Fault};
use crate::folder::{Folder, Home};
use crate::turn::{Taken, Turn};
use crate::{lookup, scan, version, wait, write};

/// Number of times an operation begins again because its database was replaced.
const ATTEMPTS: usize = 3;

/// The process that has used SQLite. Its children must not: SQLite records within a process who holds which lock of a
/// file, a child takes the locks of its parent for its own, and one that a thread of the parent held is never let go.
static USES_SQLITE: OnceLock<Process> = OnceLock::new();

/// A folder, and the database in it once it was used.
#[derive(Debug)]
pub(crate) struct DiskBackend {
    name: Arc<str>,
    folder: Folder,
    options: Options,
    engine: Engine,
    /// SQLite's connections must not be used, nor ended, in a child of it.
    process: Process,
    /// Held for a moment only.
    state: RwLock<State>,
    /// Orders changes of the state, which may take long: to open a database, and to close one.
    changing: Turn<()>,
}

impl Drop for DiskBackend {
    fn drop(&mut self) {
        if !self.process.is_current() {
            std::mem::forget(std::mem::replace(self.state.get_mut(), State::Closed));
        }
    }
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(Arc<Database>),
    Closed,
}

impl DiskBackend {
    pub(crate) fn new(context: Context, base: &Path, options: Options) -> DiskBackend {
        let Context { name, clock, listener, .. } = context;
        let engine = Engine { clock, listener };
        let (process, folder) = (Process::current(), Folder::new(base));
        let (state, changing) = (RwLock::new(State::Unopened), Turn::default());
        DiskBackend { name, folder, options, engine, process, state, changing }
    }

    /// Runs an operation that changes nothing, on a database that was current when it began.
    fn read_with<T>(&self, wait: Option<Duration>, operation: impl Fn(&Database) -> Result<T, Fault>) -> Result<T> {
        self.with(wait, Home::stands, operation, |_| true)
    }

    /// Runs an operation that changes something; again, if the database was replaced before it ended: what was
    /// acknowledged must hold in the database that others use.
    fn write_with<T>(&self, wait: Option<Duration>, operation: impl FnMut(&Database) -> Result<T, Fault>) -> Result<T> {
        self.with(wait, |_| true, operation, Home::is_current)
    }

    /// Runs an operation on the database. `wait` is the time that the caller can still wait, if that is less than an
    /// operation may.
    fn with<T>(
        &self,
        wait: Option<Duration>,
        mut before: fn(&Home) -> bool,
        mut operation: impl FnMut(&Database) -> Result<T, Fault>,
        after: fn(&Home) -> bool,
    ) -> Result<T> {
        self.check_process()?;
        let most = self.options.busy_timeout;
        let _bound = wait::at_most(wait.map_or(most, |wait| wait.min(most)));
        for _ in 0..ATTEMPTS {
            let database = self.database(before)?;
            match operation(&database) {
                Ok(done) if after(&database.home) => return Ok(done),
                Err(Fault::Failed(error)) if database.home.is_current() => return Err(self.named(error)),
                Err(Fault::Damaged(error)) => self.put_aside(&database, error)?,
                Ok(_) | Err(Fault::Failed(_)) => {}
            }
            before = Home::is_current;
        }
        Err(self.named(Error::new(ErrorKind::Backend, "the database is replaced again and again")))
    }

    /// Returns the open database, or the current one where none is open or the open one is not as it has to be.
    fn database(&self, holds: fn(&Home) -> bool) -> Result<Arc<Database>> {
        let opened = self.opened(holds).transpose();
        opened.unwrap_or_else(|| self.open()).map_err(|error| self.named(error))
    }

    /// Returns the open database, if it is as it has to be.
    fn opened(&self, holds: fn(&Home) -> bool) -> Result<Option<Arc<Database>>> {
        match &*self.state.read() {
            State::Open(database) if holds(&database.home) => Ok(Some(Arc::clone(database))),
            State::Open(_) | State::Unopened => Ok(None),
            State::Closed => Err(Error::new(ErrorKind::Closed, "the backend was closed")),
        }
    }

    #[cold]
    fn open(&self) -> Result<Arc<Database>> {
        let turn = self.change()?;
        if let Some(database) = self.opened(Home::is_current)? {
            return Ok(database);
        }
        USES_SQLITE.get_or_init(Process::current);
        let mut broken = None;
        let opened = self.enter(&mut broken);
        if let Ok(database) = &opened {
            drop(self.replace(State::Open(Arc::clone(database))));
        }
        drop(turn);
        if let Some(error) = broken {
            self.tell_put_aside(error);
        }
        if let Ok(database) = &opened {
            database.tell_notices();
        }
        opened.map_err(|fault| match fault {
            Fault::Failed(error) => error,
            Fault::Damaged(error) => fault::damaged(error),
        })
    }

    /// Waits for the turn to change the state.
    fn change(&self) -> Result<Taken<'_, ()>> {
        self.changing.take().ok_or_else(|| fault::locked("another thread is opening the database"))
    }

    /// Changes the state. The old one may take long to drop, and is dropped without the lock.
    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.write(), state)
    }

    fn enter(&self, broken: &mut Option<rusqlite::Error>) -> Result<Arc<Database>, Fault> {
        let open = |path: &Path, new: bool| Opened::open(path, new, &self.options, &self.engine);
        let (home, opened) = self.folder.enter(open, |error| *broken = Some(error))?;
        Ok(Arc::new(Database::new(home, opened, self.options, self.engine.clone())))
    }

    /// Puts a damaged database aside, unless another process was faster; the next operation opens the new one.
    fn put_aside(&self, database: &Database, error: rusqlite::Error) -> Result<()> {
        let done = self.folder.put_aside(&database.home);
        if done.map_err(|error| self.named(error))? {
            self.tell_put_aside(error);
        }
        Ok(())
    }

    fn tell_put_aside(&self, error: rusqlite::Error) {
        let error = fault::damaged(error).with_context("put aside in", self.folder.path().display().to_string());
        self.engine.listener.failed("database", &self.named(error));
    }

    fn check_process(&self) -> Result<()> {
        if self.process.is_current() && USES_SQLITE.get().is_none_or(|process| process.is_current()) {
            return Ok(());
        }
        let text =
            "the process that forked this one has used a disk backend: a child cannot, unless it executes a program";
        Err(self.named(Error::new(ErrorKind::Unsupported, text)))
    }

    fn named(&self, error: Error) -> Error {
        error.with_context("backend", &*self.name)
    }
}

impl LocalBackend for DiskBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .fences()
            .versions()
            .scan()
            .set_if_absent()
            .native_ttl()
            .shared()
            .persistent()
            .cancellation()
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.read_with(read.wait, |database| lookup::read(database, key, read))
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.write_with(terms.wait, |database| write::store(database, key, &entry, &terms))
    }

    fn store_with(&self, key: &str, seal: &mut Seal<'_>, terms: StoreOptions<'_>) -> Result<Stored> {
        self.write_with(terms.wait, |database| write::store_with(database, key, seal, &terms))
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.write_with(None, |database| write::remove(database, key))
    }

    fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        self.write_with(None, |database| write::remove_many(database, keys))
    }

    fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        // The read and the removal wait as long as one operation.
        let _bound = wait::at_most(self.options.busy_timeout);
        let live = check.reads_at_once(self, key);
        Ok(self.remove(key)? && live.unwrap_or(true))
    }

    fn health(&self) -> Result<()> {
        self.read_with(None, |database| lookup::read(database, "", Read::seen()).map(drop))
    }

    fn prepare(&self) -> Result<()> {
        self.folder.prepare().map_err(|error| {
            Error::new(ErrorKind::Config, format!("{} cannot be used", self.folder.base().display()))
                .with_field("base_path")
                .with_source(error)
        })
    }

    fn try_out(&self, key: &str) -> Result<()> {
        self.write_with(None, |database| write::try_out(database, key))
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        self.write_with(None, |database| scan::scan(database, &scan))
    }

    /// A folder that nothing has used yet is not opened for it.
    fn count(&self) -> Result<Option<u64>> {
        match &*self.state.read() {
            State::Open(_) => {}
            State::Unopened | State::Closed => return Ok(None),
        }
        self.read_with(None, scan::count).map(Some)
    }

    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        self.write_with(None, |database| {
            database.writing(|work| version::raise(work.connection, group, strength, work.now))
        })
    }

    fn close(&self) -> Result<()> {
        self.check_process()?;
        let _bound = wait::at_most(self.options.busy_timeout);
        let turn = self.change().map_err(|error| self.named(error))?;
        let closed = self.replace(State::Closed);
        drop(turn);
        if let State::Open(database) = closed {
            database.write_touched();
        }
        Ok(())
    }
}
