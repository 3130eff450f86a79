use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use retainit_plugin::{
    Bytes, Capabilities, Context, Error, ErrorKind, Group, LocalBackend, Page, Read, Result, Scan, Snapshot, Stored,
    Strength, Terms, Version,
};

use crate::database::{Database, Engine, Opened, Options};
use crate::fault::{self, Fault};
use crate::folder::{Folder, Home};
use crate::{lookup, scan, version, wait, write};

/// How often an operation begins again because its database was replaced.
const ATTEMPTS: usize = 3;

/// A folder, and the database in it once something was asked of it.
#[derive(Debug)]
pub(crate) struct DiskBackend {
    name: Arc<str>,
    folder: Folder,
    options: Options,
    engine: Engine,
    state: RwLock<State>,
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
        DiskBackend { name, folder: Folder::new(base), options, engine, state: RwLock::new(State::Unopened) }
    }

    /// Does an operation that changes nothing, on a database that stood when it began.
    fn read_with<T>(&self, operation: impl Fn(&Database) -> Result<T, Fault>) -> Result<T> {
        self.with(Home::stands, operation, |_| true)
    }

    /// Does an operation that changes something; again, if the database was replaced before it ended: what was
    /// acknowledged must hold in the database that others use.
    fn write_with<T>(&self, operation: impl FnMut(&Database) -> Result<T, Fault>) -> Result<T> {
        self.with(|_| true, operation, Home::is_current)
    }

    fn with<T>(
        &self,
        mut before: fn(&Home) -> bool,
        mut operation: impl FnMut(&Database) -> Result<T, Fault>,
        after: fn(&Home) -> bool,
    ) -> Result<T> {
        let _bound = wait::at_most(self.options.busy_timeout);
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

    /// The open database, or the current one where none is open or the open one is not as it has to be.
    fn database(&self, holds: fn(&Home) -> bool) -> Result<Arc<Database>> {
        let opened = self.state.try_read().and_then(|state| self.opened(&state, holds).transpose());
        opened.unwrap_or_else(|| self.await_database()).map_err(|error| self.named(error))
    }

    #[cold]
    fn await_database(&self) -> Result<Arc<Database>> {
        let opened = match self.state.try_read_for(wait::left()).as_deref() {
            Some(state) => self.opened(state, Home::is_current)?,
            None => return Err(opening()),
        };
        opened.map_or_else(|| self.open(), Ok)
    }

    /// The open database, if it is as it has to be.
    fn opened(&self, state: &State, holds: fn(&Home) -> bool) -> Result<Option<Arc<Database>>> {
        match state {
            State::Open(database) if holds(&database.home) => Ok(Some(Arc::clone(database))),
            State::Open(_) | State::Unopened => Ok(None),
            State::Closed => Err(Error::new(ErrorKind::Closed, "the backend was closed")),
        }
    }

    fn open(&self) -> Result<Arc<Database>> {
        let mut state = self.state.try_write_for(wait::left()).ok_or_else(opening)?;
        if let Some(database) = self.opened(&state, Home::is_current)? {
            return Ok(database);
        }
        let mut broken = None;
        let opened = self.enter(&mut broken);
        if let Ok(database) = &opened {
            *state = State::Open(Arc::clone(database));
        }
        drop(state);
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
        let error = fault::damaged(error).context("put aside in", self.folder.path().display().to_string());
        self.engine.listener.failed("database", &self.named(error));
    }

    fn named(&self, error: Error) -> Error {
        error.context("backend", &*self.name)
    }
}

fn opening() -> Error {
    fault::locked("another thread is opening the database")
}

impl LocalBackend for DiskBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().versions().scan().set_if_absent().native_ttl().shared().persistent()
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.read_with(|database| lookup::read(database, key, read))
    }

    fn store(&self, key: &str, entry: Bytes, terms: Terms<'_>) -> Result<Stored> {
        self.write_with(|database| write::store(database, key, &entry, &terms))
    }

    fn store_with(&self, key: &str, seal: &mut dyn FnMut(&[Version]) -> Bytes, terms: Terms<'_>) -> Result<Stored> {
        self.write_with(|database| write::store_with(database, key, seal, &terms))
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.write_with(|database| write::remove(database, key))
    }

    fn health(&self) -> Result<()> {
        self.read_with(|database| lookup::read(database, "", Read::fenced(Duration::ZERO)).map(drop))
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        self.write_with(|database| scan::scan(database, &scan))
    }

    fn raise(&self, group: &Group, strength: Strength) -> Result<Version> {
        self.write_with(|database| {
            database.writing(|work| Ok(version::raise(work.connection, group, strength, work.now)?))
        })
    }

    fn close(&self) -> Result<()> {
        let _bound = wait::at_most(self.options.busy_timeout);
        let mut state =
            self.state.try_write_for(wait::left()).ok_or_else(opening).map_err(|error| self.named(error))?;
        let closed = std::mem::replace(&mut *state, State::Closed);
        drop(state);
        if let State::Open(database) = closed {
            database.write_touched();
        }
        Ok(())
    }
}
