use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Capabilities, Error, ErrorKind, Fence, Group, Result, Strength, Version};

/// How a read is meant.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Read<'a> {
    /// Take the fence too, in the same operation: the caller is going to load on a miss. Where the slot is empty a
    /// backend leaves a placeholder in it, for at most this long.
    pub fence: Option<Duration>,
    /// Groups whose versions are wanted with the entry.
    pub groups: &'a [Group],
}

impl<'a> Read<'a> {
    /// A read that takes nothing.
    pub fn peek() -> Read<'a> {
        Read::default()
    }

    /// A read by someone who is going to load on a miss and store within `lease`.
    pub fn fenced(lease: Duration) -> Read<'a> {
        Read { fence: Some(lease), groups: &[] }
    }

    /// Also asks for versions.
    #[must_use]
    pub fn groups(mut self, groups: &'a [Group]) -> Read<'a> {
        self.groups = groups;
        self
    }
}

/// What was found, as of one instant.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stored bytes; placeholders are not shown.
    pub entry: Option<Bytes>,
    /// The fence, if it was asked for and the backend has fences.
    pub fence: Option<Fence>,
    /// The versions of the groups asked for, in their order.
    pub versions: Vec<Version>,
    /// Whether the backend has compared the stored bytes with a checksum of its own, taken when they were stored: the
    /// engine then does not compare them with theirs. Who changes the bytes takes this back.
    pub verified: bool,
}

impl Snapshot {
    /// What a read found, not verified.
    pub fn new(entry: Option<Bytes>, fence: Option<Fence>, versions: Vec<Version>) -> Snapshot {
        Snapshot { entry, fence, versions, verified: false }
    }

    /// The same, verified.
    #[must_use]
    pub fn verified(mut self) -> Snapshot {
        self.verified = true;
        self
    }
}

/// Under which condition bytes go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Only while the fence stands: what a load brings. The fence falls with it: of several loads under one fence the
    /// first to be stored wins.
    Fenced(Fence),
    /// In any case, and the fence falls: `set`, `retain_put`, a refresh.
    Always,
    /// Only into an empty slot, where a placeholder counts as empty; the fence falls.
    Absent,
}

/// The terms of a store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Terms<'a> {
    /// Under which condition.
    pub when: When,
    /// After this the bytes may go; `None` keeps them.
    pub ttl: Option<Duration>,
    /// Groups the entry belongs to: their versions live at least as long as the entry.
    pub groups: &'a [Group],
}

impl<'a> Terms<'a> {
    /// A store under `when` that never expires.
    pub fn new(when: When) -> Terms<'a> {
        Terms { when, ttl: None, groups: &[] }
    }

    /// Sets the physical ttl.
    #[must_use]
    pub fn ttl(mut self, ttl: Option<Duration>) -> Terms<'a> {
        self.ttl = ttl;
        self
    }

    /// Names the groups of the entry.
    #[must_use]
    pub fn groups(mut self, groups: &'a [Group]) -> Terms<'a> {
        self.groups = groups;
        self
    }
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in.
    Yes,
    /// The condition did not hold any more.
    Refused,
}

/// Which keys to list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scan {
    /// Keys that begin with this.
    pub prefix: String,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// About how many keys a page should have.
    pub page: usize,
    /// Show slots too that hold nothing but a placeholder: who removes by pattern removes those, so that the loads
    /// behind them are refused. A backend without placeholders breaks the fences of empty slots at such a scan instead.
    pub placeholders: bool,
}

impl Scan {
    /// The first page of the keys below `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Scan {
        Scan { prefix: prefix.into(), cursor: None, page: 512, placeholders: false }
    }

    /// Shows placeholders too.
    #[must_use]
    pub fn placeholders(mut self) -> Scan {
        self.placeholders = true;
        self
    }

    /// The page behind `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: String) -> Scan {
        self.cursor = Some(cursor);
        self
    }
}

/// Some keys, and where to go on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Full keys; placeholders only if they were asked for. A key may appear twice while others write.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl Page {
    /// A page.
    pub fn new(keys: Vec<String>, next: Option<String>) -> Page {
        Page { keys, next }
    }
}

/// A backend that keeps bytes behind a network: Redis, S3, MongoDB, anything in a `.so`.
///
/// It moves keys and bytes and never sees a value. Required are five methods; the rest is declared in
/// [`capabilities`](Backend::capabilities).
///
/// **Reading and taking the fence is one operation**, so that a miss costs two round trips beside the load itself:
/// `read` with a fence, `store` on it.
///
/// **Time.** The engine waits for no method longer than `op_timeout`; it drops the future then, so every method has
/// to leave the store in order when it is dropped at any point.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// What it offers. Never changes.
    fn capabilities(&self) -> Capabilities;

    /// Reads one slot, and what `read` asks for, as of one instant.
    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// Writes one slot. A condition the backend does not declare is [`ErrorKind::Unsupported`].
    async fn store(&self, key: &str, entry: Bytes, terms: Terms<'_>) -> Result<Stored>;

    /// Empties one slot, and its fence falls. True if an entry was in it; a placeholder is none.
    async fn remove(&self, key: &str) -> Result<bool>;

    /// Whether it can be reached; connects if it has not yet.
    async fn health(&self) -> Result<()>;

    /// Lists keys. Needs [`Capabilities::has_scan`].
    async fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// The counters of groups. Needs [`Capabilities::has_versions`].
    fn versions(&self) -> Option<&dyn Versions> {
        None
    }

    /// Ends its connections. Called once; calls after it fail.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Counters of groups in the shared store.
#[async_trait]
pub trait Versions: Send + Sync {
    /// Raises a group's counter and gives the new version. A group without one begins at a random base below 2^52.
    async fn raise(&self, group: &Group, strength: Strength) -> Result<Version>;
}

/// A backend that keeps bytes and blocks while it does: files, an embedded database.
///
/// The same contract as [`Backend`], method by method, and one method more that need not be written. Sync callers use
/// it on their own thread; async callers reach it through a pool of threads, never on a worker of their runtime.
pub trait LocalBackend: Send + Sync + fmt::Debug + 'static {
    /// As [`Backend::capabilities`].
    fn capabilities(&self) -> Capabilities;

    /// As [`Backend::read`].
    ///
    /// # Errors
    ///
    /// As there.
    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// As [`Backend::store`].
    ///
    /// # Errors
    ///
    /// As there.
    fn store(&self, key: &str, entry: Bytes, terms: Terms<'_>) -> Result<Stored>;

    /// Stores bytes that tell the versions of `terms.groups`: `seal` is given those and makes them. What nobody loaded
    /// comes in this way, with versions that are current at some instant of the call.
    ///
    /// As it stands it reads, then stores. A backend that can do both as one operation does; it may ask `seal` more
    /// than once.
    ///
    /// # Errors
    ///
    /// As [`store`](LocalBackend::store).
    fn store_with(&self, key: &str, seal: &mut dyn FnMut(&[Version]) -> Bytes, terms: Terms<'_>) -> Result<Stored> {
        let versions = match terms.groups {
            [] => Vec::new(),
            groups => self.read(key, Read::peek().groups(groups))?.versions,
        };
        self.store(key, seal(&versions), terms)
    }

    /// As [`Backend::remove`].
    ///
    /// # Errors
    ///
    /// As there.
    fn remove(&self, key: &str) -> Result<bool>;

    /// As [`Backend::health`].
    ///
    /// # Errors
    ///
    /// As there.
    fn health(&self) -> Result<()>;

    /// As [`Backend::scan`].
    ///
    /// # Errors
    ///
    /// As there.
    fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// As [`Versions::raise`]. Needs [`Capabilities::has_versions`].
    ///
    /// # Errors
    ///
    /// As there.
    fn raise(&self, group: &Group, strength: Strength) -> Result<Version> {
        let (_, _) = (group, strength);
        Err(unsupported("versions"))
    }

    /// As [`Backend::close`].
    ///
    /// # Errors
    ///
    /// As there.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn unsupported(what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend does not offer `{what}`"))
}
