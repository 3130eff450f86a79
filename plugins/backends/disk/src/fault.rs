use std::io;
use std::path::Path;

use retainit_plugin::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// Reason for which an operation ends without a result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The database is damaged beyond this operation: it is put aside and another one begun.
    Damaged(rusqlite::Error),
    /// Any other error, as callers see it.
    Failed(Error),
}

/// A page that the write-ahead log should have and has not: it was truncated.
const SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        let code = error.sqlite_error().map(|failure| (failure.code, failure.extended_code));
        let (kind, message) = match code {
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) | (_, SHORT_READ)) => {
                return Fault::Damaged(error);
            }
            Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed, _)) => {
                (ErrorKind::Timeout, "another process keeps the database locked")
            }
            // A row whose columns have other types than those it was written with.
            None => return Fault::Damaged(error),
            Some(_) => (ErrorKind::Backend, "the database does not work"),
        };
        Fault::Failed(Error::new(kind, message).with_source(error))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Failed(error)
    }
}

/// Makes a failure of the file system at `path`.
pub(crate) fn at(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Backend, "the cache folder does not work")
        .with_context("path", path.display().to_string())
        .with_source(error)
}

/// Makes the error of waiting longer than `busy_timeout`.
pub(crate) fn locked(message: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, message)
}

/// Returns the error of a damaged database for the listener.
pub(crate) fn damaged(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Backend, "the database is damaged").with_source(error)
}
