//! Calls of SQLite for which rusqlite has no safe function, in all its versions that this crate is built with.
//!
//! SQLite pauses by itself while it waits for locks. For most of them the pauses add up to `busy_timeout`; but where
//! the header of the log's index is torn, because its writer was stopped between two words, a read tries a hundred
//! times, with pauses of ten seconds in all, and no setting shortens them. They go through `xSleep` of the connection's
//! VFS: connections of this crate use SQLite's own VFS with another `xSleep`, which pauses no longer than the operation
//! may. The attempts after that follow each other at once, and SQLite gives up.
#![expect(unsafe_code, reason = "a VFS is a table of C functions, and a file control writes through a pointer")]

use std::ffi::{CStr, c_int, c_uint};
use std::ptr;
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, ffi};

use crate::wait;

/// Name of the VFS, with the version: two versions of this crate in one program have a bound each.
const NAME: &str = concat!("retainit-disk-", env!("CARGO_PKG_VERSION"), "\0");

/// Name of SQLite's own VFS. The program's default may be one made by somebody else, which may not be copied.
const SYSTEM: &CStr = if cfg!(windows) { c"win32" } else { c"unix" };

/// Returns the name of the VFS for connections of this crate; `None` where SQLite does not support the system.
pub(crate) fn name() -> Option<&'static str> {
    static IS_REGISTERED: LazyLock<bool> = LazyLock::new(register);
    IS_REGISTERED.then(|| NAME.trim_end_matches('\0'))
}

fn register() -> bool {
    // SAFETY: the name is a C string; SQLite initializes itself and locks its list.
    let system = unsafe { ffi::sqlite3_vfs_find(SYSTEM.as_ptr()) };
    if system.is_null() {
        return false;
    }
    let (name, next) = (NAME.as_ptr().cast(), ptr::null_mut());
    // SAFETY: what SQLite found is a static of its own, in which only `pNext` changes, and that is not read. Its
    // methods work on a copy: what they need of it are its plain fields, and SQLite registers copies itself.
    let shim = unsafe { ffi::sqlite3_vfs { pNext: next, zName: name, xSleep: Some(sleep), ..*system } };
    let shim = Box::leak(Box::new(shim));
    // SAFETY: table and name stay where they are for as long as the program runs, and nobody else changes them.
    unsafe { ffi::sqlite3_vfs_register(shim, 0) == ffi::SQLITE_OK }
}

/// Pauses as SQLite requests, but no longer than the operation of this thread may wait.
extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    wait::pause(Duration::from_micros(u64::try_from(micros).unwrap_or_default()));
    micros
}

/// Returns SQLite's counter of commits, as the connection saw it in its last transaction.
pub(crate) fn commits(connection: &Connection) -> rusqlite::Result<c_uint> {
    let mut commits: c_uint = 0;
    let place = (&raw mut commits).cast();
    // SAFETY: the borrowed connection is open and on this thread, and this file control writes one unsigned int.
    let code =
        unsafe { ffi::sqlite3_file_control(connection.handle(), ptr::null(), ffi::SQLITE_FCNTL_DATA_VERSION, place) };
    if code == ffi::SQLITE_OK { Ok(commits) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}
