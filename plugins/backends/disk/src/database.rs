//! An open database: connections, and how work gets at them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Error, ErrorKind, Listener};
use rusqlite::Connection;

use crate::SyncMode;
use crate::bounds::Bounds;
use crate::connection;
use crate::fault::{self, Fault};
use crate::folder::Home;
use crate::known::Known;
use crate::lingering::{Lingering, Pace};
use crate::sweep::Upkeep;
use crate::touched::Touched;
use crate::turn::{Taken, Turn};
use crate::wait;
use crate::write::Work;

/// Readers that are kept open while nobody reads: one for each thread of the pool that async callers use. To open one
/// takes as long as fifty reads.
const IDLE_READERS: usize = 64;

/// A configuration, with its defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) max_bytes: u64,
    pub(crate) max_entries: Option<u64>,
    pub(crate) sync: SyncMode,
    pub(crate) busy_timeout: Duration,
}

/// The engine's part of the backend's context.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) listener: Arc<dyn Listener>,
}

/// One database that is open in this process. Lock order: none; no call holds two of its locks.
pub(crate) struct Database {
    pub(crate) home: Home,
    pub(crate) options: Options,
    pub(crate) engine: Engine,
    pub(crate) touched: Touched,
    readers: Mutex<Vec<Reader>>,
    writer: Turn<Writer>,
    lingering: Lingering,
}

/// A connection, and what was read on it before.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) known: Known,
    pace: Pace,
}

impl Reader {
    fn new(connection: Connection) -> Reader {
        Reader { connection, known: Known::default(), pace: Pace::default() }
    }
}

pub(crate) struct Writer {
    reader: Reader,
    bounds: Bounds,
    upkeep: Upkeep,
}

/// A notice for the listener, sent once no lock is held.
#[derive(Debug)]
pub(crate) enum Notice {
    Failed(&'static str, Error),
    NearCapacity(u64, u64),
    Evicted(String),
}

/// The first connection to a database, and the findings of its check.
pub(crate) struct Opened {
    writer: Writer,
    touched: Touched,
}

impl Opened {
    /// Opens a database, and fills it if it is `new`.
    pub(crate) fn open(path: &Path, new: bool, options: &Options, engine: &Engine) -> Result<Opened, Fault> {
        let connection = connection::open(path, new, options)?;
        let touched = Touched::default();
        let upkeep = Upkeep::new(&connection, &touched, engine.clock.now())?;
        let mut bounds = Bounds::default();
        bounds.look(&connection, options, &touched)?;
        let writer = Writer { reader: Reader::new(connection), bounds, upkeep };
        Ok(Opened { writer, touched })
    }
}

impl Database {
    pub(crate) fn new(home: Home, opened: Opened, options: Options, engine: Engine) -> Database {
        let Opened { writer, touched } = opened;
        let lingering = Lingering::new(home.database(), options, Arc::clone(&engine.clock));
        let (readers, writer) = (Mutex::default(), Turn::new(writer));
        Database { home, options, engine, touched, readers, writer, lingering }
    }

    /// Returns wall time in milliseconds, as deadlines are kept.
    pub(crate) fn now(&self) -> i64 {
        millis(self.engine.clock.wall())
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Failed(operation, error) => self.engine.listener.failed(operation, error),
            Notice::NearCapacity(used, capacity) => self.engine.listener.near_capacity(*used, *capacity),
            Notice::Evicted(key) => self.engine.listener.evicted(key),
        }
    }

    /// Reads; readers do not wait for each other, nor for a writer.
    ///
    /// The writer's connection is taken where it is free, for it keeps its cache of pages: every commit makes SQLite
    /// drop those of all other connections.
    pub(crate) fn reading<T>(&self, read: impl FnOnce(&mut Reader) -> Result<T, Fault>) -> Result<T, Fault> {
        if let Some(mut writer) = self.writer.try_take() {
            self.lingering.note(&mut writer.reader.pace);
            return read(&mut writer.reader);
        }
        let idle = self.readers.lock().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader::new(connection::reader(&self.home.database(), &self.options)?),
        };
        self.lingering.note(&mut reader.pace);
        let outcome = read(&mut reader);
        let mut idle = self.readers.lock();
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
        outcome
    }

    /// Runs `work` in one transaction, and then a step of the upkeep.
    pub(crate) fn writing<T>(&self, work: impl FnOnce(&mut Work<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.working(|todo| todo.transact(work))
    }

    /// Runs work that begins its transaction itself.
    pub(crate) fn working<T>(&self, work: impl FnOnce(&mut Work<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut writer = self.writer()?;
        let outcome = writer.work(self, work);
        let swept = if outcome.is_ok() && writer.upkeep.is_due() { writer.upkeep(self) } else { None };
        let notices = writer.bounds.notices();
        drop(writer);
        notices.iter().chain(&swept).for_each(|notice| self.tell(notice));
        outcome
    }

    /// Reports the findings of the check of the opened database, unless a writer is there to do so.
    pub(crate) fn tell_notices(&self) {
        let notices = self.writer.try_take().map(|mut writer| writer.bounds.notices()).unwrap_or_default();
        notices.iter().for_each(|notice| self.tell(notice));
    }

    fn writer(&self) -> Result<Taken<'_, Writer>, Fault> {
        self.writer.take().ok_or_else(|| fault::locked("another thread keeps the database locked").into())
    }

    /// Writes down some uses, if that can be done at once: nobody waits for it, and nothing depends on it.
    pub(crate) fn write_touched(&self) {
        let Some(mut writer) = self.writer.try_take() else { return };
        let failed = writer.move_touched(self).err().and_then(unless_busy);
        drop(writer);
        if let Some(error) = failed {
            self.tell(&Notice::Failed("order", error));
        }
    }
}

impl Writer {
    fn work<T>(
        &mut self,
        database: &Database,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Reader { connection, known, .. } = &mut self.reader;
        let mut todo = Work::new(connection, database, known, &mut self.bounds);
        let done = work(&mut todo)?;
        todo.into_after().settle(database, &mut self.bounds);
        Ok(done)
    }

    /// Runs work that no caller waits for, if other processes leave the lock free.
    fn transact(
        &mut self,
        database: &Database,
        work: impl FnOnce(&mut Work<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _bound = wait::not_at_all();
        self.work(database, |todo| todo.transact(work))
    }

    /// Sweeps, without waiting for other processes. Failures are reported, because no caller waits for it.
    fn upkeep(&mut self, database: &Database) -> Option<Notice> {
        let _bound = wait::not_at_all();
        let chores = self.upkeep.find(&self.reader.connection, database);
        let done =
            chores.and_then(
                |chores| {
                    if chores.is_empty() { Ok(()) } else { self.transact(database, |work| chores.run(work)) }
                },
            );
        let error = unless_busy(done.err()?)?;
        Some(Notice::Failed("sweep", error))
    }

    fn move_touched(&mut self, database: &Database) -> Result<(), Fault> {
        let ids = database.touched.drain(256);
        if ids.is_empty() {
            return Ok(());
        }
        self.transact(database, |work| work.move_to_end(&ids))
    }
}

/// Returns wall time in milliseconds, as deadlines are kept.
pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX - 1)
}

/// Returns a failure unless it is only that another process was writing.
fn unless_busy(fault: Fault) -> Option<Error> {
    match fault {
        Fault::Failed(error) if error.kind() == ErrorKind::Timeout => None,
        Fault::Failed(error) => Some(error),
        Fault::Damaged(error) => Some(fault::damaged(error)),
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("home", &self.home).field("options", &self.options).finish_non_exhaustive()
    }
}
