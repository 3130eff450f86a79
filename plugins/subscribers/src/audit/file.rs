//! The audit trail, and the records that its queue could not take.

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use retainit_plugin::{Error, ErrorKind, Result};

use crate::lines::{Access, Lines};

/// The audit trail itself.
#[derive(Debug)]
pub(super) struct Log(Lines);

impl Log {
    pub(super) fn open(path: &Path) -> Result<Log> {
        Log::locked(Lines::open(path, Access::Own)?)
    }

    fn locked(lines: Lines) -> Result<Log> {
        match lines.file.try_lock() {
            Ok(()) => Ok(Log(lines)),
            Err(TryLockError::WouldBlock) => {
                let text = format!(
                    "another instance writes to {}; close it first, or give each a file of its own",
                    lines.path().display()
                );
                Err(Error::new(ErrorKind::Config, text).with_field("path"))
            }
            Err(TryLockError::Error(error)) => Err(lines.failed(error)),
        }
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
        if self.0.is_rotated() {
            *self = Log::locked(self.0.reopened()?)?;
        }
        self.0.append(lines)
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        self.0.file.sync_all().map_err(|error| self.0.failed(error))
    }
}

/// The file of records that the queue could not take, in the order in which they came.
#[derive(Debug)]
pub(super) struct SpillFile(Mutex<Spilled>);

#[derive(Debug)]
struct Spilled {
    lines: Lines,
    /// Number of its bytes that the log has.
    taken: u64,
}

/// Number of bytes that are moved at once.
const PIECE: usize = 64 << 10;

impl SpillFile {
    pub(super) fn beside(path: &Path) -> Result<SpillFile> {
        let mut spill: OsString = path.into();
        spill.push(".spill");
        Ok(SpillFile(Mutex::new(Spilled { lines: Lines::open(Path::new(&spill), Access::Unnamed)?, taken: 0 })))
    }

    fn spilled(&self) -> MutexGuard<'_, Spilled> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn append(&self, line: &[u8]) -> Result<()> {
        let Spilled { lines, .. } = &mut *self.spilled();
        // Records that the log has not taken yet are read from where they are, whatever the file's name.
        if lines.length == 0 && lines.is_rotated() {
            *lines = lines.reopened()?;
        }
        lines.append(line)
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
