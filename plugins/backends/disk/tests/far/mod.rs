//! A backend of which another process, on the same folder, carries out every second operation: this test binary,
//! started again, at the other end of a socket.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use retainit_disk::DiskConfig;
use retainit_plugin::{
    BackendConfig, Built, Bytes, Capabilities, Clock, Context, Error, ErrorKind, Fence, GroupVersion, LocalBackend,
    Page, Read, Result, Scan, Snapshot, StoreCondition, StoreOptions, Stored, Strength, WantedFence,
};
use retainit_testkit::{ManualClock, Recorder};
use serde::{Deserialize, Serialize};

const FOLDER: &str = "DISK_TEST_FAR_FOLDER";

/// Builds a backend of two processes that take turns, operation by operation.
pub(crate) fn taking_turns(folder: &Path, context: Context) -> Built {
    let clock = Arc::clone(&context.clock);
    let near = open(folder, context);
    Built::Local(Arc::new(Turns { near, far: Far::start(folder, clock), turn: AtomicUsize::new(0) }))
}

fn open(folder: &Path, context: Context) -> Arc<dyn LocalBackend> {
    match DiskConfig::new().base_path(folder).build(context) {
        Ok(Built::Local(backend)) => backend,
        other => panic!("disk built {other:?}"),
    }
}

#[derive(Debug)]
struct Turns {
    near: Arc<dyn LocalBackend>,
    far: Far,
    turn: AtomicUsize,
}

impl Turns {
    fn next(&self) -> &dyn LocalBackend {
        if self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { &*self.near } else { &self.far }
    }
}

impl LocalBackend for Turns {
    fn capabilities(&self) -> Capabilities {
        self.near.capabilities()
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.next().read(key, read)
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.next().store(key, entry, terms)
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.next().remove(key)
    }

    fn health(&self) -> Result<()> {
        self.next().health()
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        self.next().scan(scan)
    }

    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        self.next().raise(group, strength)
    }

    fn close(&self) -> Result<()> {
        self.near.close()?;
        self.far.close()
    }
}

// ----------------------------------------------------------------------------------------------------------- the wire

/// One call, and the time at which it is made: the clock of a suite is moved by hand.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    now: u64,
    wall: SystemTime,
    call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
enum Call {
    Read { key: String, fence: Wanted, groups: Vec<String> },
    Store { key: String, entry: Vec<u8>, when: Condition, ttl: Option<Duration>, groups: Vec<String> },
    Remove(String),
    Health,
    Scan { prefix: String, cursor: Option<String>, page: usize, placeholders: bool },
    Raise { group: String, hard: bool },
    Close,
}

#[derive(Debug, Serialize, Deserialize)]
enum Wanted {
    None,
    Seen,
    Take(Duration),
}

#[derive(Debug, Serialize, Deserialize)]
enum Condition {
    Fenced(u64),
    Always,
    Absent,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Snapshot {
        entry: Option<Vec<u8>>,
        fence: Option<u64>,
        versions: Vec<Option<(u64, u64)>>,
    },
    Yes(bool),
    Page {
        keys: Vec<String>,
        next: Option<String>,
    },
    GroupVersion(u64, u64),
    /// The name of its kind, and its message.
    Failed(String, String),
}

fn send(stream: &mut UnixStream, message: &impl Serialize) {
    rmp_serde::encode::write(stream, message).expect("the other process is there");
}

fn owned(groups: &[&str]) -> Vec<String> {
    groups.iter().map(|group| (*group).to_owned()).collect()
}

fn borrowed(groups: &[String]) -> Vec<&str> {
    groups.iter().map(String::as_str).collect()
}

fn number(fence: Fence) -> u64 {
    fence.as_number().expect("fences of a disk are numbers")
}

// ------------------------------------------------------------------------------------------------------- the near end

/// The other process, as a backend. It is killed with it.
struct Far {
    child: Child,
    stream: Mutex<UnixStream>,
    clock: Arc<dyn Clock>,
}

impl Far {
    fn start(folder: &Path, clock: Arc<dyn Clock>) -> Far {
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        let child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--exact", "far::serve"])
            .env(FOLDER, folder)
            // Killed while it ends, it would leave half a file of coverage, which cannot be read.
            .env("LLVM_PROFILE_FILE", "/dev/null")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn();
        Far { child: child.expect("this binary can be started"), stream: Mutex::new(ours), clock }
    }

    fn ask(&self, call: Call) -> Result<Answer> {
        let mut stream = self.stream.lock().expect("no call fails half-way");
        send(&mut stream, &Request { now: self.clock.now().as_millis(), wall: self.clock.wall(), call });
        match rmp_serde::from_read(&mut *stream).expect("an answer") {
            Answer::Failed(kind, message) => Err(Error::new(kind_of(&kind), message)),
            answer => Ok(answer),
        }
    }

    fn ask_whether(&self, call: Call) -> Result<bool> {
        let Answer::Yes(yes) = self.ask(call)? else { panic!("another answer") };
        Ok(yes)
    }
}

fn kind_of(name: &str) -> ErrorKind {
    let kinds = [ErrorKind::Backend, ErrorKind::Refused, ErrorKind::Timeout, ErrorKind::Closed, ErrorKind::Unsupported];
    kinds.into_iter().find(|kind| kind.as_str() == name).expect("a kind that the disk backend knows")
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").field("child", &self.child).finish_non_exhaustive()
    }
}

impl LocalBackend for Far {
    fn capabilities(&self) -> Capabilities {
        panic!("the near end says the same")
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        let fence = match read.fence {
            WantedFence::None => Wanted::None,
            WantedFence::Seen => Wanted::Seen,
            WantedFence::Take(lease) => Wanted::Take(lease),
            other => panic!("{other:?} is not known here"),
        };
        let call = Call::Read { key: key.to_owned(), fence, groups: owned(read.groups) };
        let Answer::Snapshot { entry, fence, versions } = self.ask(call)? else { panic!("another answer") };
        let version = |(hard, soft)| GroupVersion { hard, soft };
        let versions = versions.into_iter().map(|found| found.map(version)).collect();
        Ok(Snapshot::new(entry.map(Bytes::from), fence.map(Fence::number), versions))
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        // A token does not go through a pipe: what is given up already is not sent.
        terms.check()?;
        let when = match terms.when {
            StoreCondition::Fenced(fence) => Condition::Fenced(number(fence)),
            StoreCondition::Always => Condition::Always,
            StoreCondition::Absent => Condition::Absent,
            other => panic!("{other:?} is not known here"),
        };
        let (key, entry, groups) = (key.to_owned(), entry.to_vec(), owned(terms.groups));
        let stored = self.ask_whether(Call::Store { key, entry, when, ttl: terms.ttl, groups })?;
        Ok(if stored { Stored::Yes } else { Stored::Refused })
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.ask_whether(Call::Remove(key.to_owned()))
    }

    fn health(&self) -> Result<()> {
        self.ask_whether(Call::Health).map(drop)
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { prefix, cursor, page, placeholders, .. } = scan;
        let answer = self.ask(Call::Scan { prefix, cursor, page, placeholders })?;
        let Answer::Page { keys, next } = answer else { panic!("another answer") };
        Ok(Page::new(keys, next))
    }

    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        let call = Call::Raise { group: group.to_owned(), hard: strength == Strength::Hard };
        let Answer::GroupVersion(hard, soft) = self.ask(call)? else { panic!("another answer") };
        Ok(GroupVersion { hard, soft })
    }

    fn close(&self) -> Result<()> {
        self.ask_whether(Call::Close).map(drop)
    }
}

// -------------------------------------------------------------------------------------------------------- the far end

/// Serves the other process's end, until the near end has gone.
#[test]
fn serve() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let clock = ManualClock::new();
    let disk = open(&folder, Context::new("far", Arc::new(clock.clone()), Arc::new(Recorder::new())));
    let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("the socket is there");
    let mut stream = UnixStream::from(socket);
    while let Ok(Request { now, wall, call }) = rmp_serde::from_read(&mut stream) {
        clock.advance(Duration::from_millis(now - clock.now().as_millis()));
        clock.set_wall(wall);
        let answer = answer(&*disk, call);
        let failed = |error: Error| Answer::Failed(error.kind().as_str().to_owned(), error.to_string());
        send(&mut stream, &answer.unwrap_or_else(failed));
    }
}

fn answer(disk: &dyn LocalBackend, call: Call) -> Result<Answer> {
    Ok(match call {
        Call::Read { key, fence, groups } => {
            let read = match fence {
                Wanted::None => Read::peek(),
                Wanted::Seen => Read::seen(),
                Wanted::Take(lease) => Read::take(lease),
            };
            let groups = borrowed(&groups);
            let read = read.groups(&groups);
            let Snapshot { entry, fence, versions, .. } = disk.read(&key, read)?;
            let versions = versions.iter().map(|found| found.map(|version| (version.hard, version.soft))).collect();
            Answer::Snapshot { entry: entry.map(|entry| entry.to_vec()), fence: fence.map(number), versions }
        }
        Call::Store { key, entry, when, ttl, groups } => {
            let groups = borrowed(&groups);
            let when = match when {
                Condition::Fenced(fence) => StoreCondition::Fenced(Fence::number(fence)),
                Condition::Always => StoreCondition::Always,
                Condition::Absent => StoreCondition::Absent,
            };
            let stored = disk.store(&key, entry.into(), StoreOptions::new(when).ttl(ttl).groups(&groups))?;
            Answer::Yes(stored == Stored::Yes)
        }
        Call::Remove(key) => Answer::Yes(disk.remove(&key)?),
        Call::Health => disk.health().map(|()| Answer::Yes(true))?,
        Call::Scan { prefix, cursor, page, placeholders } => {
            let mut scan = Scan::prefix(prefix);
            (scan.cursor, scan.page, scan.placeholders) = (cursor, page, placeholders);
            let Page { keys, next, .. } = disk.scan(scan)?;
            Answer::Page { keys, next }
        }
        Call::Raise { group, hard } => {
            let strength = if hard { Strength::Hard } else { Strength::Soft };
            let GroupVersion { hard, soft } = disk.raise(&group, strength)?;
            Answer::GroupVersion(hard, soft)
        }
        Call::Close => disk.close().map(|()| Answer::Yes(true))?,
    })
}
