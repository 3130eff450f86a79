//! The folder on the disk, and which database in it is the current one.
//!
//! ```text
//! base_path/v1/          one per on-disk version
//!   lock                 held while a database is opened, begun or put aside
//!   current              names the current database
//!   db-<id>/             store.db, its -wal and -shm, blobs/<xx>/<generation>
//!   broken-<id>/         the last database that was found damaged
//! ```
//!
//! Every database has a folder of its own name: SQLite unlinks a log by its path when the last connection closes, and
//! must never meet the log of a successor there.
//!
//! What a process has open is its cache only while `base_path` still leads there. Anybody may rename a folder, switch a
//! link, restore a copy or begin another database, and what is acknowledged after that, others acknowledge elsewhere.
//! Every read therefore first checks which file the whole path of its database leads to: if it is not the one that is
//! open (by device and number), the folder is entered anew. That is enough for a read, as whoever enters removes every
//! other database before anything is acknowledged in the current one. A write is acknowledged to be found by those who
//! enter later, too: it repeats the check after it, and checks that `current` is as it was.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Result};

use crate::blob;
use crate::dir::{self, Dir, Identity, Stamp, is_foreign, unless_missing};
use crate::fault::{self, Fault};
use crate::wait;

/// A newer format gets a folder of its own beside this one.
const VERSION: &str = "v1";
const DATABASE: &str = "store.db";
/// The database and what SQLite keeps beside it.
const FILES: [&str; 4] = [DATABASE, "store.db-wal", "store.db-shm", "store.db-journal"];
const LOCK_STEP: Duration = Duration::from_millis(2);

/// Number of times the folder is entered anew because it was moved away meanwhile.
const ATTEMPTS: usize = 3;

/// The folder of the databases.
#[derive(Debug)]
pub(crate) struct Folder {
    base: PathBuf,
}

/// One database of a folder.
#[derive(Debug)]
pub(crate) struct Home {
    /// The open folder.
    pub(crate) dir: Dir,
    /// The path that has to lead to its file, links and all.
    path: PathBuf,
    identity: Identity,
    /// The path of `current`, and what was found there.
    current: PathBuf,
    named: Option<Stamp>,
}

impl Home {
    /// Returns whether the path of this database still leads to it: nothing was acknowledged in another one yet.
    pub(crate) fn stands(&self) -> bool {
        dir::identity(&self.path) == Some(self.identity)
    }

    /// Returns whether processes that enter the folder now come to this database.
    pub(crate) fn is_current(&self) -> bool {
        self.stands() && dir::stamp(&self.current) == self.named
    }

    /// Returns the salt of fences, by which those of a copy differ.
    pub(crate) fn salt(&self) -> u64 {
        self.identity.salt()
    }

    /// Returns the path of its file by which SQLite opens it: without links.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join(DATABASE)
    }

    fn name(&self) -> &str {
        self.dir.path().file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl Folder {
    pub(crate) fn new(base: &Path) -> Folder {
        Folder { base: base.to_owned() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.base.join(VERSION)
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Makes the folder if it is missing, and a file in it.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.root()?.create_lock("lock").map(drop)
    }

    /// Opens the current database with `open`, or begins one; `open` receives whether it is new. A damaged one is put
    /// aside, and `broken` is called with it.
    pub(crate) fn enter<T>(
        &self,
        mut open: impl FnMut(&Path, bool) -> Result<T, Fault>,
        mut broken: impl FnMut(rusqlite::Error),
    ) -> Result<(Home, T), Fault> {
        for _ in 0..ATTEMPTS {
            let (home, opened) = self.lock()?.enter(&mut open, &mut broken)?;
            if home.is_current() {
                return Ok((home, opened));
            }
        }
        Err(Error::new(ErrorKind::Backend, "the cache folder is moved away again and again")
            .with_context("path", self.path().display().to_string())
            .into())
    }

    /// Puts a damaged database aside, unless another process has done so already. True if it was this call.
    pub(crate) fn put_aside(&self, home: &Home) -> Result<bool> {
        let locked = self.lock()?;
        if locked.root.identity(&format!("{}/{DATABASE}", home.name())) != Some(home.identity) {
            return Ok(false);
        }
        locked.leave(home.name())?;
        Ok(true)
    }

    /// Takes the lock of the folder, which is made if it is missing. The system frees it when its holder dies.
    fn lock(&self) -> Result<Locked> {
        let root = self.root().map_err(|error| fault::at(&self.path(), error))?;
        let at_lock = |error| fault::at(&self.path().join("lock"), error);
        loop {
            let file = root.create_lock("lock").map_err(at_lock)?;
            match file.try_lock() {
                // One that was removed meanwhile keeps nobody out.
                Ok(()) if root.is("lock", &file) => return Ok(Locked { path: self.path(), root, _lock: file }),
                Ok(()) | Err(TryLockError::WouldBlock) if wait::pause(LOCK_STEP) => {}
                Ok(()) | Err(TryLockError::WouldBlock) => {
                    return Err(fault::locked("another process keeps the cache folder locked"));
                }
                Err(TryLockError::Error(error)) => return Err(at_lock(error)),
            }
        }
    }

    /// Opens the folder, and makes it and those above it if they are missing.
    fn root(&self) -> io::Result<Dir> {
        let mut folders = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
        folders.recursive(true).create(&self.base).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::other("`base_path` is no folder, or a link that leads nowhere"),
            _ => error,
        })?;
        Dir::open_or_make(&fs::canonicalize(&self.base)?, VERSION)
    }
}

/// A folder whose lock is held.
struct Locked {
    path: PathBuf,
    root: Dir,
    _lock: File,
}

impl Locked {
    fn enter<T>(
        &self,
        open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>,
        broken: &mut impl FnMut(rusqlite::Error),
    ) -> Result<(Home, T), Fault> {
        // Before it is read: if it is overwritten after that, the database is not taken for the current one.
        let named = self.stamp();
        if let Some(name) = self.current()? {
            self.remove_all_but(&name)?;
            match self.open(&name, open) {
                Ok((home, opened)) => return Ok((Home { named, ..home }, opened)),
                Err(Fault::Damaged(error)) => {
                    self.leave(&name)?;
                    broken(error);
                }
                Err(failed) => return Err(failed),
            }
        } else if let Some(adopted) = self.adopt(open)? {
            return Ok(adopted);
        }
        self.begin(open)
    }

    /// Returns the database that `current` names; a name that leads nowhere is taken away.
    fn current(&self) -> Result<Option<String>> {
        let mut id = String::new();
        match self.root.read("current") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if is_foreign(&error) => {}
            // Text that is not UTF-8 names nothing either.
            file => drop(file.map_err(|error| self.at("current", error))?.take(64).read_to_string(&mut id)),
        }
        let name = format!("db-{id}");
        if is_id(&id) && self.has_database(&name) {
            return Ok(Some(name));
        }
        unless_missing(self.root.remove("current")).map_err(|error| self.at("current", error))?;
        Ok(None)
    }

    /// Takes up the one database that is there although nothing names it: `current` was lost. What cannot be opened was
    /// never complete.
    fn adopt<T>(&self, open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>) -> Result<Option<(Home, T)>, Fault> {
        let left = self.folders("db-")?;
        let [name] = &*left else { return Ok(None) };
        if !self.has_database(name) {
            return Ok(None);
        }
        match self.open(name, open) {
            Ok((home, opened)) => {
                let named = self.name_current(name)?;
                Ok(Some((Home { named, ..home }, opened)))
            }
            Err(Fault::Damaged(_)) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    fn has_database(&self, name: &str) -> bool {
        self.root.identity(&format!("{name}/{DATABASE}")).is_some()
    }

    fn open<T>(&self, name: &str, open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>) -> Result<(Home, T), Fault> {
        let dir = self.root.child(name).map_err(|error| self.at(name, error))?;
        match dir.child(blob::FOLDER) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.at(&format!("{name}/{}", blob::FOLDER), error).into());
            }
            _ => {}
        }
        for file in FILES {
            dir.check(file).map_err(|error| self.at(&format!("{name}/{file}"), error))?;
        }
        let opened = open(&dir.path().join(DATABASE), false)?;
        Ok((self.home(name, dir)?, opened))
    }

    fn begin<T>(&self, open: &mut impl FnMut(&Path, bool) -> Result<T, Fault>) -> Result<(Home, T), Fault> {
        let name = format!("db-{:016x}", blob::random());
        self.remove_all_but(&name)?;
        let at = |error| self.at(&name, error);
        self.root.make(&name).map_err(at)?;
        let dir = self.root.child(&name).map_err(at)?;
        dir.make(blob::FOLDER).map_err(at)?;
        // Made here and not by SQLite, which would let others read it.
        dir.create(DATABASE).map_err(at)?;
        let opened = open(&dir.path().join(DATABASE), true)?;
        let named = self.name_current(&name)?;
        Ok((Home { named, ..self.home(&name, dir)? }, opened))
    }

    /// Makes a database that is not named yet.
    fn home(&self, name: &str, dir: Dir) -> Result<Home> {
        let path = self.path.join(name).join(DATABASE);
        match dir.identity(DATABASE) {
            Some(identity) => Ok(Home { dir, path, identity, current: self.path.join("current"), named: None }),
            None => Err(fault::at(&path, io::ErrorKind::NotFound.into())),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        dir::stamp(&self.path.join("current"))
    }

    fn name_current(&self, name: &str) -> Result<Option<Stamp>> {
        const ASIDE: &str = "current.new";
        let id = name.trim_start_matches("db-");
        // What a killed process left, or somebody planted, is not written to.
        let named = unless_missing(self.root.remove(ASIDE)).and_then(|()| {
            let mut file = self.root.create(ASIDE)?;
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            self.root.rename(ASIDE, "current")
        });
        named.map_err(|error| self.at(ASIDE, error))?;
        Ok(self.stamp())
    }

    /// Puts a database aside. Once it is renamed, no process takes it for the current one.
    fn leave(&self, name: &str) -> Result<()> {
        let aside = name.replacen("db-", "broken-", 1);
        for older in self.folders("broken-")? {
            // What cannot be removed is met again next time, unless it has the very name.
            drop(self.remove_database(&older));
        }
        self.root.rename(name, &aside).map_err(|error| self.at(name, error))?;
        unless_missing(self.root.remove("current")).map_err(|error| self.at("current", error))
    }

    /// Removes every database but one: those that others may still have open are no longer current.
    fn remove_all_but(&self, name: &str) -> Result<()> {
        for left in self.folders("db-")?.iter().filter(|left| *left != name) {
            match unless_missing(self.remove_database(left)) {
                // Nobody has opened what is not ours.
                Err(error) if !is_foreign(&error) => return Err(self.at(left, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a database that is not the current one: the files that were made here, and the folders they leave empty.
    /// Only that its file cannot be removed is an error.
    fn remove_database(&self, name: &str) -> io::Result<()> {
        let dir = self.root.child(name)?;
        let [database, beside @ ..] = FILES;
        unless_missing(dir.remove(database))?;
        beside.iter().for_each(|file| drop(dir.remove(file)));
        for number in 0..=u8::MAX {
            let Ok(shard) = dir.child(&blob::shard(number)) else { continue };
            for file in shard.names().unwrap_or_default().iter().filter(|file| blob::generation(file).is_some()) {
                drop(shard.remove(file));
            }
            drop(dir.remove_dir(&blob::shard(number)));
        }
        drop(dir.remove_dir(blob::FOLDER));
        drop(self.root.remove_dir(name));
        Ok(())
    }

    /// Returns the names of our own that are `prefix` and an id.
    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = self.root.names().map_err(|error| fault::at(&self.path, error))?;
        names.retain(|name| name.strip_prefix(prefix).is_some_and(is_id));
        Ok(names)
    }

    fn at(&self, name: &str, error: io::Error) -> Error {
        fault::at(&self.path.join(name), error)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
