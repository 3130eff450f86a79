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

/// Which file a name leads to: its device, and its number there. No other file has them while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// Tells the fences of two databases apart that are copies of one: below 2^63, see [`stripe`](crate::stripe).
    pub(crate) fn salt(self) -> u64 {
        (self.device.rotate_left(32) ^ self.number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
    }
}

/// Which file a name leads to, and when that was last changed, as seconds and nanoseconds: the same as long as nobody
/// has replaced or overwritten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: Identity,
    changed: (u64, u64),
}

/// The error of what is there and is not ours.
fn foreign(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem.into())
}

/// Whether an error of [`Dir`] is that what is there is not ours.
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
