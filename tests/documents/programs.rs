//! Programs made of blocks, compiled against the crates that this test was compiled against.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// Crates that programs of documents use, all dependencies of this test.
const CRATES: [&str; 5] = ["axum", "metrics", "retainit", "serde", "tokio"];

/// Arguments that let rustc find those crates, and all that they need.
static EXTERNS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a test knows its path");
    let deps = test.parent().expect("tests are in `deps`");
    let target = deps.ancestors().nth(2).expect("`deps` is in the folder of a profile, and that in the target's");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, because features are chosen for it: nothing that it has built is built again.
    cargo.args([
        "test",
        "--workspace",
        "--test",
        "documents",
        "--no-run",
        "--offline",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut libraries = BTreeMap::new();
    let mut arguments = vec!["-L".to_owned(), format!("dependency={}", deps.display())];
    for line in String::from_utf8(output.stdout).expect("cargo prints JSON").lines() {
        let message: Value = serde_json::from_str(line).expect("cargo prints JSON");
        for path in message["linked_paths"].as_array().into_iter().flatten() {
            arguments.extend(["-L".to_owned(), path.as_str().expect("a path").to_owned()]);
        }
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let (true, Some(file)) = (CRATES.contains(&name), files.into_iter().find(|file| file.ends_with(".rlib"))) {
            libraries.insert(name.to_owned(), file.to_owned());
        }
    }
    assert_eq!(libraries.len(), CRATES.len(), "{libraries:?}");
    for (name, file) in libraries {
        arguments.extend(["--extern".to_owned(), format!("{name}={file}")]);
    }
    arguments
});

/// A compiled program.
pub(crate) struct Program {
    path: PathBuf,
    /// True for tests, which may break their own cache: what retainit reports of it is no problem.
    pub(crate) is_test: bool,
}

/// The end of a run.
pub(crate) struct Run {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Compiles a text into a folder, as a program or as tests.
    ///
    /// # Errors
    ///
    /// The compiler's messages; warnings are errors.
    pub(crate) fn compile(name: &str, text: &str, folder: &Path, is_test: bool) -> Result<Program, String> {
        let source = folder.join(format!("{name}.rs"));
        let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        fs::write(&source, text).expect("a file");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-D", "warnings", "-C", "debuginfo=0", "--crate-name", name]);
        rustc.args(is_test.then_some("--test")).args(&*EXTERNS).arg("-o").arg(&program).arg(&source);
        // As cargo has compiled the crates: instrumented, where coverage is measured.
        rustc.args(std::env::var("RUSTFLAGS").unwrap_or_default().split_whitespace());
        let output = rustc.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("rustc runs");
        match output.status.success() {
            true => Ok(Program { path: program, is_test }),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Runs it in a folder, with these variables and without those of this process.
    pub(crate) fn run(&self, folder: &Path, variables: &[(&str, &str)]) -> Run {
        let mut program = Command::new(&self.path);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RETAINIT_")) {
            program.env_remove(name);
        }
        let output = program.envs(variables.iter().copied()).current_dir(folder).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        Run { succeeded: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Makes a folder with these files in it.
pub(crate) fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}
