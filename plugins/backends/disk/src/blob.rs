//! Entries of 64 KiB and more, each in a file of its own.
//!
//! A file is called after the generation of its entry, which never occurs twice: it is written once, and its row is
//! committed after that, so nobody looks for it before it is complete. A row is deleted before its file. So a file
//! without a row is rubbish, and a row whose file is missing, short or changed is a miss.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};

use retainit_plugin::{Bytes, Result};

use crate::SyncMode;
use crate::dir::{Dir, is_foreign};
use crate::entry::MARK;
use crate::fault;

/// The folder of blobs in that of their database. It has 256 folders, made when they are needed.
pub(crate) const FOLDER: &str = "blobs";

/// Smallest size of a blob.
pub(crate) const LEAST: usize = 64 << 10;

/// Draws a number that never occurs twice, positive in SQLite's integers and without [`MARK`].
pub(crate) fn random() -> u64 {
    // A state's keys are the system's random numbers, and another state of the thread has other keys. A forked child
    // has its parent's: its number distinguishes it.
    RandomState::new().hash_one(std::process::id()) >> 2 & !MARK
}

/// Returns the name of one of the 256 folders.
pub(crate) fn shard(number: u8) -> String {
    format!("{FOLDER}/{number:02x}")
}

/// Returns the folder of a generation, and the name of its file there. The mark may be set after the file was written:
/// it is no part of the name.
fn place(generation: u64) -> (String, String) {
    let name = generation & !MARK;
    (shard((name >> MARK.count_ones()) as u8), format!("{name:016x}"))
}

/// Returns the generation of a file that was made here, by its name.
pub(crate) fn generation(name: &str) -> Option<u64> {
    if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None }
}

/// Writes the file of a generation; it is complete when this returns.
pub(crate) fn write(database: &Dir, generation: u64, bytes: &[u8], sync: SyncMode) -> Result<()> {
    let (shard, name) = place(generation);
    let written = open_shard(database, &shard, sync).and_then(|shard| write_new(&shard, &name, bytes, sync));
    written.map_err(|error| fault::at(&database.path().join(shard).join(name), error))
}

fn write_new(shard: &Dir, name: &str, bytes: &[u8], sync: SyncMode) -> io::Result<()> {
    let mut file = shard.create(name)?;
    let written = file.write_all(bytes).and_then(|()| match sync {
        SyncMode::Full => file.sync_all().and_then(|()| shard.sync()),
        _ => Ok(()),
    });
    if written.is_err() {
        drop(shard.remove(name));
    }
    written
}

/// Opens a folder of blobs. It may be missing, and the one above it too: then they are made.
fn open_shard(database: &Dir, shard: &str, sync: SyncMode) -> io::Result<Dir> {
    match database.child(shard) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    make(database, FOLDER)?;
    make(database, shard)?;
    if sync == SyncMode::Full {
        database.sync()?;
        database.child(FOLDER)?.sync()?;
    }
    database.child(shard)
}

/// Makes a folder, unless it is there already.
pub(crate) fn make(database: &Dir, name: &str) -> io::Result<()> {
    match database.make(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Reads the file of a generation; `None` if it has not that length, or something else has taken its place.
pub(crate) fn read(database: &Dir, generation: u64, len: u64) -> io::Result<Option<Bytes>> {
    let (shard, name) = place(generation);
    let file = match database.child(&shard).and_then(|shard| shard.read(&name)) {
        Err(error) if is_foreign(&error) => return Ok(None),
        file => file?,
    };
    // The length in the row may be damaged: nothing is reserved for what the file has not.
    if file.metadata()?.len() != len {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(len).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == len).then(|| bytes.into()))
}

/// Removes the file of a generation whose row is gone. A file that cannot be removed is left to the sweep of orphans.
pub(crate) fn remove(database: &Dir, generation: u64) {
    let (shard, name) = place(generation);
    drop(database.child(&shard).and_then(|shard| shard.remove(&name)));
}
