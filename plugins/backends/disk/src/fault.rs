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
            Some((ErrorCode::DiskFull, _)) => (ErrorKind::Refused, "there is no room for the database"),
            Some((ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _)) => {
                (ErrorKind::Refused, "the database may not be written")
            }
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
    let kind = match error.kind() {
        // Reads may go on.
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied => ErrorKind::Refused,
        _ => ErrorKind::Backend,
    };
    Error::new(kind, "the cache folder does not work")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_refuses_is_told_from_what_is_slow_or_broken() {
        let kind = |code| match Fault::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)) {
            Fault::Failed(error) => Some(error.kind()),
            Fault::Damaged(_) => None,
        };
        assert_eq!(kind(rusqlite::ffi::SQLITE_FULL), Some(ErrorKind::Refused));
        assert_eq!(kind(rusqlite::ffi::SQLITE_READONLY), Some(ErrorKind::Refused));
        assert_eq!(kind(rusqlite::ffi::SQLITE_BUSY), Some(ErrorKind::Timeout));
        assert_eq!(kind(rusqlite::ffi::SQLITE_IOERR), Some(ErrorKind::Backend));
        assert_eq!(kind(rusqlite::ffi::SQLITE_CORRUPT), None);
        let kind = |of| at(Path::new("folder"), io::Error::from(of)).kind();
        assert_eq!(kind(io::ErrorKind::StorageFull), ErrorKind::Refused);
        assert_eq!(kind(io::ErrorKind::NotADirectory), ErrorKind::Backend);
    }
}
