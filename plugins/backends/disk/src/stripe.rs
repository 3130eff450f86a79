//! Fences.
//!
//! The fence of a slot that holds an entry is the entry's generation: what replaces or removes the entry breaks it.
//! That of an empty slot, or of one whose entry has expired, is the counter of the key's stripe.
//!
//! A removal draws the counter anew, at random: whatever becomes of a bit of it on the disk, it is none of those that
//! loads under way have taken. A store on a fence does not: when its entry has gone by eviction or expiry, an older
//! fence of the empty slot may hold again, but nothing has come in between except another load. A store in any case has
//! to break older fences for good. It leaves that to the end of its entry: the generation is marked, the mark goes over
//! to the entry that replaces it, and a transaction that deletes a marked entry draws the counter anew in the same
//! transaction. An expired entry with a mark keeps its slot from counting as empty until it is deleted.

use retainit_plugin::Fence;
use rusqlite::Connection;
use twox_hash::XxHash3_64;

use crate::entry::Head;

const STRIPES: u64 = 4_096;

/// Distinguishes the generation of an entry from the counter of a stripe.
const ENTRY: u64 = 1 << 63;

/// Returns the stripe of a key.
pub(crate) fn of(key: &str) -> i64 {
    (XxHash3_64::oneshot(key.as_bytes()) % STRIPES) as i64
}

/// Returns the fence of an entry.
pub(crate) fn of_entry(generation: u64) -> Fence {
    Fence::number(generation | ENTRY)
}

/// Returns the fence of an empty slot. The salt is that of the database: a copy of it counts on from the same counters,
/// and a load that began in one must not be stored in the other.
pub(crate) fn of_counter(counter: i64, salt: u64) -> Fence {
    Fence::number((counter as u64 & !ENTRY) ^ salt)
}

/// Returns the counter that is the fence of an empty slot; `None` for the fence of an entry. Counters and salts are
/// below 2^63, so none has lost a bit to [`of_counter`].
pub(crate) fn counter_of(fence: Fence, salt: u64) -> Option<i64> {
    fence.as_number().filter(|number| number & ENTRY == 0).map(|number| (number ^ salt) as i64)
}

/// Returns whether a fence is valid, in the transaction that is going to store on it. `empty` is that of the slot
/// without entry.
pub(crate) fn holds(entry: Option<&Head>, empty: Fence, fence: Fence, now: i64) -> bool {
    match entry {
        Some(entry) if entry.fence() == fence => true,
        Some(entry) if !entry.is_empty(now) => false,
        _ => fence == empty,
    }
}

/// Returns the counter of a key's stripe, and `meta.raised`, which is read along with it.
pub(crate) fn counter_and_raised(connection: &Connection, key: &str) -> rusqlite::Result<(i64, i64)> {
    let mut select = connection.prepare_cached("SELECT gen, raised FROM meta, stripe WHERE stripe.id = ?1")?;
    select.query_row([of(key)], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Breaks the fence of a key's empty slot.
pub(crate) fn renew(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE stripe SET gen = random() & ?1 WHERE id = ?2")?;
    match update.execute([i64::MAX, of(key)])? {
        0 => Err(rusqlite::Error::QueryReturnedNoRows),
        _ => Ok(()),
    }
}

/// Breaks the fences of all empty slots.
pub(crate) fn renew_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE stripe SET gen = random() & ?1")?.execute([i64::MAX]).map(drop)
}
