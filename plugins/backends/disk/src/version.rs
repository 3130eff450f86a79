//! Counters of groups.

use std::time::Duration;

use retainit_plugin::{Group, Strength, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::known::Lasting;

/// How long a version lives when no entry needs it longer: longer than any load.
const LIFE: i64 = 3_600_000;

/// By how much more than needed a version is extended, at most, so that not every store writes it.
const SLACK: i64 = Duration::from_hours(24).as_millis() as i64;

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let (hard, soft): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(Version { hard: hard as u64, soft: soft as u64 })
}

/// The version of a group, if it has one.
pub(crate) fn find(connection: &Connection, group: &Group, now: i64) -> rusqlite::Result<Option<Lasting>> {
    let mut select =
        connection.prepare_cached("SELECT hard, soft, deadline FROM version WHERE name = ?1 AND deadline > ?2")?;
    let lasting = |row: &Row<'_>| Ok(Lasting { version: version(row)?, deadline: row.get(2)? });
    select.query_row(params![group.as_str(), now], lasting).optional()
}

/// Gives a group a version if it has none, at random bases below 2^52.
pub(crate) fn create(connection: &Connection, group: &Group, now: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO version VALUES (?1, abs(random() % 4503599627370496), abs(random() % 4503599627370496), ?2)
         ON CONFLICT (name) DO UPDATE SET hard = excluded.hard, soft = excluded.soft, deadline = excluded.deadline
         WHERE deadline <= ?3",
    )?;
    let created = insert.execute(params![group.as_str(), now.saturating_add(LIFE), now])?;
    if created > 0 { count(connection) } else { Ok(()) }
}

/// Makes what processes remember of versions invalid.
fn count(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE meta SET raised = raised + 1 WHERE id = 1")?.execute([]).map(drop)
}

/// Raises a counter.
pub(crate) fn raise(connection: &Connection, group: &Group, strength: Strength, now: i64) -> rusqlite::Result<Version> {
    create(connection, group, now)?;
    let (hard, soft) = match strength {
        Strength::Hard => (1, 0),
        Strength::Soft => (0, 1),
    };
    let mut update = connection.prepare_cached(
        "UPDATE version SET hard = hard + ?2, soft = soft + ?3, deadline = max(deadline, ?4) WHERE name = ?1
         RETURNING hard, soft",
    )?;
    count(connection)?;
    update.query_row(params![group.as_str(), hard, soft, now.saturating_add(LIFE)], version)
}

/// Lets a version live as long as an entry that carries it. One that is lost stays so: the entry is refused anyway.
pub(crate) fn extend(connection: &Connection, group: &Group, deadline: i64, now: i64) -> rusqlite::Result<()> {
    let slack = (deadline.saturating_sub(now) / 4).clamp(0, SLACK);
    let mut update = connection
        .prepare_cached("UPDATE version SET deadline = ?2 WHERE name = ?1 AND deadline < ?3 AND deadline > ?4")?;
    update.execute(params![group.as_str(), deadline.saturating_add(slack), deadline, now]).map(drop)
}

/// Deletes some expired versions.
pub(crate) fn sweep(connection: &Connection, limit: usize, now: i64) -> rusqlite::Result<usize> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM version WHERE name IN (SELECT name FROM version WHERE deadline <= ?1 ORDER BY deadline LIMIT ?2)",
    )?;
    delete.execute(params![now, limit as i64])
}

/// Whether there is an expired version.
pub(crate) fn is_any_expired(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT 1 FROM version WHERE deadline <= ?1 LIMIT 1")?;
    select.exists([now])
}

/// Deletes the versions that would expire first: what depends on them becomes a miss.
pub(crate) fn evict(connection: &Connection, limit: usize) -> rusqlite::Result<usize> {
    sweep(connection, limit, i64::MAX)
}
