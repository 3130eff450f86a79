//! Starts other processes: this test binary, once more for one role.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use retainit_disk::DiskConfig;
use retainit_plugin::{ErrorKind, Read, StoreCondition, StoreOptions, Stored, Strength, SystemClock};
use retainit_testkit::Recorder;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Disk, build, bytes, set};

const ROLE: &str = "DISK_TEST_ROLE";
const FOLDER: &str = "DISK_TEST_FOLDER";

/// A child that is killed at the end of its test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(role: &str, folder: &Path) -> Process {
        Process::start_with(role, folder, &[])
    }

    /// Starts a process with further environment variables.
    pub(crate) fn start_with(role: &str, folder: &Path, environment: &[(&str, &str)]) -> Process {
        let mut command = command(role, folder);
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        // Killed while it ends, it would leave half a file of coverage, which cannot be read.
        command.env("LLVM_PROFILE_FILE", "/dev/null");
        Process(command.spawn().expect("this binary can be started"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns the lines it prints, from its own part on.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        let out = self.0.stdout.take().expect("taken once");
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines.filter_map(|line| Some(line.split_once("> ")?.1.to_owned()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.0);
        kill_process(id, signal).expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "child::role", "--nocapture"]).env(ROLE, role).env(FOLDER, folder);
    command
}

fn expect_success(role: &str, status: ExitStatus) {
    assert!(status.success(), "the child for `{role}` ended with {status}");
}

/// Runs a role to its end in a working directory.
pub(crate) fn run_in(role: &str, folder: &Path) {
    let status = command(role, folder).current_dir(folder).status();
    expect_success(role, status.expect("this binary can be started"));
}

/// Runs a role to its end, as another user if one is given.
pub(crate) fn run_as(role: &str, folder: &Path, user: Option<u32>) {
    let mut command = command(role, folder);
    if let Some(user) = user {
        command.uid(user).gid(user).current_dir("/");
    }
    expect_success(role, command.status().expect("this binary can be started"));
}

/// Runs a role under a limit on the size of files, past which a write fails as on a full disk.
pub(crate) fn run_with_small_files(role: &str, folder: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact child::role --nocapture"]);
    shell.arg(std::env::current_exe().expect("this binary has a path")).env(ROLE, role).env(FOLDER, folder);
    // Coverage of half a file could not be read.
    shell.env("LLVM_PROFILE_FILE", "/dev/null");
    expect_success(role, shell.status().expect("there is a shell"));
}

#[test]
fn role() {
    let (Ok(role), Some(folder)) = (std::env::var(ROLE), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    match role.as_str() {
        "default_path" => default_path(),
        "read_only" => read_only(&open(folder)),
        "full" => full(&open(folder)),
        "holder" => hold(folder),
        "committer" => stop_in_mid_commit(folder),
        "writer" => write(&open(folder)),
        "actor" => crate::actor::act(folder),
        "bumper" => bump(&open(folder), folder),
        "follower" => follow(&open(folder), folder),
        role => panic!("no role is called {role}"),
    }
}

fn open(folder: &Path) -> Disk {
    build(DiskConfig::new().base_path(folder).max_bytes(16 << 20), Arc::new(SystemClock), &Recorder::new())
}

/// Sends the parent a line.
pub(crate) fn say(what: impl std::fmt::Display) {
    println!("> {what}");
}

fn default_path() {
    let disk = build(DiskConfig::new(), Arc::new(SystemClock), &Recorder::new());
    // Where it was built is what counts.
    std::env::set_current_dir("/").expect("there is a root");
    set(&disk, "key", "value");
}

fn read_only(disk: &Disk) {
    assert_eq!(disk.read("key", Read::peek()).expect_err("nothing may be written").kind(), ErrorKind::Refused);
    assert_eq!(
        disk.store("key", "value".into(), StoreOptions::new(StoreCondition::Always))
            .expect_err("nothing may be written")
            .kind(),
        ErrorKind::Refused
    );
    assert_eq!(disk.remove("key").expect_err("nothing may be written").kind(), ErrorKind::Refused);
}

fn full(disk: &Disk) {
    let store = |key: &str, len| disk.store(key, bytes(key, len), StoreOptions::new(StoreCondition::Always));
    let failed = (0..10_000).find_map(|i| store(&format!("key{i}"), 1_000).err()).expect("no file may be that large");
    // To SQLite the limit that this test sets is a failed write; a full disk has a code of its own.
    assert_eq!(failed.kind(), ErrorKind::Backend, "{failed}");
    let failed = store("blob", 2 << 20).expect_err("nothing may be written");
    assert_eq!(failed.kind(), ErrorKind::Refused, "{failed}");
    for i in 0..10 {
        let key = format!("key{i}");
        let found = disk.read(&key, Read::peek()).expect("a read").entry;
        assert!(found.is_none_or(|found| found == bytes(&key, 1_000)));
    }
}

/// Takes the write lock and keeps it.
fn hold(folder: &Path) {
    let home = crate::common::folders(&folder.join("v1"), "db-").remove(0);
    let sql = Connection::open(home.join("store.db")).expect("a database");
    sql.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    say("held");
    loop {
        thread::park();
    }
}

/// Stops in mid-commit: it holds the write lock, and of the two headers of the log's index only one is written. It ends
/// the commit when it goes on and finds a file called `go_on`.
fn stop_in_mid_commit(folder: &Path) {
    let home = crate::common::folders(&folder.join("v1"), "db-").remove(0);
    let sql = Connection::open(home.join("store.db")).expect("a database");
    sql.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET blob_bytes = blob_bytes").expect("the lock is free");
    let index = OpenOptions::new().read(true).write(true).open(home.join("store.db-shm")).expect("a log has an index");
    // The number of changes in the second header, which is the first to be written.
    let (place, mut before) = (48 + 8, [0; 4]);
    index.read_exact_at(&mut before, place).expect("it has two headers");
    index.write_all_at(&before.map(|byte| !byte), place).expect("it can be written");
    say("torn");
    while !folder.join("go_on").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    index.write_all_at(&before, place).expect("it can be written");
    sql.execute_batch("COMMIT").expect("the lock was kept");
    say("whole");
}

/// Sizes of rows, overflowing rows and files.
pub(crate) const SIZES: [usize; 5] = [10, 1_000, 20_000, 66_000, 150_000];

/// Stores, removes and raises without end, and reports the progress of its own key.
fn write(disk: &Disk) {
    let id = std::process::id();
    let groups = ["r1:t:default:-:crash"];
    for round in 1_u64.. {
        let key = format!("shared{}", round * 7 % 31);
        let value = bytes(&format!("{key}#{round}"), SIZES[round as usize % SIZES.len()]);
        match round % 4 {
            0 => drop(disk.remove(&key)),
            1 => drop(disk.raise(groups[0], Strength::Hard)),
            _ => drop(disk.store(
                &key,
                stamped(round, &key, value.len()),
                StoreOptions::new(StoreCondition::Always).groups(&groups),
            )),
        }
        let own = format!("own{id}");
        let stored = disk.store(
            &own,
            stamped(round, &own, SIZES[round as usize % 4]),
            StoreOptions::new(StoreCondition::Always),
        );
        if stored.is_ok_and(|stored| stored == Stored::Yes) {
            say(round);
        }
    }
}

/// Returns bytes that show whether they are those of one store: a number, and what follows from it and the key.
pub(crate) fn stamped(number: u64, key: &str, len: usize) -> retainit_plugin::Bytes {
    let mut stamped = number.to_le_bytes().to_vec();
    stamped.extend(bytes(&format!("{key}#{number}"), len));
    stamped.into()
}

/// Returns the number in stamped bytes, if all of them are right.
pub(crate) fn number_of(key: &str, found: &[u8]) -> Option<u64> {
    let (number, rest) = found.split_first_chunk()?;
    let number = u64::from_le_bytes(*number);
    (bytes(&format!("{key}#{number}"), rest.len()) == rest).then_some(number)
}

/// Changes the source, removes its entries, and reports when that was acknowledged.
fn bump(disk: &Disk, folder: &Path) {
    set(disk, "warm", "up");
    for number in 1_u64..=300 {
        let aside = folder.join("source.new");
        std::fs::write(&aside, number.to_string()).expect("the source can be written");
        std::fs::rename(aside, folder.join("source")).expect("the source can be written");
        while disk.remove("key").is_err() {}
        say(number);
        thread::sleep(Duration::from_millis(number % 3));
    }
}

/// Removes a key, and does so again each time the folder was renamed, by the number in a file beside it.
fn follow(disk: &Disk, folder: &Path) {
    for round in 0..20 {
        while disk.remove("key").is_err() {}
        say("removed");
        while std::fs::read_to_string(folder.with_extension("go")).ok() != Some(round.to_string()) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
