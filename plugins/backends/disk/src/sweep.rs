//! Does the upkeep in small steps beside the writes: expired entries and versions, the order of use, files without a
//! row.

use std::time::Duration;

use retainit_plugin::Moment;
use rusqlite::{Connection, params};

use crate::blob;
use crate::database::{Database, millis};
use crate::dir::Dir;
use crate::entry::Head;
use crate::fault::Fault;
use crate::touched::Touched;
use crate::version;
use crate::write::Work;

/// Writes between two steps.
const EVERY: u32 = 32;

/// Number of rows that a step reads or deletes at most. A table in use is swept once while it is written over.
const ENTRIES: usize = 32;
const VERSIONS: usize = 512;
const USES: usize = 64;

/// Time after which the next of 256 shards of blobs is looked through.
const SHARD_EVERY: Duration = Duration::from_secs(10);

/// A file without a row is rubbish only when no store can be at work on it.
const ORPHAN_AGE: i64 = 3_600_000;

/// Positions of the sweeps.
#[derive(Debug)]
pub(crate) struct Upkeep {
    writes: u32,
    hand: i64,
    shard: u8,
    shard_due: Moment,
}

/// Work that a step has found.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    expired: Vec<(Head, Option<String>)>,
    versions: bool,
    used: Vec<i64>,
}

impl Upkeep {
    pub(crate) fn new(connection: &Connection, touched: &Touched, now: Moment) -> Result<Upkeep, Fault> {
        set_range(connection, touched)?;
        Ok(Upkeep { writes: 0, hand: 0, shard: 0, shard_due: now.after(SHARD_EVERY) })
    }

    /// Counts a write; true when a step is due after it.
    pub(crate) fn is_due(&mut self) -> bool {
        self.writes = (self.writes + 1) % EVERY;
        self.writes == 0
    }

    /// Takes a step, without writing to the database.
    pub(crate) fn find(&mut self, connection: &Connection, database: &Database) -> Result<Chores, Fault> {
        let now = database.now();
        set_range(connection, &database.touched)?;
        self.orphans(connection, database, now)?;
        Ok(Chores {
            expired: self.expired(connection, now)?,
            versions: version::is_any_expired(connection, now)?,
            used: database.touched.drain(USES),
        })
    }

    fn expired(&mut self, connection: &Connection, now: i64) -> Result<Vec<(Head, Option<String>)>, Fault> {
        let mut select = connection.prepare_cached(
            "SELECT id, gen, deadline, blob, CASE WHEN gen & 3 AND deadline <= ?3 THEN key END FROM entry
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let found =
            select.query_map(params![self.hand, ENTRIES as i64, now], |row| Ok((Head::of(row)?, row.get(4)?)))?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        self.hand = if found.len() < ENTRIES { 0 } else { found.last().map_or(0, |(head, _)| head.id) };
        Ok(found.into_iter().filter(|(head, _)| !head.is_live(now)).collect())
    }

    fn orphans(&mut self, connection: &Connection, database: &Database, now: i64) -> Result<(), Fault> {
        let moment = database.engine.clock.now();
        if moment < self.shard_due {
            return Ok(());
        }
        self.shard_due = moment.after(SHARD_EVERY);
        let Some(shard) = self.next_shard(database) else { return Ok(()) };
        let mut select =
            connection.prepare_cached("SELECT 1 FROM entry WHERE blob IS NOT NULL AND gen BETWEEN ?1 AND ?1 + 3")?;
        for name in shard.names().unwrap_or_default() {
            let Some(generation) = blob::generation(&name) else { continue };
            let Ok(written) = shard.read(&name).and_then(|file| file.metadata()?.modified()) else { continue };
            let old = now.saturating_sub(millis(written)) > ORPHAN_AGE;
            if old && !select.exists([generation as i64])? {
                // One that cannot be removed is met again in the next round.
                drop(shard.remove(&name));
            }
        }
        Ok(())
    }

    fn next_shard(&mut self, database: &Database) -> Option<Dir> {
        (0..=u8::MAX).find_map(|_| {
            self.shard = self.shard.wrapping_add(1);
            database.home.dir.child(&blob::shard(self.shard)).ok()
        })
    }
}

impl Chores {
    pub(crate) fn is_empty(&self) -> bool {
        self.expired.is_empty() && !self.versions && self.used.is_empty()
    }

    pub(crate) fn run(self, work: &mut Work<'_>) -> Result<(), Fault> {
        for (head, marked) in self.expired {
            // It was found outside this transaction: it may have been stored anew since.
            if work.is_still(&head)? {
                work.delete(&head, marked.as_deref())?;
            }
        }
        if self.versions {
            version::sweep(work.connection, VERSIONS, work.now)?;
        }
        work.move_to_end(&self.used)
    }
}

fn set_range(connection: &Connection, touched: &Touched) -> Result<(), Fault> {
    // Two selects: SQLite answers one that has both by reading the whole table.
    let mut select = connection
        .prepare_cached("SELECT ifnull((SELECT min(id) FROM entry), 0), ifnull((SELECT max(id) FROM entry), 0)")?;
    let (low, high) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    touched.set_range(low, high);
    Ok(())
}
