//! A read transaction that stays open while reads come thick and fast.
//!
//! SQLite takes a shared lock for each read and gives it back after it: two system calls, a third of what a read from
//! the page cache costs. As long as another connection of this process holds the same lock it requests from the system
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

use retainit_plugin::lock::{Condvar, Mutex};
use retainit_plugin::{Clock, Moment};
use rusqlite::Connection;

use crate::connection;
use crate::database::Options;
use crate::fault::Fault;

/// Number of reads on one connection in one tick of the clock that counts as many.
const MANY: u32 = 32;

/// Time between two checks whether the transaction is still of use.
const STEP: Duration = Duration::from_millis(10);

/// Time for which the log is left alone after somebody has written.
const REST: Duration = Duration::from_millis(100);

/// Time without many reads after which the thread ends.
const IDLE: Duration = Duration::from_secs(5);

/// The reads of one connection in the current tick of the clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    tick: Option<Moment>,
    reads: u32,
}

/// The thread, and its signals. It ends when this is dropped.
pub(crate) struct Lingering {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    database: PathBuf,
    options: Options,
    clock: Arc<dyn Clock>,
    /// Set while the transaction is open.
    is_open: AtomicBool,
    /// Set if something was read since the last check.
    is_used: AtomicBool,
    signals: Mutex<Signals>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Signals {
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
            signals: Mutex::default(),
            bell: Condvar::new(),
        };
        Lingering { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Notes a read on a connection.
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
        let Some(mut signals) = self.shared.signals.try_lock() else { return };
        if signals.rests_until.is_some_and(|until| self.shared.clock.now() < until) {
            return;
        }
        signals.is_wanted = true;
        if signals.has_thread {
            self.shared.bell.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Without the thread reads cost more, and work.
        if let Ok(thread) = Builder::new().name("retainit-disk".to_owned()).spawn(move || shared.serve()) {
            signals.has_thread = true;
            *self.thread.lock() = Some(thread);
        }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.shared.signals.lock().is_over = true;
        self.shared.bell.notify_one();
        // The connection of the thread has to be closed before anybody may take the database for closed.
        if let Some(thread) = self.thread.get_mut().take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut signals = self.signals.lock();
        let mut connection = None;
        while !signals.is_over {
            if !std::mem::take(&mut signals.is_wanted) {
                let timed_out;
                (signals, timed_out) = self.bell.wait_for(signals, IDLE);
                if timed_out && !signals.is_wanted {
                    break;
                }
                continue;
            }
            drop(signals);
            if self.linger(&mut connection).is_err() {
                // Errors of the database are reported by the operations that use it.
                connection = None;
            }
            self.is_open.store(false, Ordering::Relaxed);
            signals = self.signals.lock();
            signals.is_wanted = false;
        }
        signals.has_thread = false;
    }

    /// Keeps a transaction open, step by step, for as long as that is of use.
    fn linger(&self, connection: &mut Option<Connection>) -> Result<(), Fault> {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(connection::reader(&self.database, &self.options)?),
        };
        let mut commits = None;
        loop {
            connection.execute_batch("BEGIN; SELECT 1 FROM meta;")?;
            let now = connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
            let is_quiet = now.as_ref().is_ok_and(|now| *commits.get_or_insert(*now) == *now);
            if is_quiet {
                self.is_used.store(false, Ordering::Relaxed);
                self.is_open.store(true, Ordering::Relaxed);
                let signals = self.signals.lock();
                if !signals.is_over {
                    drop(self.bell.wait_for(signals, STEP));
                }
            }
            connection.execute_batch("COMMIT")?;
            now?;
            let mut signals = self.signals.lock();
            if !is_quiet {
                signals.rests_until = Some(self.clock.now().after(REST));
            }
            if signals.is_over || !is_quiet || !self.is_used.load(Ordering::Relaxed) {
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
