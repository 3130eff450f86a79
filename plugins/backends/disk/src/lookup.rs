//! Reads.

use std::io;

use retainit_plugin::{Bytes, Error, ErrorKind, Fence, GroupVersions, Read, Snapshot, WantedFence};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::blob;
use crate::database::{Database, Notice, Reader};
use crate::entry::{Body, Head, checksum};
use crate::fault::{self, Fault};
use crate::known::Known;
use crate::stripe;
use crate::version;
use crate::write;

/// Number of times a read begins again while others replace what it finds.
const ATTEMPTS: usize = 16;

/// Always has a first row: while it is not read on, everything else that is read on the connection is as of one
/// instant.
const SLOT: &str =
    "SELECT id,gen,deadline,blob,sum,value FROM entry WHERE key=?1 UNION ALL VALUES(NULL,0,0,NULL,0,NULL)";

/// Contents of a slot, as of one instant.
#[derive(Debug)]
struct ReadMode {
    entry: Option<Seen>,
    fence: Option<Fence>,
    versions: GroupVersions,
}

#[derive(Debug)]
struct Seen {
    head: Head,
    sum: i64,
    body: Body,
}

/// Reads a slot, see [`LocalBackend::read`](retainit_plugin::LocalBackend::read). Nothing is written, unless a fence is
/// taken and a group has no version yet, or an entry turns out to be damaged.
pub(crate) fn read(database: &Database, key: &str, read: Read<'_>) -> Result<Snapshot, Fault> {
    let now = database.now();
    let mut without_file = None;
    for _ in 0..ATTEMPTS {
        let look = database.reading(|reader| look(reader, key, &read, now, database.home.salt()))?;
        if matches!(read.fence, WantedFence::Take(_)) && look.versions.contains(&None) {
            create_versions(database, read.groups)?;
            continue;
        }
        let Some(seen) = look.entry else {
            return Ok(Snapshot::new(None, look.fence, look.versions));
        };
        let head = seen.head;
        match bytes_of(database, key, seen) {
            Ok(Some(bytes)) => {
                if !read.unnoticed {
                    used(database, head.id);
                }
                return Ok(Snapshot::new(Some(bytes), look.fence, look.versions).verified());
            }
            // Another entry took its place after the look; if not, the file is lost.
            Err(error) if error.kind() == io::ErrorKind::NotFound && without_file != Some(head.generation) => {
                without_file = Some(head.generation);
                continue;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fault::at(database.home.dir.path(), error).into());
            }
            Ok(None) | Err(_) => {}
        }
        tell_damage(database, key);
        // Without the row the slot has another fence: it is read once more.
        if write::discard(database, key, &head).is_err() {
            return Ok(Snapshot::new(None, look.fence, look.versions));
        }
    }
    Err(Error::new(ErrorKind::Backend, "the entry is replaced faster than it can be read").into())
}

fn used(database: &Database, id: i64) {
    database.touched.note(id);
    if database.touched.is_due(&*database.engine.clock) {
        database.write_touched();
    }
}

/// Looks a key up in one transaction.
fn look(reader: &mut Reader, key: &str, read: &Read<'_>, now: i64, salt: u64) -> Result<ReadMode, Fault> {
    let Reader { connection, known, .. } = reader;
    let mut select = connection.prepare_cached(SLOT)?;
    let mut rows = select.query([key])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let found = Seen::of(row)?;
    let (fence, raised) = match &found {
        _ if read.fence == WantedFence::None => (None, None),
        Some(seen) if !seen.head.is_empty(now) => (Some(seen.head.fence()), None),
        _ => {
            let (counter, raised) = stripe::counter_and_raised(connection, key)?;
            (Some(stripe::of_counter(counter, salt)), Some(raised))
        }
    };
    let versions = versions(connection, known, raised, read.groups, now)?;
    Ok(ReadMode { entry: found.filter(|seen| seen.head.is_live(now)), fence, versions })
}

/// Returns the versions of groups, in a transaction that has not raised one. `raised` is what `meta` contains, where
/// that was read.
pub(crate) fn versions(
    connection: &Connection,
    known: &mut Known,
    raised: Option<i64>,
    groups: &[&str],
    now: i64,
) -> Result<GroupVersions, Fault> {
    if groups.is_empty() {
        return Ok(GroupVersions::new());
    }
    known.catch_up(connection, raised)?;
    if let Some(versions) = known.versions(groups, now) {
        return Ok(versions);
    }
    let mut versions = GroupVersions::with_capacity(groups.len());
    for group in groups {
        let found = version::find(connection, group, now)?;
        if let Some(lasting) = found {
            known.learn(group, lasting);
        }
        versions.push(found.map(|lasting| lasting.version));
    }
    Ok(versions)
}

impl Seen {
    /// Reads a row of [`SLOT`]; `None` from the last.
    fn of(row: &Row<'_>) -> rusqlite::Result<Option<Seen>> {
        let Some(id) = row.get(0)? else { return Ok(None) };
        let generation: i64 = row.get(1)?;
        let (blob, body) = match row.get_ref(5)? {
            ValueRef::Null => {
                let len: i64 = row.get(3)?;
                (Some(len), Body::File(u64::try_from(len).unwrap_or(u64::MAX)))
            }
            value => (None, Body::Row(Bytes::copy_from_slice(value.as_blob()?))),
        };
        let head = Head { id, generation: generation as u64, deadline: row.get(2)?, blob };
        Ok(Some(Seen { head, sum: row.get(4)?, body }))
    }
}

/// Returns the bytes of an entry; `None` if they are not those that were stored.
fn bytes_of(database: &Database, key: &str, seen: Seen) -> io::Result<Option<Bytes>> {
    let Head { generation, deadline, .. } = seen.head;
    let bytes = match seen.body {
        Body::Row(bytes) => Some(bytes),
        Body::File(len) => blob::read(&database.home.dir, generation, len)?,
    };
    Ok(bytes.filter(|bytes| checksum(key, generation, deadline, bytes) == seen.sum))
}

fn create_versions(database: &Database, groups: &[&str]) -> Result<(), Fault> {
    database.writing(|work| {
        groups.iter().try_for_each(|group| version::find_or_create(work.connection, group, work.now).map(drop))
    })
}

fn tell_damage(database: &Database, key: &str) {
    let error = Error::new(ErrorKind::Backend, "an entry was damaged on the disk and is taken for missing");
    database.tell(&Notice::Failed("read", error.with_context("key", key)));
}
