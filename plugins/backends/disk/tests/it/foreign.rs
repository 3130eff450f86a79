//! Tests that files which others have prepared in the folder are neither followed nor used.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use retainit_plugin::{ErrorKind, Read, StoreCondition, StoreOptions};

use crate::common::{Bench, bytes, folders, peek, set};

const NOBODY: u32 = 65_534;

/// Returns whether the tests run as root, who alone may give files away; otherwise prints what was left out.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("owners are not tested: only root may give files to others");
    }
    is_root
}

/// Returns a cache with an entry of each kind, that nobody has open.
fn filled() -> Bench {
    let bench = Bench::new();
    let disk = bench.open();
    set(&disk, "key", "value");
    set(&disk, "large", bytes("large", 100_000));
    disk.close().expect("the folders can be used");
    bench
}

/// Lists everything a process opens or makes below `v1`, by its path there.
fn parts(bench: &Bench) -> Vec<PathBuf> {
    let home = bench.home();
    let blob = bench.blobs().remove(0);
    let shard = blob.parent().expect("the folders can be used").to_owned();
    let v1 = bench.base().join("v1");
    let files = ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"].map(|name| home.join(name));
    let mut parts = vec![v1.clone(), v1.join("lock"), v1.join("current"), v1.join("current.new"), home.clone()];
    parts.extend(files);
    parts.extend([home.join("blobs"), shard, blob]);
    parts
}

/// Lists everything below a folder, with all that would show that it was touched.
fn inventory(folder: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        let looked = fs::symlink_metadata(&path).expect("the folders can be used");
        if looked.is_dir() {
            open.extend(folders(&path, ""));
        }
        let content = if looked.is_file() { fs::read(&path).expect("the folders can be used") } else { Vec::new() };
        found.push((path, looked.mode(), looked.uid(), content));
    }
    found.sort();
    found
}

/// Uses the cache in each way. Planted files cost an error that names the place and the remedy, or a miss.
fn use_it(bench: &Bench, planted: &Path) {
    let disk = bench.open();
    let right = |key: &str, found: &[u8]| match key {
        "key" => found == b"value" || found == b"new",
        _ => found == bytes("large", 100_000) || found == bytes("new", 100_000),
    };
    for key in ["key", "large"] {
        match disk.read(key, Read::peek()) {
            Ok(snapshot) => assert!(snapshot.entry.is_none_or(|found| right(key, &found)), "{}", planted.display()),
            Err(error) => tells(&error, planted),
        }
    }
    for (key, value) in [("key", "new".into()), ("large", bytes("new", 100_000))] {
        if let Err(error) = disk.store(key, value, StoreOptions::new(StoreCondition::Always)) {
            tells(&error, planted);
        }
    }
    if let Err(error) = disk.remove("key") {
        tells(&error, planted);
    }
}

fn tells(error: &retainit_plugin::Error, planted: &Path) {
    assert_eq!(error.kind(), ErrorKind::Backend);
    let (text, name) = (
        error.report(),
        planted.file_name().expect("the folders can be used").to_str().expect("the folders can be used"),
    );
    assert!(text.contains(name) && text.contains("remove it"), "{name}: {text}");
}

#[test]
fn a_planted_link_is_not_followed() {
    for part in 0..parts(&filled()).len() {
        let bench = filled();
        let planted = parts(&bench).remove(part);
        // The link leads to what was there, as it would be if it were used: or to a file that must not be touched.
        let treasure = bench.base().parent().unwrap().join("treasure");
        match fs::symlink_metadata(&planted) {
            Ok(_) => fs::rename(&planted, &treasure).unwrap(),
            Err(_) => fs::write(&treasure, "a file of value").unwrap(),
        }
        symlink(&treasure, &planted).unwrap();
        let before = inventory(&treasure);
        use_it(&bench, &planted);
        assert_eq!(inventory(&treasure), before, "{} was followed", planted.display());
        works_again(&bench, &planted);
    }
}

/// Checks the cache once the remedy was applied, or the planted files have been cleared away.
fn works_again(bench: &Bench, planted: &Path) {
    if fs::symlink_metadata(planted).is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(planted).expect("the folders can be used");
    }
    let disk = bench.open();
    set(&disk, "large", bytes("again", 100_000));
    assert_eq!(peek(&disk, "large"), Some(bytes("again", 100_000)), "{}", planted.display());
}

#[test]
fn a_link_that_leads_nowhere_makes_nothing_there() {
    for part in 0..parts(&filled()).len() {
        let bench = filled();
        let planted = parts(&bench).remove(part);
        let nowhere = bench.base().parent().unwrap().join("nowhere");
        match fs::symlink_metadata(&planted) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&planted).unwrap(),
            Ok(_) => fs::remove_file(&planted).unwrap(),
            Err(_) => {}
        }
        symlink(&nowhere, &planted).unwrap();
        use_it(&bench, &planted);
        assert!(!nowhere.exists(), "{} was followed", planted.display());
        works_again(&bench, &planted);
    }
}

#[test]
fn what_belongs_to_another_user_is_not_used() {
    if !is_root() {
        return;
    }
    for part in 0..parts(&filled()).len() {
        let bench = filled();
        let planted = parts(&bench).remove(part);
        if !planted.exists() {
            fs::write(&planted, "").unwrap();
        }
        chown(&planted, Some(NOBODY), Some(NOBODY)).unwrap();
        let treasure = inventory(&planted);
        use_it(&bench, &planted);
        // It was left as it was, or cleared away.
        let is_as_it_was =
            !planted.exists() || fs::symlink_metadata(&planted).unwrap().uid() == 0 || inventory(&planted) == treasure;
        assert!(is_as_it_was, "{} was used", planted.display());
    }
}

// The case that was found: everything planted by another user, `current.new` a link to a file of root's.
#[test]
fn as_root_a_folder_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let (v1, treasure) = (bench.base().join("v1"), bench.base().with_extension("treasure"));
    fs::create_dir_all(&v1).unwrap();
    fs::write(&treasure, "a file of value").unwrap();
    symlink(&treasure, v1.join("current.new")).unwrap();
    chown(&v1, Some(NOBODY), Some(NOBODY)).unwrap();
    let error = bench.open().health().unwrap_err().report();
    let expected = format!("it belongs to user {NOBODY}, and the program runs as user 0");
    assert!(error.contains(v1.to_str().unwrap()) && error.contains(&expected) && error.contains("chown"), "{error}");
    assert_eq!(fs::read(&treasure).unwrap(), b"a file of value");
    assert_eq!(fs::metadata(&v1).unwrap().permissions().mode() & 0o777, 0o755, "it was not touched");
    chown(&v1, Some(0), None).unwrap();
    bench.open().health().unwrap();
    assert_eq!(fs::read(&treasure).unwrap(), b"a file of value");
}

#[test]
fn a_database_that_others_may_write_to_is_not_used() {
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let bench = filled();
        let planted = bench.home().join(name);
        if !planted.exists() {
            fs::write(&planted, "").unwrap();
        }
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o662)).unwrap();
        let error = bench.open().health().unwrap_err().report();
        assert!(error.contains(name) && error.contains("others may write to it"), "{error}");
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o600)).unwrap();
        bench.open().health().unwrap();
    }
}

#[test]
fn a_database_with_another_name_is_not_written_to() {
    for name in ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"] {
        let bench = filled();
        let (planted, treasure) = (bench.home().join(name), bench.base().with_extension("treasure"));
        drop(fs::remove_file(&planted));
        fs::write(&treasure, "a file of value").unwrap();
        fs::hard_link(&treasure, &planted).unwrap();
        let error = bench.open().health().unwrap_err().report();
        assert!(error.contains(name) && error.contains("hard link"), "{error}");
        assert_eq!(fs::read(&treasure).unwrap(), b"a file of value");
    }
}

#[test]
fn nothing_that_is_made_can_be_read_by_others() {
    let bench = filled();
    let disk = bench.open();
    set(&disk, "key", "value");
    for (path, mode, ..) in inventory(&bench.base()) {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

/// The folder itself is the operator's: it may be a link.
#[test]
fn the_base_path_may_be_a_link() {
    let bench = Bench::new();
    let real = bench.base().with_extension("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, bench.base()).unwrap();
    let disk = bench.open();
    set(&disk, "large", bytes("large", 100_000));
    assert_eq!(peek(&disk, "large"), Some(bytes("large", 100_000)));
    assert!(real.join("v1/current").is_file());
}
