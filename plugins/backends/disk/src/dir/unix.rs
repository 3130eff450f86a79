use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Identity, Stamp, foreign};

/// Flags for opening a file. Where a pipe has taken its place, nobody waits for the pipe's other end.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER_MODE: Mode = Mode::RWXU;

/// A folder of ours that is open.
#[derive(Debug)]
pub(crate) struct Dir {
    file: File,
    path: PathBuf,
}

impl Dir {
    /// Opens the folder `name` of the folder `base`, which may be anybody's, and makes it if there is none.
    pub(crate) fn open_or_make(base: &Path, name: &str) -> io::Result<Dir> {
        let path = base.join(name);
        let opened = match fs::open(&path, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => match fs::mkdir(&path, FOLDER_MODE) {
                Err(error) if error != Errno::EXIST => return Err(error.into()),
                _ => fs::open(&path, FOLDER, Mode::empty()),
            },
            opened => opened,
        };
        let file = opened.map_err(|error| why_no_folder(error, fs::lstat(&path)))?.into();
        Dir::checked(file, path)
    }

    /// Opens a folder below this one.
    pub(crate) fn child(&self, name: &str) -> io::Result<Dir> {
        let opened = fs::openat(&self.file, name, FOLDER, Mode::empty());
        let file = opened.map_err(|error| why_no_folder(error, self.look(name)))?.into();
        Dir::checked(file, self.path.join(name))
    }

    /// Checks that a folder is ours, and closes one that was open to others.
    fn checked(file: File, path: PathBuf) -> io::Result<Dir> {
        let found = fs::fstat(&file)?;
        check_owner(&found)?;
        if Mode::from_raw_mode(found.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
            fs::fchmod(&file, FOLDER_MODE)?;
        }
        Ok(Dir { file, path })
    }

    /// Makes a folder that only its owner may enter.
    pub(crate) fn make(&self, name: &str) -> io::Result<()> {
        Ok(fs::mkdirat(&self.file, name, FOLDER_MODE)?)
    }

    /// Returns the path of the folder when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file to be read.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        self.open(name, OFlags::RDONLY)
    }

    /// Makes a file that only its owner may read. One that is there is an error.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.open(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file of which only the lock is used, and makes it if there is none.
    pub(crate) fn create_lock(&self, name: &str) -> io::Result<File> {
        self.open(name, OFlags::WRONLY | OFlags::CREATE)
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let file = fs::openat(&self.file, name, flags | FILE, FILE_MODE).map_err(|error| match error {
            Errno::LOOP | Errno::MLINK => foreign(LINK),
            // A pipe that nobody reads, or a socket, opened to be written.
            Errno::NXIO => foreign(IRREGULAR),
            error => error.into(),
        })?;
        check_file(&fs::fstat(&file)?)?;
        Ok(file.into())
    }

    /// Checks that a file that another library is going to open is ours and has no other name, or is missing.
    pub(crate) fn check(&self, name: &str) -> io::Result<()> {
        let found = match self.look(name) {
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        check_file(&found)?;
        if found.st_nlink > 1 {
            return Err(foreign("it has another name, a hard link: remove one of them"));
        }
        Ok(())
    }

    /// Returns the identity of the file that a name leads to, `None` if to none. A link is a file of its own.
    pub(crate) fn identity(&self, name: &str) -> Option<Identity> {
        self.look(name).ok().map(|found| identity_of(&found))
    }

    /// Returns whether a name leads to a file that is open.
    pub(crate) fn is(&self, name: &str, file: &File) -> bool {
        self.identity(name).is_some() && self.identity(name) == fs::fstat(file).ok().map(|found| identity_of(&found))
    }

    fn look(&self, name: &str) -> rustix::io::Result<Stat> {
        fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.file, name, AtFlags::empty())?)
    }

    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames what is in this folder.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.file, from, &self.file, to)?)
    }

    /// Returns the names in this folder, without those that are no text.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.file)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// Waits until the disk has the names in this folder.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Returns the identity of the file that a path leads to now, `None` if to none. Called at every read.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    fs::stat(path).ok().map(|found| identity_of(&found))
}

/// Returns the stamp of the file that a path leads to now, `None` if it leads to none.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::stat(path).ok()?;
    Some(Stamp { identity: identity_of(&found), changed: (wide(found.st_ctime), wide(found.st_ctime_nsec)) })
}

fn identity_of(found: &Stat) -> Identity {
    Identity { device: wide(found.st_dev), number: wide(found.st_ino) }
}

/// Widens a number whose type differs from one system to the next.
fn wide(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}

const LINK: &str = "it is a symbolic link, and links are not followed here: remove it";
const IRREGULAR: &str = "it is no regular file: remove it";

fn why_no_folder(error: Errno, found: rustix::io::Result<Stat>) -> io::Error {
    match found.map(|found| FileType::from_raw_mode(found.st_mode)) {
        Ok(FileType::Symlink) => foreign(format!("{LINK}, or name its target as `base_path`")),
        Ok(kind) if kind != FileType::Directory => foreign("it is no folder: remove it"),
        _ => error.into(),
    }
}

fn check_file(found: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(foreign(LINK)),
        _ => return Err(foreign(IRREGULAR)),
    }
    check_owner(found)?;
    if Mode::from_raw_mode(found.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(foreign(
            "others may write to it: remove it, or take that right away (`chmod go-w`) if you trust it",
        ));
    }
    Ok(())
}

/// Checks that a file belongs to this user: root could use those of others, and would follow with its own rights what
/// they have prepared.
fn check_owner(found: &Stat) -> io::Result<()> {
    let (owner, user) = (found.st_uid, geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(foreign(format!(
        "it belongs to user {owner}, and the program runs as user {user}: remove it, give it to that user (`chown`), or \
         choose another `base_path`"
    )))
}
