//! Stores, removals and raised versions, each one transaction.

use std::time::Duration;

use retainit_plugin::{Bytes, Error, ErrorKind, GroupVersions, Seal, StoreCondition, StoreOptions, Stored};
use rusqlite::{Connection, OptionalExtension, params};

use crate::blob;
use crate::bounds::{self, Bounds};
use crate::connection::Transaction;
use crate::database::Database;
use crate::entry::{Head, MARK, checksum};
use crate::fault::{self, Fault};
use crate::known::Known;
use crate::lookup;
use crate::stripe;
use crate::version;

/// Work on the writer's connection, in a transaction or about to begin one.
pub(crate) struct Work<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) database: &'a Database,
    pub(crate) bounds: &'a mut Bounds,
    known: &'a mut Known,
    pub(crate) now: i64,
    after: After,
}

/// Changes of a transaction, and the work that is left once it is committed.
#[derive(Debug, Default)]
pub(crate) struct After {
    entries: i64,
    blob_bytes: i64,
    files: Vec<u64>,
    evicted: Vec<String>,
}

impl After {
    pub(crate) fn settle(self, database: &Database, bounds: &mut Bounds) {
        bounds.committed(self.entries, self.evicted);
        for generation in self.files {
            blob::remove(&database.home.dir, generation);
        }
    }
}

/// An entry on its way in.
struct New<'a> {
    key: &'a str,
    bytes: &'a [u8],
    generation: u64,
    deadline: i64,
}

impl New<'_> {
    fn is_blob(&self) -> bool {
        self.bytes.len() >= blob::LEAST
    }
}

/// Stores an entry, see [`LocalBackend::store`](retainit_plugin::LocalBackend::store).
pub(crate) fn store(database: &Database, key: &str, entry: &Bytes, terms: &StoreOptions<'_>) -> Result<Stored, Fault> {
    let most = database.options.max_bytes;
    if entry.len() as u64 > most {
        if terms.when == StoreCondition::Always {
            remove(database, key)?;
        }
        let problem = format!("an entry of {} bytes is larger than max_bytes, {most}", entry.len());
        return Err(Error::new(ErrorKind::Unsupported, problem).into());
    }
    let mut new = New { key, bytes: entry, generation: blob::random(), deadline: deadline(database.now(), terms.ttl) };
    if new.is_blob() {
        blob::write(&database.home.dir, new.generation, entry, database.options.sync)?;
    }
    let stored = database.working(|work| {
        terms.check()?;
        if work.fill_at_once(&new, terms)? {
            Ok(Stored::Yes)
        } else {
            work.transact(|work| work.store(&mut new, terms))
        }
    });
    if new.is_blob() && !matches!(stored, Ok(Stored::Yes)) {
        blob::remove(&database.home.dir, new.generation);
    }
    stored
}

/// Stores an entry that contains the versions of its groups, see
/// [`LocalBackend::store_with`](retainit_plugin::LocalBackend::store_with). One that is too large for a row is stored
/// by a second transaction: nobody else waits for its file to be written.
pub(crate) fn store_with(
    database: &Database,
    key: &str,
    seal: &mut Seal<'_>,
    terms: &StoreOptions<'_>,
) -> Result<Stored, Fault> {
    let (generation, deadline) = (blob::random(), deadline(database.now(), terms.ttl));
    let stored = database.writing(|work| {
        let bytes = seal(&work.versions(terms.groups)?)?;
        let mut new = New { key, bytes: &bytes, generation, deadline };
        if new.is_blob() || bytes.len() as u64 > database.options.max_bytes {
            return Ok(Err(bytes));
        }
        work.store(&mut new, terms).map(Ok)
    });
    stored?.or_else(|bytes| store(database, key, &bytes, terms))
}

/// Checks that rows and files can be written and read. The row comes and goes in one transaction, so that nobody sees
/// it, and nothing is evicted for it.
pub(crate) fn try_out(database: &Database, key: &str) -> Result<(), Fault> {
    let (bytes, generation) = ([b'.'; 4096], blob::random());
    let new = New { key, bytes: &bytes, generation, deadline: database.now() };
    blob::write(&database.home.dir, generation, &bytes, database.options.sync)?;
    let read = blob::read(&database.home.dir, generation, bytes.len() as u64);
    blob::remove(&database.home.dir, generation);
    let is_there =
        read.map_err(|error| fault::at(database.home.dir.path(), error))?.is_some_and(|found| *found == bytes);
    let is_kept = database.writing(|work| {
        work.insert(&new)?;
        let Some(head) = work.head(key)? else { return Ok(false) };
        work.delete(&head, None)?;
        Ok(head.generation == generation)
    })?;
    match is_there && is_kept {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Backend, "what was stored a moment ago is not there").into()),
    }
}

/// Empties a slot and breaks its fence.
pub(crate) fn remove(database: &Database, key: &str) -> Result<bool, Fault> {
    database.writing(|work| work.remove(key))
}

/// Empties several slots and breaks their fences. Returns how many entries were in them.
pub(crate) fn remove_many(database: &Database, keys: &[&str]) -> Result<u64, Fault> {
    database.writing(|work| keys.iter().try_fold(0, |removed, key| Ok(removed + u64::from(work.remove(key)?))))
}

/// Empties the slot of a key that still holds `damaged`.
pub(crate) fn discard(database: &Database, key: &str, damaged: &Head) -> Result<(), Fault> {
    database.writing(|work| if work.is_still(damaged)? { work.delete(damaged, Some(key)) } else { Ok(()) })
}

fn deadline(now: i64, ttl: Option<Duration>) -> i64 {
    let Some(ttl) = ttl else { return i64::MAX };
    let millis = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
    now.saturating_add(millis).min(i64::MAX - 1)
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        database: &'a Database,
        known: &'a mut Known,
        bounds: &'a mut Bounds,
    ) -> Work<'a> {
        Work { connection, database, bounds, known, now: database.now(), after: After::default() }
    }

    /// Runs `work` in one transaction.
    pub(crate) fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = Transaction::begin(self.connection)?;
        let done = work(self)?;
        if self.after.blob_bytes != 0 {
            bounds::add_blobs(self.connection, self.after.blob_bytes)?;
        }
        transaction.commit()?;
        Ok(done)
    }

    pub(crate) fn into_after(self) -> After {
        self.after
    }

    /// Returns the change of the number of entries by this transaction so far.
    pub(crate) fn entries_changed(&self) -> i64 {
        self.after.entries
    }

    /// Returns the change of the bytes of blob files by this transaction.
    pub(crate) fn blob_bytes(&self) -> i64 {
        self.after.blob_bytes
    }

    /// Returns the versions of groups; those without one get one.
    fn versions(&mut self, groups: &[&str]) -> Result<GroupVersions, Fault> {
        let versions = lookup::versions(self.connection, self.known, None, groups, self.now)?;
        if !versions.contains(&None) {
            return Ok(versions);
        }
        // Not remembered: this transaction may be rolled back.
        groups.iter().map(|group| version::find_or_create(self.connection, group, self.now).map(Some)).collect()
    }

    /// Stores a loaded entry into an empty slot, if nothing else has to be done: no version to extend, no file, no room
    /// to make, no order to keep. One statement, which is a transaction of its own; false if it has to be looked
    /// closer.
    fn fill_at_once(&mut self, new: &New<'_>, terms: &StoreOptions<'_>) -> Result<bool, Fault> {
        let StoreCondition::Fenced(fence) = terms.when else { return Ok(false) };
        let Some(counter) = stripe::counter_of(fence, self.database.home.salt()) else { return Ok(false) };
        let Database { options, touched, .. } = self.database;
        let lives = |group: &&str| self.known.lives(group, new.deadline);
        let has_room = self.bounds.has_room(options, new.bytes.len()) && !touched.is_worth();
        if new.is_blob() || !has_room || !terms.groups.iter().all(lives) {
            return Ok(false);
        }
        // An expired entry without a mark and without a file leaves its slot empty, see `stripe`.
        let mut fill = self.connection.prepare_cached(
            "INSERT INTO entry SELECT NULL, ?1, ?2, ?3, ?4, NULL, ?5 FROM stripe WHERE id = ?6 AND gen = ?7
             ON CONFLICT (key) DO UPDATE
             SET gen = excluded.gen, deadline = excluded.deadline, sum = excluded.sum, value = excluded.value
             WHERE deadline <= ?8 AND gen & 3 = 0 AND blob IS NULL",
        )?;
        let (sum, _, value) = columns(new);
        let (generation, stripe) = (new.generation as i64, stripe::of(new.key));
        if fill.execute(params![new.key, generation, new.deadline, sum, value, stripe, counter, self.now])? == 0 {
            return Ok(false);
        }
        touched.set_high(self.connection.last_insert_rowid());
        bounds::keep(self, new.bytes.len() as u64)?;
        Ok(true)
    }

    /// Stores an entry. Everything from here on happens under the write lock.
    fn store(&mut self, new: &mut New<'_>, terms: &StoreOptions<'_>) -> Result<Stored, Fault> {
        terms.check()?;
        let (old, holds) = match terms.when {
            StoreCondition::Fenced(fence) => {
                let (old, counter) = self.head_and_counter(new.key)?;
                let empty = stripe::of_counter(counter, self.database.home.salt());
                (old, stripe::holds(old.as_ref(), empty, fence, self.now))
            }
            StoreCondition::Always => (self.head(new.key)?, true),
            StoreCondition::Absent => {
                let old = self.head(new.key)?;
                (old, !old.is_some_and(|old| old.is_live(self.now)))
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, "unknown condition of a store").into()),
        };
        if !holds {
            return Ok(Stored::Refused);
        }
        if !matches!(terms.when, StoreCondition::Fenced(_)) || old.is_some_and(|old| old.is_marked()) {
            new.generation |= MARK;
        }
        match old {
            Some(old) => self.replace(&old, new)?,
            None => self.insert(new)?,
        }
        for group in terms.groups {
            if !self.known.lives(group, new.deadline) {
                version::extend(self.connection, group, new.deadline, self.now)?;
                self.known.forget(group);
            }
        }
        bounds::keep(self, new.bytes.len() as u64)?;
        Ok(Stored::Yes)
    }

    fn insert(&mut self, new: &New<'_>) -> Result<(), Fault> {
        let mut insert = self.connection.prepare_cached("INSERT INTO entry VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)")?;
        let (sum, blob, value) = columns(new);
        insert.execute(params![new.key, new.generation as i64, new.deadline, sum, blob, value])?;
        self.database.touched.set_high(self.connection.last_insert_rowid());
        self.after.entries += 1;
        self.after.blob_bytes += blob.unwrap_or(0);
        Ok(())
    }

    fn replace(&mut self, old: &Head, new: &New<'_>) -> Result<(), Fault> {
        let mut update = self.connection.prepare_cached(
            "UPDATE entry SET gen = ?2, deadline = ?3, sum = ?4, blob = ?5, value = ?6 WHERE id = ?1",
        )?;
        let (sum, blob, value) = columns(new);
        update.execute(params![old.id, new.generation as i64, new.deadline, sum, blob, value])?;
        self.database.touched.note(old.id);
        self.forget_file(old);
        self.after.blob_bytes += blob.unwrap_or(0);
        Ok(())
    }

    /// Returns the row of a key without its bytes.
    fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        let mut select = self.connection.prepare_cached("SELECT id, gen, deadline, blob FROM entry WHERE key = ?1")?;
        Ok(select.query_row([key], Head::of).optional()?)
    }

    /// Returns the row of a key without its bytes, and the counter of its stripe.
    fn head_and_counter(&self, key: &str) -> Result<(Option<Head>, i64), Fault> {
        let mut select = self.connection.prepare_cached(
            "SELECT e.id, e.gen, e.deadline, e.blob, s.gen FROM stripe s LEFT JOIN entry e ON e.key = ?1
             WHERE s.id = ?2",
        )?;
        let found = select.query_row(params![key, stripe::of(key)], |row| {
            let there = row.get::<_, Option<i64>>(0)?.is_some();
            Ok((if there { Some(Head::of(row)?) } else { None }, row.get(4)?))
        })?;
        Ok(found)
    }

    /// Returns the entries that go first, with their keys and what each takes.
    pub(crate) fn oldest(&self, limit: usize) -> Result<Vec<(Head, String, u64)>, Fault> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, gen, deadline, blob, key, length(key) + ifnull(blob, length(value)) FROM entry
             ORDER BY id LIMIT ?1",
        )?;
        let rows = select.query_map([limit as i64], |row| {
            let size: Option<i64> = row.get(5)?;
            Ok((Head::of(row)?, row.get(4)?, u64::try_from(size.unwrap_or(0)).unwrap_or_default()))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Returns whether a row is as it was when it was found.
    pub(crate) fn is_still(&self, head: &Head) -> Result<bool, Fault> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM entry WHERE id = ?1 AND gen = ?2")?;
        Ok(select.exists(params![head.id, head.generation as i64])?)
    }

    /// Empties a slot and breaks its fence.
    fn remove(&mut self, key: &str) -> Result<bool, Fault> {
        stripe::renew(self.connection, key)?;
        let Some(head) = self.head(key)? else { return Ok(false) };
        self.delete(&head, None)?;
        Ok(head.is_live(self.now))
    }

    /// Deletes a row; its file goes when the transaction is committed. `marked` is its key, if that is known and the
    /// fence of the empty slot may have to be broken.
    pub(crate) fn delete(&mut self, head: &Head, marked: Option<&str>) -> Result<(), Fault> {
        self.connection.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([head.id])?;
        if let Some(key) = marked.filter(|_| head.is_marked()) {
            stripe::renew(self.connection, key)?;
        }
        self.after.entries -= 1;
        self.forget_file(head);
        Ok(())
    }

    /// Deletes a row for lack of room, and reports it if its entry could still be served.
    pub(crate) fn evict(&mut self, head: &Head, key: String) -> Result<(), Fault> {
        self.delete(head, Some(&key))?;
        if head.is_live(self.now) {
            self.after.evicted.push(key);
        }
        Ok(())
    }

    fn forget_file(&mut self, head: &Head) {
        if let Some(len) = head.blob {
            self.after.blob_bytes -= len;
            self.after.files.push(head.generation);
        }
    }

    /// Puts entries at the end of the order: the last used.
    pub(crate) fn move_to_end(&mut self, ids: &[i64]) -> Result<(), Fault> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE entry SET id = (SELECT max(id) FROM entry) + 1 WHERE id = ?1 RETURNING id")?;
        for id in ids {
            // One that has gone meanwhile needs no place.
            if let Some(high) = update.query_row([id], |row| row.get(0)).optional()? {
                self.database.touched.set_high(high);
            }
        }
        Ok(())
    }
}

/// Returns checksum, length of the file and bytes of the row.
fn columns<'a>(new: &New<'a>) -> (i64, Option<i64>, Option<&'a [u8]>) {
    let sum = checksum(new.key, new.generation, new.deadline, new.bytes);
    if new.is_blob() { (sum, Some(new.bytes.len() as i64), None) } else { (sum, None, Some(new.bytes)) }
}
