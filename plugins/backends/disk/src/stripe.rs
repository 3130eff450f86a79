//! Fences.
//!
//! The fence of a slot that holds an entry is the entry's generation: what replaces or removes the entry breaks it.
//! That of an empty slot, or of one whose entry has expired, is the counter of the key's stripe. Removals and stores
//! in any case raise that counter too. Stores on a fence, sweeps and evictions do not: after them a fence of an empty
//! slot may hold again, but then nothing has come in between except another load.

use retainit_plugin::Fence;
use rusqlite::Connection;
use twox_hash::XxHash3_64;

use crate::entry::Head;

const STRIPES: u64 = 4_096;

/// Tells the generation of an entry from the counter of a stripe.
const ENTRY: u64 = 1 << 63;

/// The stripe of a key.
pub(crate) fn of(key: &str) -> i64 {
    (XxHash3_64::oneshot(key.as_bytes()) % STRIPES) as i64
}

/// The fence of an entry.
pub(crate) fn of_entry(generation: u64) -> Fence {
    Fence::new(generation | ENTRY)
}

/// The fence of an empty slot.
pub(crate) fn of_counter(counter: i64) -> Fence {
    Fence::new(counter as u64 & !ENTRY)
}

/// Whether a fence stands, in the transaction that is going to store on it.
pub(crate) fn holds(
    connection: &Connection,
    key: &str,
    entry: Option<&Head>,
    fence: Fence,
    now: i64,
) -> rusqlite::Result<bool> {
    if let Some(entry) = entry {
        let standing = entry.fence() == fence;
        if standing || entry.is_live(now) {
            return Ok(standing);
        }
    }
    let mut select = connection.prepare_cached("SELECT gen FROM stripe WHERE id = ?1")?;
    let counter = select.query_row([of(key)], |row| row.get(0))?;
    Ok(of_counter(counter) == fence)
}

/// Breaks the fence of a key's empty slot.
pub(crate) fn raise(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE stripe SET gen = gen + 1 WHERE id = ?1")?;
    update.execute([of(key)]).map(drop)
}

/// Breaks the fences of all empty slots.
pub(crate) fn raise_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE stripe SET gen = gen + 1")?.execute([]).map(drop)
}
