//! The package `quickstart` in `examples/quickstart`, run as people run it: on a folder of theirs, more than once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// The program, built alone, as people build it: with the features it asks for, and not with those of the workspace.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let profile = test.ancestors().nth(2).expect("tests lie in `deps` of a profile's folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "-p", "quickstart", "--offline"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", profile.parent().expect("a target folder"));
    let built = cargo.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    profile.join(format!("quickstart{}", std::env::consts::EXE_SUFFIX))
});

/// Runs cargo in the repository, and returns what it prints.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints names")
}

/// Counts what the first command compiles and runs, about as cargo's progress bar does: every crate, and of those that
/// have a build script its compilation and its run.
#[test]
fn the_first_command_compiles_little() {
    // 162 when this was an example of the facade; 85 is the goal.
    const MOST: usize = 98;
    let tree = ["tree", "-p", "quickstart", "-e", "normal,build", "--prefix", "none", "--format", "{p}", "--locked"];
    // A line is a name, a version and, for some, more.
    let crates: BTreeSet<String> = cargo(&tree)
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .filter(|name| !name.is_empty())
        .collect();
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its platform");
    // Without the filter cargo wants the sources of other platforms too.
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let scripts: BTreeSet<String> = list(&metadata["packages"])
        .filter(|package| list(&package["targets"]).any(|target| target["kind"][0] == "custom-build"))
        .map(|package| format!("{} v{}", text(&package["name"]), text(&package["version"])))
        .filter(|name| crates.contains(name))
        .collect();
    // SQLite's is among them, or this counts nothing.
    assert!(scripts.iter().any(|name| name.starts_with("libsqlite3-sys ")), "{scripts:?}");
    let units = crates.len() + 2 * scripts.len();
    assert!(units <= MOST, "{units} units, at most {MOST}: {crates:#?}, build scripts of {scripts:#?}");
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

/// A folder of files, and one to work in.
struct EntryAddress {
    files: TempDir,
    work: TempDir,
}

const FILES: u64 = 12;

/// Output of a run.
struct Run {
    code: Option<i32>,
    text: String,
}

impl EntryAddress {
    fn new() -> EntryAddress {
        let place = EntryAddress { files: TempDir::new().expect("a folder"), work: TempDir::new().expect("a folder") };
        (0..FILES).for_each(|number| place.write(number, "some text"));
        place
    }

    fn write(&self, number: u64, text: &str) {
        fs::write(self.files.path().join(format!("file {number}")), text.repeat(1 + number as usize)).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut program = Command::new(&*PROGRAM);
        program.arg(self.files.path()).args(arguments).current_dir(self.work.path());
        // The program gets none of this process's configuration.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RETAINIT_")) {
            program.env_remove(name);
        }
        let output = program
            .env("CARGO_MANIFEST_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart"))
            .output()
            .expect("it starts");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Run { code: output.status.code(), text }
    }

    fn cache(&self) -> &Path {
        self.work.path()
    }
}

impl Run {
    /// Files, hits and misses of a pass.
    fn pass(&self, name: &str) -> (u64, u64, u64) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        let row = self.text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.first() == Some(&name) && row.len() > 5);
        let row = row.unwrap_or_else(|| panic!("no row `{name}` in: {}", self.text));
        // The bytes take two columns: a number and its unit.
        let number = |at: usize| row[at].parse().unwrap_or_else(|_| panic!("{} in {row:?}", row[at]));
        (number(1), number(4), number(5))
    }
}

// T-20, T-146, R-13 (disk)
#[test]
fn a_second_run_of_the_program_reads_no_file() {
    let place = EntryAddress::new();
    let first = place.run(&[]);
    assert_eq!(first.pass("first"), (FILES, 0, FILES));
    assert_eq!(first.pass("second"), (FILES, FILES, 0));
    assert!(first.text.contains(".cache/retainit") && place.cache().join(".cache/retainit").is_dir(), "{}", first.text);
    let second = place.run(&[]);
    assert_eq!(second.pass("first"), (FILES, FILES, 0));
    assert!(second.text.contains("The first pass read no file and was "), "{}", second.text);
    place.write(3, "another text, of another length");
    let third = place.run(&["--backend", "disk"]);
    assert_eq!(third.pass("first"), (FILES, FILES - 1, 1));
    assert!(third.text.contains("1 of 12 files were new or had changed"), "{}", third.text);
}

#[test]
fn in_memory_every_run_begins_anew_and_leaves_nothing() {
    let place = EntryAddress::new();
    for _ in 0..2 {
        let run = place.run(&["--backend", "memory"]);
        assert_eq!((run.pass("first"), run.pass("second")), ((FILES, 0, FILES), (FILES, FILES, 0)));
    }
    assert_eq!(fs::read_dir(place.cache()).expect("a folder").count(), 0);
}

// D-08
#[test]
fn a_profile_brings_its_backend_unless_one_is_named() {
    let place = EntryAddress::new();
    let run = place.run(&["--profile", "test"]);
    assert_eq!((run.pass("first"), run.pass("second")), ((FILES, 0, FILES), (FILES, FILES, 0)));
    assert_eq!(fs::read_dir(place.cache()).expect("a folder").count(), 0, "the profile `test` stays in memory");
    for profile in ["development", "production"] {
        let run = place.run(&["--profile", profile, "--backend", "memory"]);
        assert_eq!(run.pass("first"), (FILES, 0, FILES));
    }
    let run = place.run(&["--profile", "development", "--backend", "disk"]);
    assert_eq!(run.pass("first"), (FILES, 0, FILES));
    assert!(place.cache().join(".cache/retainit").is_dir());
}

#[test]
fn what_cannot_be_done_is_said_with_the_remedy() {
    let place = EntryAddress::new();
    for (arguments, expected) in [
        (&["--backend", "tape"][..], "expected disk or memory"),
        (&["--backend"], "--backend wants a name"),
        (&["--bakcend", "disk"], "unknown option --bakcend"),
        (&["another"], "at most one folder"),
        (&["--profile", "tset"], "did you mean `test`?"),
    ] {
        let run = place.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.text);
        assert!(run.text.contains(expected), "{arguments:?}: {}", run.text);
    }
    fs::write(place.cache().join(".cache"), "in the way").expect("a file");
    let run = place.run(&[]);
    assert!(run.code == Some(2) && run.text.contains("--backend memory"), "{}", run.text);
}
