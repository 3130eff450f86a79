//! Files that lines are appended to: a file has whole lines only, or is as it was before. A file that was rotated, or
//! removed, is left, and the one that its path names then is written to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use retainit_plugin::{Error, ErrorKind, Result, open_file, open_own_file};

/// Access of other processes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// No other process writes, and only the owner may read it.
    #[cfg(feature = "audit")]
    Own,
    /// As [`Access::Own`], under a name that no configuration gives.
    #[cfg(feature = "audit")]
    Unnamed,
    /// Other processes may write.
    #[cfg(feature = "logging")]
    Shared,
}

/// A file that lines are appended to.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    access: Access,
    pub(crate) file: File,
    identity: Identity,
    /// Length of the file at the end of the last line.
    pub(crate) length: u64,
    /// A part of a line could not be taken away again.
    is_torn: bool,
}

impl Lines {
    pub(crate) fn open(path: &Path, access: Access) -> Result<Lines> {
        let mut lines = Lines::open_at(path, access).map_err(|error| {
            let text = format!("{} cannot be written; give a file in a folder that is there", path.display());
            Error::new(ErrorKind::Config, text).with_field("path").with_source(error)
        })?;
        lines.end_last_line().map_err(|error| lines.failed(error))?;
        Ok(lines)
    }

    fn open_at(path: &Path, access: Access) -> io::Result<Lines> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        if access.is_own() {
            options.read(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let file = if access.is_named() { open_file(path, &mut options) } else { open_own_file(path, &mut options) }?;
        let found = file.metadata()?;
        let (identity, length) = (identity(&found), found.len());
        Ok(Lines { path: path.to_owned(), access, file, identity, length, is_torn: false })
    }

    /// Ends a line that a process has left in part when it was killed while it wrote.
    fn end_last_line(&mut self) -> io::Result<()> {
        if self.length == 0 || !self.access.is_own() {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last != *b"\n" {
            self.is_torn = self.file.write_all(b"\n").map(|()| self.length += 1).is_err();
        }
        Ok(())
    }

    /// Returns whether the path leads to another file by now, or to none.
    pub(crate) fn is_rotated(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(found) => identity(&found) != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Opens the file that the path names now.
    pub(crate) fn reopened(&self) -> Result<Lines> {
        // What it has is whole; nobody is left to receive an error of forcing it to the disk.
        self.file.sync_all().ok();
        Lines::open(&self.path, self.access).map_err(|error| {
            let text = format!("{} was rotated and could not be opened anew", self.path.display());
            Error::new(ErrorKind::Backend, text).with_source(error)
        })
    }

    #[cfg(feature = "audit")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.try_append(lines).map_err(|error| self.failed(error))
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        // It may have been truncated in its place.
        self.length = self.file.metadata()?.len();
        if self.is_torn && self.length > 0 {
            self.file.write_all(b"\n")?;
            self.length += 1;
        }
        self.is_torn = false;
        match self.file.write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A disk that is full takes a part of a line. Lines that others have written since are not taken away.
                self.is_torn = !self.access.is_own() || self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    pub(crate) fn failed(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Backend, format!("{} could not be written", self.path.display())).with_source(error)
    }
}

impl Access {
    fn is_own(self) -> bool {
        match self {
            #[cfg(feature = "audit")]
            Access::Own | Access::Unnamed => true,
            #[cfg(feature = "logging")]
            Access::Shared => false,
        }
    }

    fn is_named(self) -> bool {
        match self {
            #[cfg(feature = "audit")]
            Access::Unnamed => false,
            _ => true,
        }
    }
}

#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

/// Identity of a file where files have no number: only one that is gone is noticed.
#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}
