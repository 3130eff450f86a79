//! The folder on the disk, and which database in it is the current one.
//!
//! ```text
//! base_path/v1/          one per on-disk version
//!   lock                 held while a database is opened, begun or put aside
//!   current              names the current database; unlinked before that is put aside
//!   db-<id>/             store.db, its -wal and -shm, blobs/<xx>/<generation>
//!   broken-<id>/         the last database that was found damaged
//! ```
//!
//! Every database has a folder of its own name: SQLite unlinks a log by its path when the last connection closes, and
//! must never meet the log of a successor there. A process that still has a replaced database open learns it from
//! the link count of the `current` it holds open: before its operations, once in each tick of the clock, and again
//! after each write. Who replaces a database waits for longer than a tick before it begins the next one, so nothing is
//! acknowledged there while others read what they had.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use retainit_plugin::{Moment, Result};

use crate::blob;
use crate::fault::{self, Fault};
use crate::wait;

/// A newer format gets a folder of its own beside this one.
const VERSION: &str = "v1";
const DATABASE: &str = "store.db";
const LOCK_STEP: Duration = Duration::from_millis(2);

/// Longer than a tick of any clock by which processes notice that their database was replaced.
const NOTICED: Duration = Duration::from_millis(50);

/// Where databases live.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// One database of a folder.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    mark: File,
    /// When it was last seen to stand, in milliseconds.
    seen: AtomicU64,
}

impl Home {
    fn new(dir: PathBuf, mark: File) -> Home {
        Home { dir, mark, seen: AtomicU64::new(u64::MAX) }
    }

    /// Whether this was the current database in this tick of the clock.
    pub(crate) fn stood(&self, now: Moment) -> bool {
        if self.seen.load(Ordering::Relaxed) == now.as_millis() {
            return true;
        }
        let stands = self.stands();
        if stands {
            self.seen.store(now.as_millis(), Ordering::Relaxed);
        }
        stands
    }

    /// Whether this is still the current database of its folder.
    pub(crate) fn stands(&self) -> bool {
        is_linked(&self.mark)
    }

    /// Lets the next operation look again, in this tick too.
    pub(crate) fn forget(&self) {
        self.seen.store(u64::MAX, Ordering::Relaxed);
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }
}

/// Whether a file still has a name. Asked often, so not through the slower `File::metadata`.
#[cfg(unix)]
fn is_linked(file: &File) -> bool {
    rustix::fs::fstat(file).is_ok_and(|file| file.st_nlink > 0)
}

/// Elsewhere a file that is open cannot be unlinked, so a damaged database stays until its processes have ended.
#[cfg(not(unix))]
fn is_linked(_: &File) -> bool {
    true
}

impl Folder {
    pub(crate) fn new(base: &Path) -> Folder {
        Folder { root: base.join(VERSION) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Opens the current database with `open`, or begins one; `open` is told whether it is new. A damaged one is put
    /// aside, and `broken` hears of it.
    pub(crate) fn enter<T>(
        &self,
        mut open: impl FnMut(&Path, bool) -> Result<T, Fault>,
        mut broken: impl FnMut(rusqlite::Error),
    ) -> Result<(Home, T), Fault> {
        make_dir(&self.root)?;
        let _lock = self.lock()?;
        if let Some(home) = self.current()? {
            match open(&home.database(), false) {
                Ok(opened) => return Ok((home, opened)),
                Err(Fault::Damaged(error)) => {
                    self.leave(&home)?;
                    broken(error);
                }
                Err(failed) => return Err(failed),
            }
        } else if let Some(adopted) = self.adopt(&mut open)? {
            return Ok(adopted);
        }
        self.begin(&mut open)
    }

    /// Takes up the one database that is there although nothing names it: `current` was lost. What cannot be opened was
    /// never complete, or was on its way aside.
    fn adopt<T>(&self, open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>) -> Result<Option<(Home, T)>, Fault> {
        let left = self.folders("db-");
        let [(dir, name)] = &*left else { return Ok(None) };
        let database = dir.join(DATABASE);
        if !database.exists() {
            return Ok(None);
        }
        match open(&database, false) {
            Ok(opened) => {
                let id = name.trim_start_matches("db-");
                let mark = self.name_current(id).map_err(|error| fault::at(&self.root, error))?;
                Ok(Some((Home::new(dir.clone(), mark), opened)))
            }
            Err(Fault::Damaged(_)) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Puts a damaged database aside, unless another process has done so already. True if it was this call.
    pub(crate) fn put_aside(&self, home: &Home) -> Result<bool> {
        let _lock = self.lock()?;
        if !home.stands() {
            return Ok(false);
        }
        self.leave(home)?;
        Ok(true)
    }

    /// The lock of the folder. The system frees it when its holder dies.
    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path);
        let file = file.map_err(|error| fault::at(&path, error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if wait::pause(LOCK_STEP) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(fault::locked("another process keeps the cache folder locked"));
                }
                Err(TryLockError::Error(error)) => return Err(fault::at(&path, error)),
            }
        }
    }

    /// The database that `current` names; a name that leads nowhere is taken away.
    fn current(&self) -> Result<Option<Home>> {
        let path = self.root.join("current");
        let mut mark = match open_to_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            mark => mark.map_err(|error| fault::at(&path, error))?,
        };
        let mut id = String::new();
        // Text that is not UTF-8 names nothing either.
        let named = (&mut mark).take(64).read_to_string(&mut id).is_ok() && is_id(&id);
        let home = Home::new(self.root.join(format!("db-{id}")), mark);
        if named && home.database().exists() {
            return Ok(Some(home));
        }
        fs::remove_file(&path).map_err(|error| fault::at(&path, error))?;
        Ok(None)
    }

    fn begin<T>(&self, open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>) -> Result<(Home, T), Fault> {
        let left = self.folders("db-");
        if !left.is_empty() || !self.folders("broken-").is_empty() {
            thread::sleep(NOTICED);
        }
        left.iter().for_each(|(left, _)| remove_database(left));
        let id = format!("{:016x}", blob::random()?);
        let dir = self.root.join(format!("db-{id}"));
        make_dir(&dir)?;
        make_dir(&blob::folder(&dir))?;
        let opened = open(&dir.join(DATABASE), true)?;
        let mark = self.name_current(&id).map_err(|error| fault::at(&self.root, error))?;
        Ok((Home::new(dir, mark), opened))
    }

    fn name_current(&self, id: &str) -> io::Result<File> {
        let (aside, path) = (self.root.join("current.new"), self.root.join("current"));
        let mut file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(&aside)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        Ok(file)
    }

    /// Under the lock: from the first line on, no process takes this database for the current one.
    fn leave(&self, home: &Home) -> Result<()> {
        let path = self.root.join("current");
        fs::remove_file(&path).map_err(|error| fault::at(&path, error))?;
        for (older, _) in self.folders("broken-") {
            remove_database(&older);
        }
        let name = home.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let aside = self.root.join(name.replacen("db-", "broken-", 1));
        fs::rename(&home.dir, &aside).map_err(|error| fault::at(&home.dir, error))
    }

    /// The folders of our own that are called `prefix` and an id.
    fn folders(&self, prefix: &str) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)));
        named.filter(|(_, name)| name.strip_prefix(prefix).is_some_and(is_id)).collect()
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes a folder that only its owner may enter, and those above it.
fn make_dir(path: &Path) -> Result<()> {
    own_folder().recursive(true).create(path).map_err(|error| fault::at(path, error))?;
    close_to_others(path).map_err(|error| fault::at(path, error))
}

/// Makes folders that only their owner may enter.
pub(crate) fn own_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// A folder of ours that was there already may be open to others: not any more. One that a link leads to is not ours.
#[cfg(unix)]
fn close_to_others(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Err(std::io::Error::other("it is a symbolic link: name its target as `base_path`"));
    }
    match found.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, fs::Permissions::from_mode(0o700)),
    }
}

#[cfg(not(unix))]
fn close_to_others(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Files that only their owner may read.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    without_waiting(options)
}

/// Opens a file of ours.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    without_waiting(OpenOptions::new().read(true)).open(path)
}

/// Where a pipe has taken the place of a file, nobody waits for its other end.
fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

/// Removes a database that nobody uses: the files that were made here, and the folders they leave empty. What fails
/// is met again next time.
fn remove_database(dir: &Path) {
    for file in ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"] {
        drop(fs::remove_file(dir.join(file)));
    }
    for shard in blob::shards(dir) {
        for (file, _) in blob::files(&shard) {
            drop(fs::remove_file(file));
        }
        drop(fs::remove_dir(shard));
    }
    drop(fs::remove_dir(blob::folder(dir)));
    drop(fs::remove_dir(dir));
}
