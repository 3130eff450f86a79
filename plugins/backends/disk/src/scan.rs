//! Lists of keys.

use retainit_plugin::{Page, Scan};
use rusqlite::{Connection, params};

use crate::database::Database;
use crate::fault::Fault;
use crate::stripe;

/// Number of page lengths of keys after which a page ends, when the others have expired.
const LOOKED_AT: usize = 4;

/// Lists a page.
///
/// There are no placeholders. A caller that requests them is going to remove what is listed, and wants the loads behind
/// slots without an entry refused too: the fences of all empty slots are broken, and expired entries, which may be
/// fences themselves, are shown.
pub(crate) fn scan(database: &Database, scan: &Scan) -> Result<Page, Fault> {
    if scan.placeholders && scan.cursor.is_none() {
        database.writing(|work| Ok(stripe::renew_all(work.connection)?))?;
    }
    let now = database.now();
    database.reading(|reader| page(&reader.connection, scan, now))
}

/// Counts the entries, by the smallest index.
pub(crate) fn count(database: &Database) -> Result<u64, Fault> {
    database.reading(|reader| {
        let mut count = reader.connection.prepare_cached("SELECT count(*) FROM entry")?;
        Ok(count.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
    })
}

fn page(connection: &Connection, scan: &Scan, now: i64) -> Result<Page, Fault> {
    let mut select = connection.prepare_cached(match scan.cursor {
        Some(_) => "SELECT key, deadline FROM entry WHERE key > ?1 ORDER BY key LIMIT ?2",
        None => "SELECT key, deadline FROM entry WHERE key >= ?1 ORDER BY key LIMIT ?2",
    })?;
    let length = scan.page.clamp(1, 10_000);
    let most = length * LOOKED_AT;
    let mut rows = select.query(params![scan.cursor.as_deref().unwrap_or(&scan.prefix), most as i64])?;
    let (mut keys, mut looked_at, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let (key, deadline): (String, i64) = (row.get(0)?, row.get(1)?);
        if !key.starts_with(&scan.prefix) {
            return Ok(Page::new(keys, None));
        }
        looked_at += 1;
        if deadline > now || scan.placeholders {
            keys.push(key.clone());
        }
        last = Some(key);
        if keys.len() == length {
            return Ok(Page::new(keys, last));
        }
    }
    Ok(Page::new(keys, last.filter(|_| looked_at == most)))
}
