use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    CancellationToken, Capabilities, Error, ErrorKind, Fence, Group, GroupVersion, LivenessCheck, Result, Strength,
};

/// Options of one read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Read<'a> {
    /// Take the fence too, in the same operation: the caller is going to load on a miss. Where the slot is empty a
    /// backend leaves a placeholder in it, for at most this long.
    pub fence: Option<Duration>,
    /// Groups whose versions are wanted with the entry.
    pub groups: &'a [Group],
    /// The entry is looked at and not used: a backend that evicts by use leaves its standing as it was.
    pub unnoticed: bool,
    /// Time that the caller can still wait, where that is less than usual. Only a [`LocalBackend`] needs it, because it
    /// occupies the thread of its caller: it fails with [`ErrorKind::Timeout`] when the time is over.
    pub wait: Option<Duration>,
}

impl<'a> Read<'a> {
    /// Makes a read that takes nothing.
    pub fn peek() -> Read<'a> {
        Read::default()
    }

    /// Makes a read by a caller that is going to load on a miss and store within `lease`.
    pub fn fenced(lease: Duration) -> Read<'a> {
        Read { fence: Some(lease), ..Read::default() }
    }

    /// Reads the versions of groups too.
    #[must_use]
    pub fn groups(mut self, groups: &'a [Group]) -> Read<'a> {
        self.groups = groups;
        self
    }

    /// Reads without counting as a use.
    #[must_use]
    pub fn unnoticed(mut self) -> Read<'a> {
        self.unnoticed = true;
        self
    }

    /// Bounds the time that a blocking backend waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Read<'a> {
        self.wait = Some(wait);
        self
    }
}

/// Result of a read, as of one instant.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stored bytes; placeholders are not shown.
    pub entry: Option<Bytes>,
    /// The fence, if it was asked for and the backend has fences.
    pub fence: Option<Fence>,
    /// The versions of the groups asked for, in their order.
    pub versions: Vec<GroupVersion>,
    /// Set if the backend has compared the stored bytes with a checksum of its own, taken when they were stored: the
    /// engine then skips its own checksum. Code that changes the bytes resets it.
    pub verified: bool,
}

impl Snapshot {
    /// Wraps the result of a read as not verified.
    pub fn new(entry: Option<Bytes>, fence: Option<Fence>, versions: Vec<GroupVersion>) -> Snapshot {
        Snapshot { entry, fence, versions, verified: false }
    }

    /// Marks the bytes as verified by the backend.
    #[must_use]
    pub fn verified(mut self) -> Snapshot {
        self.verified = true;
        self
    }
}

/// Condition under which bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreCondition {
    /// Stores only while the fence is valid: the result of a load. It breaks the fence: of several loads under one
    /// fence the first to be stored wins.
    Fenced(Fence),
    /// Stores in any case, and breaks the fence: `set`, `retain_put`, a refresh.
    Always,
    /// Stores only into an empty slot, where a placeholder counts as empty, and breaks the fence.
    Absent,
}

/// Options of one store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreOptions<'a> {
    /// Condition of the store.
    pub when: StoreCondition,
    /// Time after which the bytes may be dropped; `None` keeps them.
    pub ttl: Option<Duration>,
    /// Groups the entry belongs to: their versions are kept at least as long as the entry.
    pub groups: &'a [Group],
    /// Time that the caller can still wait; see [`Read::wait`].
    pub wait: Option<Duration>,
    /// Cancelled once nobody waits for this store any more. Given to a [`LocalBackend`] that declares
    /// [`cancellation`](Capabilities::cancellation); it fails with [`ErrorKind::Timeout`] then.
    pub cancelled: Option<&'a CancellationToken>,
}

impl<'a> StoreOptions<'a> {
    /// Makes options of a store under `when` that never expires.
    pub fn new(when: StoreCondition) -> StoreOptions<'a> {
        StoreOptions { when, ttl: None, groups: &[], wait: None, cancelled: None }
    }

    /// Sets the physical ttl.
    #[must_use]
    pub fn ttl(mut self, ttl: Option<Duration>) -> StoreOptions<'a> {
        self.ttl = ttl;
        self
    }

    /// Names the groups of the entry.
    #[must_use]
    pub fn groups(mut self, groups: &'a [Group]) -> StoreOptions<'a> {
        self.groups = groups;
        self
    }

    /// Bounds the time that a blocking backend waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> StoreOptions<'a> {
        self.wait = Some(wait);
        self
    }

    /// Sets the token by which the store is cancelled.
    #[must_use]
    pub fn cancelled(mut self, token: &'a CancellationToken) -> StoreOptions<'a> {
        self.cancelled = Some(token);
        self
    }

    /// Fails if the caller has given the store up. A backend that declares [`cancellation`](Capabilities::cancellation)
    /// calls it under the lock that every store and removal takes, before anything is changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if the caller has given the store up.
    pub fn check(&self) -> Result<()> {
        match self.cancelled {
            Some(token) if token.is_cancelled() => Err(Error::new(ErrorKind::Timeout, "its caller has given it up")),
            _ => Ok(()),
        }
    }
}

/// Outcome of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored.
    Yes,
    /// The condition did not hold any more.
    Refused,
}

/// Selects the keys that a scan lists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scan {
    /// Keys that begin with this.
    pub prefix: String,
    /// End of the last page, from [`Page::next`].
    pub cursor: Option<String>,
    /// About how many keys a page should have.
    pub page: usize,
    /// Show slots too that hold nothing but a placeholder: who removes by pattern removes those, so that the loads
    /// behind them are refused. A backend without placeholders breaks the fences of empty slots at such a scan instead.
    pub placeholders: bool,
}

impl Scan {
    /// Scans the first page of the keys below `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Scan {
        Scan { prefix: prefix.into(), cursor: None, page: 512, placeholders: false }
    }

    /// Shows placeholders too.
    #[must_use]
    pub fn placeholders(mut self) -> Scan {
        self.placeholders = true;
        self
    }

    /// Continues behind `cursor`, with the next page.
    #[must_use]
    pub fn after(mut self, cursor: String) -> Scan {
        self.cursor = Some(cursor);
        self
    }
}

/// A page of keys, with the start of the next one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Full keys; placeholders only if they were asked for. A key may appear twice while others write.
    pub keys: Vec<String>,
    /// Start of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Page {
    /// Makes a page.
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
///
/// **Given up.** What was sent may be executed later, after a removal that was acknowledged. The engine therefore sends
/// no store without a fence to a backend that has fences: a `set` is a read with a fence and a store on it.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Returns the abilities of this backend, which never change.
    fn capabilities(&self) -> Capabilities;

    /// Reads one slot, and what `read` includes, as of one instant.
    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// Writes one slot. A condition the backend does not declare is [`ErrorKind::Unsupported`].
    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored>;

    /// Empties one slot and breaks its fence. True if an entry was in it; a placeholder is none.
    async fn remove(&self, key: &str) -> Result<bool>;

    /// Empties one slot; true only if it held an entry that may be served, as `check` decides. Where that cannot be
    /// decided, any entry counts.
    ///
    /// The default reads, then removes. Override it if the backend can do both as one operation.
    async fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        let live = check.reads(self, key).await;
        Ok(self.remove(key).await? && live.unwrap_or(true))
    }

    /// Checks that the backend can be reached; connects if it has not yet. Use [`try_out`](Backend::try_out) to check
    /// that stores work.
    async fn health(&self) -> Result<()>;

    /// Checks that the backend can be written and read: stores, reads and removes an entry under a key that nobody else
    /// uses.
    ///
    /// The default stores an entry, for which a full backend may evict another one. Override it if the backend can
    /// check without that.
    async fn try_out(&self, key: &str) -> Result<()> {
        let trial = Bytes::from_static(TRIAL);
        self.store(key, trial.clone(), trial_terms()).await?;
        let (found, removed) = (self.read(key, Read::peek()).await, self.remove(key).await);
        is_trial(found?.entry).and(removed).map(drop)
    }

    /// Lists keys. Needs [`Capabilities::has_scan`].
    async fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// Returns the counters of groups. Needs [`Capabilities::has_versions`].
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
    async fn raise(&self, group: &Group, strength: Strength) -> Result<GroupVersion>;
}

/// A backend that keeps bytes and blocks while it does: files, an embedded database.
///
/// The same contract as [`Backend`], method by method, and one method more that need not be written. Sync callers use
/// it on their own thread; async callers reach it through a pool of threads, never on a worker of their runtime.
pub trait LocalBackend: Send + Sync + fmt::Debug + 'static {
    /// Returns the abilities of this backend; see [`Backend::capabilities`].
    fn capabilities(&self) -> Capabilities;

    /// Reads one slot; see [`Backend::read`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::read`].
    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// Writes one slot; see [`Backend::store`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::store`].
    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored>;

    /// Stores bytes that contain the versions of `terms.groups`: `seal` makes them from those. Values that nobody
    /// loaded are stored this way, with versions that are current at some instant of the call.
    ///
    /// The default reads, then stores. Override it if the backend can do both as one operation; it may call `seal` more
    /// than once.
    ///
    /// # Errors
    ///
    /// Those of [`store`](LocalBackend::store).
    fn store_with(
        &self,
        key: &str,
        seal: &mut dyn FnMut(&[GroupVersion]) -> Bytes,
        terms: StoreOptions<'_>,
    ) -> Result<Stored> {
        let versions = match terms.groups {
            [] => Vec::new(),
            groups => self.read(key, Read::peek().groups(groups))?.versions,
        };
        self.store(key, seal(&versions), terms)
    }

    /// Empties one slot; see [`Backend::remove`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::remove`].
    fn remove(&self, key: &str) -> Result<bool>;

    /// Empties one slot; true only if its entry may be served; see [`Backend::remove_live`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::remove_live`].
    fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        let live = check.reads_at_once(self, key);
        Ok(self.remove(key)? && live.unwrap_or(true))
    }

    /// Checks that the backend can be reached; see [`Backend::health`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::health`].
    fn health(&self) -> Result<()>;

    /// Checks that its storage location is usable, and makes it if it is missing: called when an instance is installed
    /// or reloaded. The default does nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], whose [`field`](crate::Error::field) is the one that names the place.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Checks that the backend can be written and read; see [`Backend::try_out`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::try_out`].
    fn try_out(&self, key: &str) -> Result<()> {
        self.store(key, Bytes::from_static(TRIAL), trial_terms())?;
        let (found, removed) = (self.read(key, Read::peek()), self.remove(key));
        is_trial(found?.entry).and(removed).map(drop)
    }

    /// Lists keys; see [`Backend::scan`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::scan`].
    fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// Returns the number of its entries, those of other namespaces and expired ones included; `None`, the default, if
    /// that is not known without reading entries. The statistics of an instance ask for it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](LocalBackend::read).
    fn count(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Raises a group's counter; see [`Versions::raise`]. Needs [`Capabilities::has_versions`].
    ///
    /// # Errors
    ///
    /// Those of [`Versions::raise`].
    fn raise(&self, group: &Group, strength: Strength) -> Result<GroupVersion> {
        let (_, _) = (group, strength);
        Err(unsupported("versions"))
    }

    /// Ends its connections; see [`Backend::close`].
    ///
    /// # Errors
    ///
    /// Those of [`Backend::close`].
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Bytes that are stored to check that stores work: as many as a small entry has.
const TRIAL: &[u8] = &[b'.'; 1024];

/// Returns options of a store that soon expires, should it not be removed.
fn trial_terms() -> StoreOptions<'static> {
    StoreOptions::new(StoreCondition::Always).ttl(Some(Duration::from_secs(60)))
}

fn is_trial(found: Option<Bytes>) -> Result<()> {
    match found.is_some_and(|found| found == TRIAL) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Backend, "what was stored a moment ago is not there")),
    }
}

fn unsupported(what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend does not offer `{what}`"))
}
