//! Counters of groups.
//!
//! A row that does not match its checksum counts as missing, see [`checked`](crate::checked): the group gets a new
//! random base, under which no entry was stored. Its deadline is not sealed: one that is too late does no harm, and
//! with one that is too early the version is lost.

use std::time::Duration;

use retainit_plugin::{GroupVersion, Strength};
use rusqlite::{Connection, params};

use crate::blob;
use crate::checked;
use crate::fault::Fault;
use crate::known::Lasting;

/// Milliseconds for which a version is kept when no entry needs it longer: longer than any load.
const LIFE: i64 = 3_600_000;

/// Largest time by which a version is extended beyond need, so that not every store writes it.
const SLACK: i64 = Duration::from_hours(24).as_millis() as i64;

/// Bound below which counters begin.
const BASE_LIMIT: u64 = 1 << 52;

/// Returns the version of a group, if it has one.
pub(crate) fn find(connection: &Connection, group: &str, now: i64) -> rusqlite::Result<Option<Lasting>> {
    let mut select =
        connection.prepare_cached("SELECT hard, soft, deadline, sum FROM version WHERE name = ?1 AND deadline > ?2")?;
    let mut rows = select.query(params![group, now])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (hard, soft): (i64, i64) = (row.get(0)?, row.get(1)?);
    if checked::seal(group, [hard, soft]) != row.get::<_, i64>(3)? {
        return Ok(None);
    }
    Ok(Some(Lasting { version: GroupVersion { hard: hard as u64, soft: soft as u64 }, deadline: row.get(2)? }))
}

/// Returns the version of a group, which gets one if it has none.
pub(crate) fn find_or_create(connection: &Connection, group: &str, now: i64) -> Result<GroupVersion, Fault> {
    if let Some(found) = find(connection, group, now)? {
        return Ok(found.version);
    }
    let version = random();
    write(connection, group, version, now.saturating_add(LIFE))?;
    Ok(version)
}

/// Draws a version that nobody has seen.
fn random() -> GroupVersion {
    GroupVersion { hard: blob::random() % BASE_LIMIT, soft: blob::random() % BASE_LIMIT }
}

/// Puts a version in, and invalidates the versions that processes remember.
fn write(connection: &Connection, group: &str, version: GroupVersion, deadline: i64) -> Result<(), Fault> {
    let (hard, soft) = (version.hard as i64, version.soft as i64);
    let sum = checked::seal(group, [hard, soft]);
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO version VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![group, hard, soft, deadline, sum])?;
    let stamp = blob::random() as i64;
    match connection.prepare_cached("UPDATE meta SET raised = ?1 WHERE id = 1")?.execute([stamp])? {
        0 => Err(rusqlite::Error::QueryReturnedNoRows.into()),
        _ => Ok(()),
    }
}

/// Raises a counter.
pub(crate) fn raise(connection: &Connection, group: &str, strength: Strength, now: i64) -> Result<GroupVersion, Fault> {
    let life = now.saturating_add(LIFE);
    let (GroupVersion { hard, soft }, deadline) = match find(connection, group, now)? {
        Some(found) => (found.version, found.deadline.max(life)),
        None => (random(), life),
    };
    let raised = match strength {
        Strength::Hard => GroupVersion { hard: hard + 1, soft },
        Strength::Soft => GroupVersion { hard, soft: soft + 1 },
    };
    write(connection, group, raised, deadline)?;
    Ok(raised)
}

/// Keeps a version as long as an entry that carries it. One that is lost stays so: the entry is refused anyway.
pub(crate) fn extend(connection: &Connection, group: &str, deadline: i64, now: i64) -> rusqlite::Result<()> {
    let slack = (deadline.saturating_sub(now) / 4).clamp(0, SLACK);
    let mut update = connection
        .prepare_cached("UPDATE version SET deadline = ?2 WHERE name = ?1 AND deadline < ?3 AND deadline > ?4")?;
    update.execute(params![group, deadline.saturating_add(slack), deadline, now]).map(drop)
}

/// Deletes some expired versions.
pub(crate) fn sweep(connection: &Connection, limit: usize, now: i64) -> rusqlite::Result<usize> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM version WHERE name IN (SELECT name FROM version WHERE deadline <= ?1 ORDER BY deadline LIMIT ?2)",
    )?;
    delete.execute(params![now, limit as i64])
}

/// Returns whether there is an expired version.
pub(crate) fn is_any_expired(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT 1 FROM version WHERE deadline <= ?1 LIMIT 1")?;
    select.exists([now])
}

/// Deletes the versions that would expire first: entries that depend on them become misses.
pub(crate) fn evict(connection: &Connection, limit: usize) -> rusqlite::Result<usize> {
    sweep(connection, limit, i64::MAX)
}
