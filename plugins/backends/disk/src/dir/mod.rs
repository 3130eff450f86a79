//! A folder that is held open, and what is in it by name.
//!
//! Names are looked up below the open folder, so a folder that is renamed or replaced meanwhile changes nothing. The
//! last part of a name is never followed if it is a link, and a part before it was opened this way earlier: nothing is
//! read or written where a planted link leads. What is opened has to be ours: a folder or a regular file of the user
//! that runs the program, and no file that others may write to.

use std::io;

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub(crate) use other::{Dir, identity, stamp};
#[cfg(unix)]
pub(crate) use unix::{Dir, identity, stamp};

/// Identity of a file: its device, and its number there. No other file has them while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// Distinguishes the fences of two databases that are copies of one: below 2^63, see [`stripe`](crate::stripe).
    pub(crate) fn salt(self) -> u64 {
        (self.device.rotate_left(32) ^ self.number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
    }
}

/// Identity of a file and the time of its last change, as seconds and nanoseconds: equal as long as nobody has replaced
/// or overwritten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: Identity,
    changed: (u64, u64),
}

/// Makes the error of a file or folder that belongs to others.
fn foreign(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem.into())
}

/// Returns whether an error of [`Dir`] reports a file or folder that belongs to others.
pub(crate) fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// Takes a missing file or folder for one that has been removed.
pub(crate) fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
