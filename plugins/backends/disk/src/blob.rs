//! Entries of 64 KiB and more, each in a file of its own.
//!
//! A file is called after the generation of its entry, which is never met twice: it is written once, and its row is
//! committed after that, so nobody looks for it before it is complete. A row is deleted before its file. So a file
//! without a row is rubbish, and a row whose file is missing, short or changed is a miss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use retainit_plugin::{Bytes, Error, ErrorKind, Result};

use crate::SyncMode;
use crate::entry::MARK;
use crate::fault;
use crate::folder::{open_to_read, own_folder, private};

/// From this size on.
pub(crate) const LEAST: usize = 64 << 10;

/// A number that is never met twice, positive in SQLite's integers and without [`MARK`].
pub(crate) fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Backend, "the system gives no random numbers").source(error))?;
    Ok(u64::from_le_bytes(bytes) >> 2 & !MARK)
}

/// The folder of a database's blobs.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("blobs")
}

/// One of the 256 folders below it.
pub(crate) fn shard(dir: &Path, number: u8) -> PathBuf {
    folder(dir).join(format!("{number:02x}"))
}

/// Those of the 256 that are there.
pub(crate) fn shards(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let dir = dir.to_owned();
    (0..=u8::MAX).map(move |number| shard(&dir, number)).filter(|shard| shard.is_dir())
}

/// The mark may be set after the file was written: it is no part of the name.
fn path(dir: &Path, generation: u64) -> PathBuf {
    let name = generation & !MARK;
    shard(dir, (name >> 1) as u8).join(format!("{name:016x}"))
}

/// The files of a shard that were made here, with their generations.
pub(crate) fn files(shard: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(shard).into_iter().flatten().flatten();
    let ours = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let generation = if name.len() == 16 { u64::from_str_radix(&name, 16).ok()? } else { return None };
        Some((entry.path(), generation))
    });
    ours.collect()
}

/// Writes the file of a generation; it is complete when this returns.
pub(crate) fn write(dir: &Path, generation: u64, bytes: &[u8], sync: SyncMode) -> Result<()> {
    let path = path(dir, generation);
    write_new(&path, bytes, sync).map_err(|error| {
        drop(fs::remove_file(&path));
        fault::at(&path, error)
    })
}

fn write_new(path: &Path, bytes: &[u8], sync: SyncMode) -> io::Result<()> {
    let create = || private(OpenOptions::new().create_new(true).write(true)).open(path);
    let mut file = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(shard) = path.parent() {
                make_shard(shard, sync)?;
            }
            create()?
        }
        file => file?,
    };
    file.write_all(bytes)?;
    if sync == SyncMode::Full {
        file.sync_all()?;
        sync_folder(path.parent())?;
    }
    Ok(())
}

/// Not with the folders above it: those of a database that was put aside must not come back.
fn make_shard(shard: &Path, sync: SyncMode) -> io::Result<()> {
    match own_folder().create(shard) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if sync == SyncMode::Full { sync_folder(shard.parent()) } else { Ok(()) }
}

fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Reads the file of a generation; `None` if it has not that length.
pub(crate) fn read(dir: &Path, generation: u64, len: u64) -> io::Result<Option<Bytes>> {
    let file = open_to_read(&path(dir, generation))?;
    // The length in the row may be damaged: nothing is reserved for what the file has not.
    if file.metadata()?.len() != len {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(len).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == len).then(|| bytes.into()))
}

/// Removes the file of a generation whose row is gone. What fails is left to the sweep of orphans.
pub(crate) fn remove(dir: &Path, generation: u64) {
    drop(fs::remove_file(path(dir, generation)));
}
