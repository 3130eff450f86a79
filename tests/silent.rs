//! Tests that a program which sets up neither retainit nor a log gets the reason for disabled caching on standard
//! error, once. A binary of its own, some of whose functions no instance can cache: each case is this binary, started
//! again in a folder.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use retainit::{Overrides, invalidate, retain, retain_put};
use serde::{Serialize, Serializer};
use tempfile::TempDir;
use tracing::span;

const ROLE: &str = "SILENT_TEST_ROLE";

#[retain(id = "silent.nowhere", backend = "nowhere")]
fn nowhere(id: u64) -> u64 {
    id
}

#[retain(id = "silent.nowhere_too", backend = "nowhere")]
fn nowhere_too(id: u64) -> u64 {
    id
}

#[retain(id = "silent.hashed", hash_key)]
fn hashed(id: u64) -> u64 {
    id
}

#[retain(id = "silent.named", serializer = "none such")]
fn named(id: u64) -> u64 {
    id
}

#[retain(id = "silent.plain")]
fn plain(id: u64) -> u64 {
    id
}

#[retain_put(of = plain, key = (id,))]
fn put(id: u64) -> u64 {
    id
}

#[invalidate(of = plain, key = (id,))]
fn forget(id: u64) {
    assert!(id > 0);
}

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no text"))
    }
}

#[retain(id = "silent.unwritable", key = Unwritable)]
fn unwritable(id: u64) -> u64 {
    id
}

#[derive(Clone, serde::Deserialize)]
struct Opaque;

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Unwritable.serialize(serializer)
    }
}

#[retain(id = "silent.opaque")]
fn opaque(id: u64) -> Opaque {
    assert!(id > 0);
    Opaque
}

/// A log that takes records to a level.
struct Log(tracing::Level);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        if CALLS.replace(false) {
            assert_eq!(plain(1), 1);
            CALLS.set(true);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

thread_local! {
    /// Set if the log calls a retained function itself.
    static CALLS: Cell<bool> = const { Cell::new(false) };
}

/// Plays a role in a process of its own; without one there is nothing to do.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let log = |level| tracing::subscriber::set_global_default(Log(level)).expect("nobody else listens");
    match role.as_str() {
        "call" => {}
        "log" => log(tracing::Level::WARN),
        "log_that_calls" => {
            CALLS.set(true);
            log(tracing::Level::WARN);
        }
        "log_errors" => log(tracing::Level::ERROR),
        "disabled" => {
            retainit::disabled_sync(call_all);
            retainit::with_sync(Overrides::new().disabled(true), call_all);
        }
        "invalidate" => {
            let current = retainit::current();
            let blocking = current.blocking();
            let all = [
                blocking.invalidate_tag("t").map(drop),
                blocking.expire_tag("t").map(drop),
                blocking.invalidate_pattern("*").map(drop),
                blocking.clear().map(drop),
            ];
            let refused = all
                .iter()
                .filter(|result| result.as_ref().is_err_and(|error| error.kind() == retainit::ErrorKind::Config));
            return println!("> {} refused", refused.count());
        }
        "closed" => retainit::current().blocking().close().expect("it can be closed"),
        "health" => return println!("> {}", retainit::current().blocking().health().expect("it is open")),
        #[cfg(unix)]
        "full" => return fill(),
        other => panic!("no role {other}"),
    }
    if role != "disabled" {
        call_all();
        call_all();
    }
    println!("> uncached {}", retainit::stats().uncached);
}

fn call_all() {
    let functions: [fn(u64) -> u64; 7] = [nowhere, nowhere_too, hashed, named, plain, put, unwritable];
    functions.iter().for_each(|function| assert_eq!(function(1), 1));
    let Opaque = opaque(1);
    forget(1);
}

/// Plays a role in a process; returns its output and retainit's lines of its standard error.
fn played(files: &[(&str, &str)], role: &str) -> (String, Vec<String>) {
    played_by(Command::new(program()), files, role)
}

fn program() -> PathBuf {
    std::env::current_exe().expect("this binary has a path")
}

fn played_by(mut command: Command, files: &[(&str, &str)], role: &str) -> (String, Vec<String>) {
    let folder = TempDir::new().expect("a folder");
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("a file"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RETAINIT_")) {
        command.env_remove(name);
    }
    command.args(["--exact", "role", "--nocapture"]).current_dir(folder.path()).env(ROLE, role);
    let output = command.output().expect("this binary can be started");
    let (said, printed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{role}: {said}{printed}");
    let said = said.lines().filter_map(|line| Some(line.split_once("> ")?.1.to_owned())).collect();
    (said, printed.lines().filter(|line| line.starts_with("retainit: ")).map(str::to_owned).collect())
}

/// Asserts that each line, identified by a part of it, is there once and that there is no other.
#[track_caller]
fn prints(lines: &[String], parts: &[&str]) {
    for part in parts {
        assert_eq!(lines.iter().filter(|line| line.contains(part)).count(), 1, "{part:?} in\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), parts.len(), "{}", lines.join("\n"));
}

const DISK: &str = "[retainit.backends.default]\ntype = \"disk\"\nbase_path = \"cache\"\n";

#[test]
fn every_problem_of_a_configuration_is_a_line_on_standard_error() {
    let one = &[("retainit.toml", "[retainit]\nnamespce = \"x\"\n")];
    let (said, lines) = played(one, "call");
    prints(
        &lines,
        &[
            "all functions run uncached, and invalidations fail: retainit.toml:2: namespce: unknown key; did you mean `namespace`?",
        ],
    );
    // Seven functions that are called twice; those that write load nothing.
    assert!(said.contains("uncached 14"), "{said}");
    // Other processes may share a backend that this one cannot see.
    assert!(played(one, "invalidate").0.contains("4 refused"));
    let two = &[("retainit.toml", "[retainit]\nnamespce = 1\n[retainit.backends.a]\ntype = \"dsik\"\n")];
    prints(&played(two, "call").1, &["retainit.toml:2: namespce", "retainit.toml:4: "]);
    prints(&played(one, "log").1, &[]);
    prints(&played(one, "log_errors").1, &[]);
    // Also a log that is called while the default instance is made.
    assert!(played(one, "log_that_calls").0.contains("uncached "));
    assert!(played(&[("retainit.toml", DISK)], "log_that_calls").0.contains("uncached "));
}

#[test]
fn an_id_that_is_probably_another_is_a_line_on_standard_error() {
    let files = |ids: &[&str]| {
        let tables = ids.iter().map(|id| format!("[retainit.functions.\"{id}\"]\nttl = \"1h\"\n"));
        format!("[retainit.backends.default]\ntype = \"memory\"\n{}", tables.collect::<String>())
    };
    let text = files(&["silent.plan", "plain::silent.plain", "far.away"]);
    let (_, lines) = played(&[("retainit.toml", &text)], "call");
    let told: Vec<_> = lines.into_iter().filter(|line| line.contains("no function of this program")).collect();
    // One that resembles none may be another program's.
    prints(
        &told,
        &[
            "retainit.toml:4: no function of this program is called `silent.plan`; did you mean `silent.plain`?",
            "retainit.toml:6: no function of this program is called `plain::silent.plain`; did you mean `silent.plain`?",
        ],
    );
    let (_, logged) = played(&[("retainit.toml", &text)], "log");
    assert!(!logged.iter().any(|line| line.contains("no function of this program")), "{logged:?}");
}

#[test]
fn what_switches_one_function_off_is_a_line_on_standard_error() {
    let disk = &[("retainit.toml", DISK)];
    let broken = [
        "`silent.nowhere` run uncached (plan): no backend is called `nowhere`",
        "`silent.hashed` run uncached (plan): ",
        "`silent.named` run uncached (plan): ",
        "`silent.unwritable` run uncached (key): ",
        "results of `silent.opaque` are not cached (store): ",
    ];
    let (said, lines) = played(disk, "call");
    // The problem of `nowhere_too` is that of `nowhere`.
    prints(&lines, &broken);
    assert!(said.contains("uncached 10"), "{said}");
    prints(&played(disk, "log").1, &[]);
    // Such problems are warnings: a log of errors shows none of them.
    prints(&played(disk, "log_errors").1, &broken);
}

#[test]
fn a_log_that_leads_nowhere_does_not_count() {
    let lines =
        |logging: &str| played(&[("retainit.toml", &format!("{DISK}[retainit.logging]\n{logging}\n"))], "call").1.len();
    assert_eq!((lines("level = \"info\""), lines("level = \"off\"")), (5, 0));
    assert_eq!(lines("format = \"json\"\npath = \"cache.log\""), 0);
}

#[test]
fn a_folder_that_cannot_be_used_is_a_line_on_standard_error() {
    let scene = &[("retainit.toml", DISK), ("cache", "a file, and no folder")];
    let (said, lines) = played(scene, "call");
    let failing = lines.iter().filter(|line| line.contains("cache folder")).count();
    assert!((1..=3).contains(&failing), "{}", lines.join("\n"));
    assert!(lines.iter().any(|line| line.contains("silent.plain` run uncached (read)")), "{}", lines.join("\n"));
    assert!(said.contains("uncached 14"), "{said}");
}

#[test]
fn what_the_program_asked_for_is_counted_and_no_problem() {
    let scene = &[("retainit.toml", DISK)];
    let (said, lines) = played(scene, "disabled");
    prints(&lines, &["`silent.unwritable` run uncached (key): "]);
    assert!(said.contains("uncached 14"), "{said}");
    let (said, lines) = played(scene, "closed");
    assert!(said.contains("uncached 14"), "{said}");
    assert!(!lines.iter().any(|line| line.contains("silent.plain")), "{}", lines.join("\n"));
}

#[test]
fn health_names_the_functions_of_the_program_that_cannot_be_cached() {
    let (said, _) = played(&[("retainit.toml", DISK)], "health");
    for id in ["silent.nowhere", "silent.nowhere_too", "silent.hashed", "silent.named"] {
        assert!(said.contains(&format!("; function `{id}`: ")), "{id}: {said}");
    }
    assert!(said.starts_with("degraded") && !said.contains("silent.plain") && !said.contains("; default:"), "{said}");
}

/// Stores until that fails, and some more.
#[cfg(unix)]
fn fill() {
    let cache = retainit::current().cache::<Vec<u8>>("silent.full").build().expect("nothing is wrong");
    let store = |number: u32| cache.blocking().get_or_load(&number, || vec![7; 20_000]);
    let mut left = 5;
    for number in 0..2_000 {
        assert_eq!(store(number).len(), 20_000);
        left -= u32::from(retainit::stats().errors > 0);
        if left == 0 {
            break;
        }
    }
    println!("> {}", retainit::current().blocking().health().expect("it is open"));
    let read = cache.blocking().get(&0).is_ok_and(|found| found.is_hit());
    println!("> what is there is read: {read}");
}

// A limit on the size of files holds for root too.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_is_not_healthy() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""]).arg(program());
    // Coverage of half a file could not be read.
    shell.env("LLVM_PROFILE_FILE", "/dev/null");
    let (said, lines) = played_by(shell, &[("retainit.toml", DISK)], "full");
    assert!(said.contains("degraded; default: the database does not work"), "{said}");
    assert!(said.contains("what is there is read: true"), "{said}");
    assert_eq!(
        lines.iter().filter(|line| line.contains("`silent.full` are not cached (store): ")).count(),
        1,
        "{lines:?}"
    );
}
