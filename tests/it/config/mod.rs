//! Files, profiles, the environment and code.

mod broken;
mod defaults;
mod enforced;
#[cfg(unix)]
mod files;
mod precedence;
mod reference;
mod reload;
mod samples;
mod secrets;
mod size;
mod sources;

use std::fs;
use std::path::PathBuf;

use retainit::{Builder, Retainit};
use tempfile::TempDir;

/// A folder with a main file, to be laid over with profiles.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn empty() -> Folder {
        Folder(TempDir::new().expect("a folder"))
    }

    pub(crate) fn new(main: &str) -> Folder {
        let folder = Folder::empty();
        folder.write("retainit.toml", main);
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a builder on the main file, with an environment that is empty.
    pub(crate) fn builder(&self) -> Builder {
        Retainit::builder().config_file(self.path("retainit.toml")).variables([("", ""); 0])
    }
}
