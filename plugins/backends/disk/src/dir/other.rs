use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Identity, Stamp, foreign};

/// A folder of ours. Here it is a path, and owners and modes are not looked at.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// Opens the folder `name` of the folder `base`, and makes it if there is none.
    pub(crate) fn open_or_make(base: &Path, name: &str) -> io::Result<Dir> {
        fs::create_dir_all(base.join(name))?;
        Dir::checked(base.join(name))
    }

    /// Opens a folder below this one.
    pub(crate) fn child(&self, name: &str) -> io::Result<Dir> {
        Dir::checked(self.0.join(name))
    }

    fn checked(path: PathBuf) -> io::Result<Dir> {
        let found = fs::symlink_metadata(&path)?;
        if found.is_dir() { Ok(Dir(path)) } else { Err(foreign("it is no folder: remove it")) }
    }

    /// Makes a folder.
    pub(crate) fn make(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.0.join(name))
    }

    /// Returns the path of the folder when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens a file to be read.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        self.check(name)?;
        File::open(self.0.join(name))
    }

    /// Makes a file. One that is there is an error.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.0.join(name))
    }

    /// Opens a file of which only the lock is used, and makes it if there is none.
    pub(crate) fn create_lock(&self, name: &str) -> io::Result<File> {
        self.check(name)?;
        OpenOptions::new().write(true).create(true).truncate(false).open(self.0.join(name))
    }

    /// Checks that a file is a regular one or missing.
    pub(crate) fn check(&self, name: &str) -> io::Result<()> {
        match fs::symlink_metadata(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(found) if !found.is_file() => Err(foreign("it is no regular file: remove it")),
            found => found.map(drop),
        }
    }

    /// Returns an identity if there is such a file: one that is open cannot be replaced on systems like this.
    pub(crate) fn identity(&self, name: &str) -> Option<Identity> {
        identity(&self.0.join(name))
    }

    /// Returns whether a name leads to a file that is open: it cannot be removed on systems like this.
    pub(crate) fn is(&self, _: &str, _: &File) -> bool {
        true
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.0.join(name))
    }

    /// Renames what is in this folder.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Returns the names in this folder, without those that are no text.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    /// Folders cannot be waited for here.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an identity if the path leads to a file.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    path.exists().then_some(Identity { device: 0, number: 0 })
}

/// Returns the time when the file that a path leads to was changed, `None` if it leads to none.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let changed = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(Stamp { identity: identity(path)?, changed: (since.as_secs(), since.subsec_nanos().into()) })
}
