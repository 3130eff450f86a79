use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Opens a file that a configuration names. It never blocks: anything but a regular file, such as a pipe, a device or a
/// folder, is an error. Links are followed.
///
/// On Unix it replaces `custom_flags` of the options.
///
/// ```
/// # let folder = std::env::temp_dir();
/// use std::fs::OpenOptions;
///
/// let mut options = OpenOptions::new();
/// let error = retainit_plugin::open_file(&folder, options.read(true)).unwrap_err();
/// assert_eq!(error.to_string(), "it is a folder and no regular file");
/// ```
///
/// # Errors
///
/// Those of [`OpenOptions::open`], and [`ErrorKind::InvalidInput`] that names what it is instead of a regular file.
pub fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open(path, options, true)
}

/// Opens a file whose name no configuration gives, such as one beside a log, as [`open_file`] does: anybody who may
/// write to the folder can foresee its name.
///
/// On Unix links are not followed, and a file that belongs to another user, that others may write to or that has a
/// second name is an error.
///
/// # Errors
///
/// Those of [`open_file`], and [`ErrorKind::InvalidInput`] with the reason why the file is not used.
pub fn open_own_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open(path, options, false)?;
    #[cfg(unix)]
    check_own(&file.metadata()?)?;
    Ok(file)
}

fn open(path: &Path, options: &mut OpenOptions, follows: bool) -> io::Result<File> {
    // Opening alone may make a device do something, so that nothing but a file is opened in the first place.
    match if follows { fs::metadata(path) } else { fs::symlink_metadata(path) } {
        Ok(found) => check(&found)?,
        // It may be made.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let link = if follows { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(link).bits();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.cast_signed());
    }
    let file = options.open(path)?;
    // Something else may have come in its place meanwhile.
    check(&file.metadata()?)?;
    Ok(file)
}

#[cfg(unix)]
fn check_own(found: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let why = if found.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & 0o022 != 0 {
        "others may write to it"
    } else if found.nlink() > 1 {
        "it has another name, a hard link"
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("{why}: remove it")))
}

/// Reads the text of a file that a configuration names, as [`open_file`] opens it.
///
/// # Errors
///
/// Those of [`open_file`], and [`ErrorKind::InvalidData`] for more than `limit` bytes and for what is not UTF-8.
pub fn read_file(path: &Path, limit: u64) -> io::Result<String> {
    let file = open_file(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    // Some files have no length and go on for ever.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("it has more than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not valid UTF-8"))
}

fn check(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = match () {
        () if found.is_dir() => "a folder",
        () if found.is_symlink() => "a symbolic link",
        () => irregular(found),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what} and no regular file")))
}

#[cfg(unix)]
fn irregular(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = found.file_type();
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn irregular(_: &Metadata) -> &'static str {
    "a device"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_read_beyond_its_limit() {
        let path = std::env::temp_dir().join(format!("retainit-file-{}", std::process::id()));
        fs::write(&path, "four").expect("a file");
        assert_eq!(read_file(&path, 4).expect("it is short enough"), "four");
        assert_eq!(read_file(&path, 3).expect_err("too long").to_string(), "it has more than 3 bytes");
        fs::write(&path, b"\xff").expect("a file");
        assert_eq!(read_file(&path, 4).expect_err("no text").to_string(), "it is not valid UTF-8");
        fs::remove_file(&path).expect("it is there");
        assert_eq!(read_file(&path, 4).expect_err("it is not").kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_have_planted_is_not_opened() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = std::env::temp_dir().join(format!("retainit-own-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let (theirs, own) = (folder.join("theirs"), folder.join("own"));
        fs::write(&theirs, "theirs").expect("a file");
        let open = || open_own_file(&own, OpenOptions::new().append(true).create(true)).map(drop);
        let refused = |why: &str| {
            let error = open().expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            fs::remove_file(&own).expect("it is there");
        };
        symlink(&theirs, &own).expect("a link");
        refused("a symbolic link");
        symlink(folder.join("nowhere"), &own).expect("a link");
        refused("a symbolic link");
        fs::hard_link(&theirs, &own).expect("a second name");
        refused("a hard link");
        open().expect("it is made");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o666)).expect("it is ours");
        refused("others may write");
        open().and_then(|()| open()).expect("it is made, and opened again");
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_is_not_opened() {
        for (path, what) in [("/dev/zero", "a device"), ("/proc", "a folder")] {
            let error = read_file(Path::new(path), 4).expect_err(path);
            assert_eq!(error.to_string(), format!("it is {what} and no regular file"));
        }
        // The system reports a length of zero for it.
        assert!(read_file(Path::new("/proc/self/status"), 16).is_err());
    }
}
