//! A read transaction that stays open while reads come thick and fast.
//!
//! SQLite takes a shared lock for each read and gives it back after it: two system calls, a third of what a read from
//! the page cache costs. As long as another connection of this process holds the same lock it asks the system for
//! neither. So while there are many reads, a thread keeps a transaction open on a connection that nothing is read on.
//! Reads go on in transactions of their own and see what is current.
//!
//! An open transaction keeps the log from being written back and begun anew. It therefore stays for [`STEP`] at a time,
//! only while there are reads, and not for the next [`REST`] once anybody has written: a log that is being written to
//! is free nine tenths of the time.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use retainit_plugin::{Clock, Moment};
use rusqlite::Connection;

use crate::connection;
use crate::database::Options;
use crate::fault::Fault;

/// How many reads on one connection in one tick of the clock are many.
const MANY: u32 = 32;

/// How long the transaction stays before it is looked whether it is still of use.
const STEP: Duration = Duration::from_millis(10);

/// How long the log is left alone after somebody has written.
const REST: Duration = Duration::from_millis(100);

/// After this the thread ends, until there are many reads again.
const IDLE: Duration = Duration::from_secs(5);

/// The reads of one connection in the current tick of the clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    tick: Option<Moment>,
    reads: u32,
}

/// The thread, and what it is told. It ends when this is dropped.
pub(crate) struct Lingering {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    database: PathBuf,
    options: Options,
    clock: Arc<dyn Clock>,
    /// Whether the transaction is open.
    is_open: AtomicBool,
    /// Whether something was read since that was last asked.
    is_used: AtomicBool,
    told: Mutex<Told>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    is_wanted: bool,
    is_over: bool,
    has_thread: bool,
    rests_until: Option<Moment>,
}

impl Lingering {
    pub(crate) fn new(database: PathBuf, options: Options, clock: Arc<dyn Clock>) -> Lingering {
        let shared = Shared {
            database,
            options,
            clock,
            is_open: AtomicBool::default(),
            is_used: AtomicBool::default(),
            told: Mutex::default(),
            bell: Condvar::new(),
        };
        Lingering { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Something was read on a connection.
    pub(crate) fn note(&self, pace: &mut Pace) {
        let Shared { is_open, is_used, clock, .. } = &*self.shared;
        if is_open.load(Ordering::Relaxed) {
            // Written only where it changes: many threads come along here.
            if !is_used.load(Ordering::Relaxed) {
                is_used.store(true, Ordering::Relaxed);
            }
            return;
        }
        let now = Some(clock.now());
        if pace.tick != now {
            *pace = Pace { tick: now, reads: 0 };
        }
        pace.reads += 1;
        if pace.reads == MANY {
            self.want();
        }
    }

    fn want(&self) {
        let Some(mut told) = self.shared.told.try_lock() else { return };
        if told.rests_until.is_some_and(|until| self.shared.clock.now() < until) {
            return;
        }
        told.is_wanted = true;
        if told.has_thread {
            self.shared.bell.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Without the thread reads cost what they cost.
        if let Ok(thread) = Builder::new().name("retainit-disk".to_owned()).spawn(move || shared.serve()) {
            told.has_thread = true;
            *self.thread.lock() = Some(thread);
        }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.shared.told.lock().is_over = true;
        self.shared.bell.notify_one();
        // The connection of the thread has to be closed before anybody may take the database for closed.
        if let Some(thread) = self.thread.get_mut().take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut told = self.told.lock();
        let mut connection = None;
        while !told.is_over {
            if !std::mem::take(&mut told.is_wanted) {
                if self.bell.wait_for(&mut told, IDLE).timed_out() && !told.is_wanted {
                    break;
                }
                continue;
            }
            if self.linger(&mut told, &mut connection).is_err() {
                // What is wrong with the database is the affair of those who use it.
                connection = None;
            }
            self.is_open.store(false, Ordering::Relaxed);
            told.is_wanted = false;
        }
        told.has_thread = false;
    }

    /// Keeps a transaction open, step by step, for as long as that is of use. Nobody is told anything meanwhile but
    /// that it is over.
    fn linger(&self, told: &mut MutexGuard<'_, Told>, connection: &mut Option<Connection>) -> Result<(), Fault> {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(MutexGuard::unlocked(told, || connection::reader(&self.database, &self.options))?),
        };
        let mut commits = None;
        loop {
            connection.execute_batch("BEGIN; SELECT 1 FROM meta;")?;
            let now = connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
            let is_quiet = now.as_ref().is_ok_and(|now| *commits.get_or_insert(*now) == *now);
            if is_quiet {
                self.is_used.store(false, Ordering::Relaxed);
                self.is_open.store(true, Ordering::Relaxed);
                self.bell.wait_for(told, STEP);
            }
            connection.execute_batch("COMMIT")?;
            now?;
            if !is_quiet {
                told.rests_until = Some(self.clock.now().after(REST));
            }
            if told.is_over || !is_quiet || !self.is_used.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").field("is_open", &self.shared.is_open).finish_non_exhaustive()
    }
}
