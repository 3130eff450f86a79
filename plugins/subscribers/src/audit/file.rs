//! The two files: what is written to is whole lines, or it is as it was before.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use retainit_plugin::{Error, ErrorKind, Result};

/// A file that lines are appended to.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// How long it was found at the end of the last line.
    length: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(path)?;
            let length = file.metadata()?.len();
            Ok(Lines { path: path.to_owned(), file, length })
        };
        let mut lines = open().map_err(|error: io::Error| {
            let text = format!("`path`: {} cannot be written; give a file in a folder that is there", path.display());
            Error::new(ErrorKind::Config, text).source(error)
        })?;
        lines.end_last_line().map_err(|error| lines.failed(error))?;
        Ok(lines)
    }

    /// A process that was killed while it wrote has left a part of a line.
    fn end_last_line(&mut self) -> io::Result<()> {
        if self.length == 0 {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last != *b"\n" { self.append(b"\n") } else { Ok(()) }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A disk that is full takes a part of a line.
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::Backend, format!("{} could not be written", self.path.display())).source(error)
    }
}

/// The audit trail itself.
#[derive(Debug)]
pub(super) struct Log(Lines);

impl Log {
    pub(super) fn open(path: &Path) -> Result<Log> {
        let lines = Lines::open(path)?;
        match lines.file.try_lock() {
            Ok(()) => Ok(Log(lines)),
            Err(TryLockError::WouldBlock) => {
                let text = format!(
                    "`path`: another instance writes to {}; close it first, or give each a file of its own",
                    path.display()
                );
                Err(Error::new(ErrorKind::Config, text))
            }
            Err(TryLockError::Error(error)) => Err(lines.failed(error)),
        }
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.0.append(lines).map_err(|error| self.0.failed(error))
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        self.0.file.sync_all().map_err(|error| self.0.failed(error))
    }
}

/// What the queue could not take, in the order in which it came.
#[derive(Debug)]
pub(super) struct SpillFile(Mutex<Spilled>);

#[derive(Debug)]
struct Spilled {
    lines: Lines,
    /// How much of it the log has.
    taken: u64,
}

/// So much is moved at once.
const PIECE: usize = 64 << 10;

impl SpillFile {
    pub(super) fn beside(path: &Path) -> Result<SpillFile> {
        let mut spill: OsString = path.into();
        spill.push(".spill");
        Ok(SpillFile(Mutex::new(Spilled { lines: Lines::open(Path::new(&spill))?, taken: 0 })))
    }

    fn spilled(&self) -> MutexGuard<'_, Spilled> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn append(&self, line: &[u8]) -> Result<()> {
        let Spilled { lines, .. } = &mut *self.spilled();
        lines.append(line).map_err(|error| lines.failed(error))
    }

    /// Appends everything to the log, piece by piece; callers may spill meanwhile. What the log has is gone from here
    /// when it has all of it: a process that is killed in between repeats lines, and loses none.
    pub(super) fn move_to(&self, log: &mut Log) -> Result<()> {
        while self.move_piece(log)? {}
        Ok(())
    }

    fn move_piece(&self, log: &mut Log) -> Result<bool> {
        let Spilled { lines, taken } = &mut *self.spilled();
        if *taken == lines.length {
            if *taken > 0 {
                lines.file.set_len(0).map_err(|error| lines.failed(error))?;
                (*taken, lines.length) = (0, 0);
            }
            return Ok(false);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(lines.length - *taken).unwrap_or(PIECE))];
        lines
            .file
            .seek(SeekFrom::Start(*taken))
            .and_then(|_| lines.file.read_exact(&mut piece))
            .map_err(|error| lines.failed(error))?;
        // The log gets whole lines, should this be the last thing the process does.
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(piece.len(), |end| end + 1);
        piece.truncate(whole);
        log.append(&piece)?;
        *taken += piece.len() as u64;
        Ok(true)
    }
}
