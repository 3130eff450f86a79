//! One row of the table of entries.

use retainit_plugin::{Bytes, Fence};
use rusqlite::Row;
use twox_hash::XxHash3_64;

use crate::stripe;

/// Row of an entry without its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) id: i64,
    /// Random, and new with every store: while it is there, nothing was stored and nothing removed.
    pub(crate) generation: u64,
    /// Deadline in milliseconds of wall time.
    pub(crate) deadline: i64,
    /// The length of its file; `None` if its bytes are in the row.
    pub(crate) blob: Option<i64>,
}

/// The mark of a generation: the end of its entry breaks the fence of the empty slot, see [`stripe`]. Two bits, any of
/// which will do: damage to one does not take it away.
pub(crate) const MARK: u64 = 3;

impl Head {
    /// Reads the first four columns `id, gen, deadline, blob`.
    pub(crate) fn of(row: &Row<'_>) -> rusqlite::Result<Head> {
        let generation: i64 = row.get(1)?;
        Ok(Head { id: row.get(0)?, generation: generation as u64, deadline: row.get(2)?, blob: row.get(3)? })
    }

    pub(crate) fn is_live(&self, now: i64) -> bool {
        self.deadline > now
    }

    /// Returns whether its slot counts as empty for fences.
    pub(crate) fn is_empty(&self, now: i64) -> bool {
        !self.is_live(now) && !self.is_marked()
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.generation & MARK != 0
    }

    pub(crate) fn fence(&self) -> Fence {
        stripe::of_entry(self.generation)
    }
}

/// Returns the checksum of an entry. The seed is with the key, which is short: with a long text it would cost more.
pub(crate) fn checksum(key: &str, generation: u64, deadline: i64, bytes: &[u8]) -> i64 {
    let seed = XxHash3_64::oneshot(bytes) ^ generation ^ (deadline as u64).rotate_left(32);
    XxHash3_64::oneshot_with_seed(seed, key.as_bytes()) as i64
}

/// Location of an entry's bytes.
#[derive(Debug)]
pub(crate) enum Body {
    Row(Bytes),
    File(u64),
}
