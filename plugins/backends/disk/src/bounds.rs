//! Bounds the size of the database, and selects the entries that are evicted beyond it.

use rusqlite::Connection;

use crate::checked;
use crate::database::{Notice, Options};
use crate::fault::Fault;
use crate::touched::Touched;
use crate::version;
use crate::write::Work;

/// Rows that one store evicts or moves at most: a bound that was lowered is reached over several stores.
const MOST: usize = 512;
const BATCH: usize = 16;

/// A process's view of how much of the database is used.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// Bytes written since the use was last looked at.
    unchecked: u64,
    /// The number of entries, where that is bounded.
    count: Option<Count>,
    bytes: Gauge,
    entries: Gauge,
    notices: Vec<Notice>,
}

/// Fill level of one bound.
#[derive(Debug, Default)]
struct Gauge {
    was_near: bool,
}

/// Entries, and what the database's own counter of foreign commits was then.
#[derive(Clone, Copy, Debug)]
struct Count {
    entries: i64,
    commits: i64,
    /// Number of our own entries that may come in before those of other processes are counted.
    credit: i64,
}

impl Bounds {
    /// Looks at the use without changing anything.
    pub(crate) fn look(&mut self, connection: &Connection, options: &Options, touched: &Touched) -> Result<(), Fault> {
        let used = pages(connection)? + blobs(connection)?;
        self.notices.extend(self.bytes.show(used, options.max_bytes, touched));
        Ok(())
    }

    /// Takes the notices that have gathered since the last call.
    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Returns whether `bytes` may come in without reading the use, and entries without being counted.
    pub(crate) fn has_room(&self, options: &Options, bytes: usize) -> bool {
        options.max_entries.is_none() && self.unchecked + entry(bytes as u64) < unchecked_at_most(options)
    }

    /// Notes a committed transaction that changed the number of entries and evicted some.
    pub(crate) fn committed(&mut self, entries: i64, evicted: Vec<String>) {
        self.notices.extend(evicted.into_iter().map(Notice::Evicted));
        if let Some(count) = &mut self.count {
            count.entries += entries;
            count.credit -= entries.max(0);
        }
    }
}

impl Gauge {
    /// Notes how much is used; returns a notice if one is due.
    fn show(&mut self, used: u64, capacity: u64, touched: &Touched) -> Option<Notice> {
        if used > capacity / 2 {
            touched.set_worth(true);
        }
        let is_near = used >= capacity - capacity / 10;
        let was_near = std::mem::replace(&mut self.was_near, is_near);
        (is_near && !was_near).then_some(Notice::NearCapacity(used, capacity))
    }
}

/// Evicts entries to make room for a store of `bytes`.
pub(crate) fn keep(work: &mut Work<'_>, bytes: u64) -> Result<(), Fault> {
    let options = work.database.options;
    work.bounds.unchecked += entry(bytes);
    if work.bounds.unchecked >= unchecked_at_most(&options) {
        work.bounds.unchecked = 0;
        let used = evict(work, |work| excess_bytes(work, options.max_bytes), |size| size)?;
        let near = work.bounds.bytes.show(used, options.max_bytes, &work.database.touched);
        work.bounds.notices.extend(near);
    }
    if let Some(most) = options.max_entries {
        recount(work, most)?;
        let used = evict(work, |work| Ok((work.entries(), work.entries().saturating_sub(most))), |_| 1)?;
        let near = work.bounds.entries.show(used, most, &work.database.touched);
        work.bounds.notices.extend(near);
    }
    Ok(())
}

/// Estimates the size of an entry of so many bytes.
fn entry(bytes: u64) -> u64 {
    bytes + 128
}

/// Returns the number of written bytes after which the use is read.
fn unchecked_at_most(options: &Options) -> u64 {
    (options.max_bytes / 256).min(1 << 20)
}

/// Evicts until `over`, which returns use and excess, reports that it is enough. The weight of a row, by its size, is
/// in the unit of the excess. Gives the use in the end.
fn evict(
    work: &mut Work<'_>,
    over: impl Fn(&Work<'_>) -> Result<(u64, u64), Fault>,
    weight: fn(u64) -> u64,
) -> Result<u64, Fault> {
    let mut steps = 0;
    loop {
        let (used, excess) = over(work)?;
        if excess == 0 || steps >= MOST {
            return Ok(used);
        }
        let oldest = work.oldest(BATCH)?;
        if oldest.is_empty() {
            version::evict(work.connection, BATCH)?;
            steps += BATCH;
            continue;
        }
        let mut freed = 0;
        for (head, key, size) in oldest {
            steps += 1;
            if work.database.touched.take(head.id) {
                work.move_to_end(&[head.id])?;
                continue;
            }
            work.evict(&head, key)?;
            freed += weight(size);
            if freed >= excess {
                break;
            }
        }
    }
}

fn excess_bytes(work: &Work<'_>, most: u64) -> Result<(u64, u64), Fault> {
    let blobs = blobs(work.connection)?.saturating_add_signed(work.blob_bytes());
    let used = pages(work.connection)? + blobs;
    Ok((used, used.saturating_sub(most)))
}

/// Returns the bytes of the pages in use. What a page has free counts as used: it is, on the disk.
fn pages(connection: &Connection) -> Result<u64, Fault> {
    let ask = |pragma| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
    let (all, free) = (ask("PRAGMA page_count")?, ask("PRAGMA freelist_count")?);
    let size = ask("PRAGMA page_size")?;
    Ok(u64::try_from((all - free) * size).unwrap_or_default())
}

/// Returns the bytes of the blob files.
fn blobs(connection: &Connection) -> Result<u64, Fault> {
    let mut select = connection.prepare_cached("SELECT blob_bytes, sum FROM meta WHERE id = 1")?;
    let (bytes, sum): (i64, i64) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bytes = if sum == seal(bytes) { bytes } else { count_blobs(connection)? };
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// Counts the blobs by the entries: the stored number is damaged.
fn count_blobs(connection: &Connection) -> Result<i64, Fault> {
    let mut select = connection.prepare_cached("SELECT total(blob) FROM entry WHERE blob IS NOT NULL")?;
    let bytes: f64 = select.query_row([], |row| row.get(0))?;
    Ok(bytes as i64)
}

/// Keeps the bytes of blob files, by which the transaction that is open has changed them.
pub(crate) fn add_blobs(connection: &Connection, changed: i64) -> Result<(), Fault> {
    let mut select = connection.prepare_cached("SELECT blob_bytes, sum FROM meta WHERE id = 1")?;
    let (bytes, sum): (i64, i64) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bytes = match sum == seal(bytes) {
        true => bytes.saturating_add(changed).max(0),
        // The entries are as they will be.
        false => count_blobs(connection)?,
    };
    let mut update = connection.prepare_cached("UPDATE meta SET blob_bytes = ?1, sum = ?2 WHERE id = 1")?;
    Ok(update.execute([bytes, seal(bytes)]).map(drop)?)
}

/// Returns the checksum of `meta.blob_bytes`.
pub(crate) fn seal(bytes: i64) -> i64 {
    checked::seal("blob_bytes", [bytes, 0])
}

/// Counts the entries, when others may have come in.
fn recount(work: &mut Work<'_>, most: u64) -> Result<(), Fault> {
    let mut commits = work.connection.prepare_cached("PRAGMA data_version")?;
    let commits: i64 = commits.query_row([], |row| row.get(0))?;
    if work.bounds.count.is_some_and(|count| count.commits == commits || count.credit > 0) {
        return Ok(());
    }
    let mut count = work.connection.prepare_cached("SELECT count(*) FROM entry")?;
    let entries: i64 = count.query_row([], |row| row.get(0))?;
    // What this transaction has changed already is in the table, and added again when it is committed.
    let entries = entries - work.entries_changed();
    let credit = i64::try_from(most / 64).unwrap_or(i64::MAX);
    work.bounds.count = Some(Count { entries, commits, credit });
    Ok(())
}

impl Work<'_> {
    /// Returns the number of entries as this transaction leaves it; zero where that is not bounded.
    fn entries(&self) -> u64 {
        let counted = self.bounds.count.map_or(0, |count| count.entries);
        u64::try_from(counted + self.entries_changed()).unwrap_or_default()
    }
}
