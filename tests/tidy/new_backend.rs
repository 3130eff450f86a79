//! `scripts/new-backend`, run in a copy of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Makes a copy with the times of its files, so that cargo compiles it once. Its path is always the same, for the same
/// reason.
fn copy() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-backend");
    if copy.exists() {
        fs::remove_dir_all(&copy).expect("an earlier copy can be removed");
    }
    copy_folder(Path::new(env!("CARGO_MANIFEST_DIR")), &copy);
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        let (name, to) = (entry.file_name(), to.join(entry.file_name()));
        let name = name.to_string_lossy();
        if entry.file_type().expect("it was just listed").is_dir() {
            if !name.starts_with("target") && !matches!(&*name, ".git" | ".cache") {
                copy_folder(&entry.path(), &to);
            }
            continue;
        }
        fs::copy(entry.path(), &to).expect("a file can be copied");
        let modified = entry.metadata().and_then(|found| found.modified()).expect("a file has a time");
        let file = fs::File::options().append(true).open(&to).expect("the copy can be opened");
        file.set_modified(modified).expect("a time can be set");
    }
}

fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.success(), text)
}

fn new_backend(copy: &Path, name: &str) -> (bool, String) {
    run(Command::new(copy.join("scripts/new-backend")).arg(name).current_dir(copy))
}

#[test]
fn a_new_backend_compiles_and_fails_only_where_your_code_is_missing() {
    let copy = copy();
    let manifest = || fs::read_to_string(copy.join("Cargo.toml")).expect("it was copied");
    let before = manifest();
    for name in ["disk", "core", "json", "default", "Foo", "foo-bar_baz", "-foo", "9foo", "foo/bar", ""] {
        let (done, text) = new_backend(&copy, name);
        assert!(!done && text.contains(&format!("`{name}`")), "{name:?}: {text}");
    }
    assert_eq!(manifest(), before, "a refused name changes nothing");

    let (done, text) = new_backend(&copy, "new-store");
    assert!(done, "{text}");
    let (done, text) = new_backend(&copy, "new_store");
    assert!(!done && text.contains("is taken"), "the same name with another sign: {text}");
    its_tests_name_what_is_missing(&copy);
    the_rules_of_the_house_hold(&copy);
}

fn its_tests_name_what_is_missing(copy: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = std::env::current_exe().expect("a test knows where it lies");
    let target = test.ancestors().nth(3).expect("tests lie in `deps` of a profile's folder");
    let arguments = ["test", "--offline", "--no-fail-fast", "-p", "retainit-new-store"];
    let (passed, text) = run(Command::new(cargo)
        .args(arguments)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .env("RUST_BACKTRACE", "0"));
    assert!(!passed, "nothing keeps anything yet: {text}");
    assert!(!text.contains("warning:"), "{text}");
    for expected in [
        "test it_conforms ... FAILED",
        "test building_does_no_io_and_what_cannot_be_used_is_named ... ok",
        "Doc-tests retainit_new_store",
        "test result: ok. 1 passed; 0 failed",
    ] {
        assert!(text.contains(expected), "no `{expected}` in: {text}");
    }
    let (_, list) = text.split_once("cases failed\n").unwrap_or_else(|| panic!("the suite has not run: {text}"));
    let failed: Vec<_> = list.lines().take_while(|line| line.starts_with("  ")).collect();
    assert!(failed.len() > 5, "{text}");
    for case in failed {
        assert!(case.contains("your code here: NewStoreBackend::"), "{case}");
    }
}

/// Runs this binary with the copy in place of the repository.
fn the_rules_of_the_house_hold(copy: &Path) {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let rules = [
        "every_crate_is_a_member_and_says_what_all_say",
        "dependencies_point_one_way",
        "the_core_names_no_plugin",
        "every_backend_has_its_parts",
    ];
    let (passed, text) = run(Command::new(test).arg("--exact").args(rules).env("CARGO_MANIFEST_DIR", copy));
    assert!(passed && text.contains("4 passed"), "{text}");
}
