use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::database::Options;
use crate::fault::Fault;
use crate::schema;
use crate::vfs;

/// Statements that are kept prepared per connection; more than there are.
const STATEMENTS: usize = 48;

/// Opens a database, and fills the empty file of one that is `new`.
pub(crate) fn open(path: &Path, new: bool, options: &Options) -> Result<Connection, Fault> {
    let connection = connect(path, options)?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = {}; PRAGMA journal_size_limit = 16777216;",
        options.sync.pragma(),
    ))?;
    if new {
        schema::create(&connection)?;
    } else if !schema::check(&connection)? {
        let foreign = rusqlite::ffi::Error { code: ErrorCode::NotADatabase, extended_code: 26 };
        return Err(Fault::Damaged(rusqlite::Error::SqliteFailure(foreign, Some("tables are missing".to_owned()))));
    }
    Ok(connection)
}

/// Opens another connection to a database that is open already.
pub(crate) fn reader(path: &Path, options: &Options) -> Result<Connection, Fault> {
    let connection = connect(path, options)?;
    // A smaller cache than the first connection's: there may be many of these.
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// Connects to a file, which has to be there; none of the names that lead to it may be a link.
fn connect(path: &Path, options: &Options) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = match vfs::name() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Of one wait. What an operation waits in all is bounded by the VFS.
    connection.busy_timeout(options.busy_timeout)?;
    // Without it SQLite prepares the joins here anew for each parameter, because of the partial index: 10 us a read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // No mmap: a file that another program truncates would end this one with SIGBUS.
    connection.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;",
    )?;
    Ok(connection)
}

/// A write transaction; rolled back when it is dropped before [`commit`](Transaction::commit).
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
}

impl<'c> Transaction<'c> {
    /// Takes the write lock.
    pub(crate) fn begin(connection: &'c Connection) -> rusqlite::Result<Transaction<'c>> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Transaction { connection })
    }

    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // SQLite rolls back by itself after some errors, and then has nothing to roll back here.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }
}
