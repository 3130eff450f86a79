//! The tables of a database.

use rusqlite::{Connection, OptionalExtension};

use crate::bounds;

/// The number of the layout; a database with another one is put aside.
const LAYOUT: u32 = 2;

/// The least recently used entry has the lowest `id`: an entry that was used moves to the end. `key` comes from the
/// caller, `gen` is random and new with every store, `sum` is taken over all of them and the value. Entries of 64 KiB
/// and more have their length in `blob` and no `value`. Times are milliseconds of wall time. A value of another table
/// has either a `sum` of its own or a random number that is drawn anew, see [`checked`](crate::checked).
///
/// The columns that sweeps look at come before the value, so that its overflow pages are not read for them.
const TABLES: &str = "
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        gen INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        blob INTEGER,
        value BLOB
    );
    CREATE INDEX entry_blob ON entry (gen) WHERE blob IS NOT NULL;
    CREATE TABLE stripe (id INTEGER PRIMARY KEY, gen INTEGER NOT NULL);
    CREATE TABLE version (
        name TEXT PRIMARY KEY,
        hard INTEGER NOT NULL,
        soft INTEGER NOT NULL,
        deadline INTEGER NOT NULL,
        sum INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX version_deadline ON version (deadline);
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY,
        blob_bytes INTEGER NOT NULL,
        raised INTEGER NOT NULL,
        sum INTEGER NOT NULL
    );
";

/// Stripes begin at random, so that a fence of a lost database holds in no other.
const STRIPES: &str = "
    INSERT INTO stripe WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4095)
        SELECT i, random() & 9223372036854775807 FROM n;
";

/// Fills a new database.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let meta = format!("INSERT INTO meta VALUES (1, 0, 0, {});", bounds::seal(0));
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {STRIPES} {meta} PRAGMA user_version = {LAYOUT}; COMMIT;"))
}

/// Returns whether the tables are there, as far as one look can see, and are those of this layout.
pub(crate) fn check(connection: &Connection) -> rusqlite::Result<bool> {
    if connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? != LAYOUT {
        return Ok(false);
    }
    const NAMES: &str = "SELECT count(*) FROM sqlite_schema WHERE name IN ('entry', 'stripe', 'version', 'meta')";
    const FILLED: &str = "SELECT 1 FROM stripe, meta WHERE stripe.id = 4095 AND meta.id = 1";
    let tables: i64 = connection.query_row(NAMES, [], |row| row.get(0))?;
    Ok(tables == 4 && connection.query_row(FILLED, [], |_| Ok(())).optional()?.is_some())
}
