use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::{
    Backend, Bytes, Capabilities, Group, LocalBackend, Page, Read, Scan, Snapshot, Stored, Strength, Terms, Version,
    When, caught,
};

use super::groups::Groups;
use super::{Face, Owed, Pending};
use crate::runtime::Io;
use crate::{Error, ErrorKind, Result};

/// A byte backend as the engine uses it: with a limit on every wait, from sync and async callers.
#[derive(Clone, Debug)]
pub(crate) struct ByteStore {
    side: Side,
    io: Arc<Io>,
    op_timeout: Duration,
    pending: Arc<Pending>,
    removals: Arc<AtomicU64>,
}

/// How soon something owed is tried again, at first and at last.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Side {
    Remote(Arc<dyn Backend>),
    Local(Arc<dyn LocalBackend>),
}

/// Groups and other borrowed parts of a request, owned: a blocking backend runs on another thread.
#[derive(Clone, Debug)]
struct OwnedTerms {
    when: When,
    ttl: Option<Duration>,
    groups: Groups,
}

impl OwnedTerms {
    fn terms(&self) -> Terms<'_> {
        Terms::new(self.when).ttl(self.ttl).groups(&self.groups)
    }
}

impl ByteStore {
    pub(crate) fn remote(backend: Arc<dyn Backend>, io: &Arc<Io>, op_timeout: Duration) -> ByteStore {
        ByteStore {
            side: Side::Remote(backend),
            io: Arc::clone(io),
            op_timeout,
            pending: Arc::default(),
            removals: Arc::default(),
        }
    }

    pub(crate) fn local(backend: Arc<dyn LocalBackend>, io: &Arc<Io>, op_timeout: Duration) -> ByteStore {
        ByteStore {
            side: Side::Local(backend),
            io: Arc::clone(io),
            op_timeout,
            pending: Arc::default(),
            removals: Arc::default(),
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        match &self.side {
            Side::Remote(backend) => backend.capabilities(),
            Side::Local(backend) => backend.capabilities(),
        }
    }

    /// A blocking backend: at once for a sync caller, on the pool and within the limit for an async one.
    async fn local_call<T: Send + 'static>(
        &self,
        backend: &Arc<dyn LocalBackend>,
        face: Face,
        call: impl FnOnce(&dyn LocalBackend) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match face {
            Face::Sync => guarded(|| call(backend.as_ref())),
            Face::Async => {
                let backend = Arc::clone(backend);
                self.io.within(self.op_timeout, self.io.off_thread(move || call(backend.as_ref()))).await
            }
        }
    }

    /// Pays what is owed, before anything else is asked of the backend.
    async fn settle(&self, face: Face) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        for (number, owed) in self.pending.list() {
            match &owed {
                Owed::Remove(key) => self.remove_now(face, key).await.map(drop)?,
                Owed::Raise(group, strength) => self.raise_now(face, group.clone(), *strength).await.map(drop)?,
            }
            self.pending.done(number);
        }
        Ok(())
    }

    /// Owes a removal that the backend did not acknowledge. False if a repetition could not help.
    pub(crate) fn owe(&self, error: &Error, owed: Owed, namespace: &str) -> bool {
        if !matches!(error.kind(), ErrorKind::Backend | ErrorKind::Timeout) {
            return false;
        }
        let versioned = self.capabilities().has_versions();
        self.pending
            .add(owed, || versioned.then(|| Owed::Raise(super::groups::namespace_group(namespace), Strength::Hard)));
        self.pay_later();
        true
    }

    /// Pays what is owed as soon as the backend answers, so that others who share it do not have to wait for a call of
    /// this process. It ends with the instance.
    fn pay_later(&self) {
        if !self.pending.begin_paying() {
            return;
        }
        let (side, io, pending) = (self.side.clone(), Arc::downgrade(&self.io), Arc::clone(&self.pending));
        let (op_timeout, removals) = (self.op_timeout, Arc::clone(&self.removals));
        let pay = async move {
            let mut pause = PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                let Some(io) = io.upgrade() else { return };
                let (side, pending, removals) = (side.clone(), Arc::clone(&pending), Arc::clone(&removals));
                let store = ByteStore { side, io, op_timeout, pending, removals };
                // What it is about was told when it was owed.
                if store.settle(Face::Async).await.is_ok() && store.pending.end_paying() {
                    return;
                }
            }
        };
        if let Err(error) = self.io.spawn(pay) {
            tracing::warn!(target: "retainit", %error, "removals wait for the next call");
        }
    }

    /// Pays what is owed for the last time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when the backend still does not acknowledge it: it is lost with this process.
    async fn settle_finally(&self, face: Face) -> Result<()> {
        let settled = self.settle(face).await;
        match self.pending.forgive() {
            0 => Ok(()),
            owed => {
                let (removals, end, their) = match owed {
                    1 => ("removal was", "ends", "its"),
                    _ => ("removals were", "end", "their"),
                };
                let text = format!(
                    "{owed} {removals} never acknowledged and {end} with this process: {their} ttl is the bound"
                );
                Err(settled.err().map_or_else(
                    || Error::new(ErrorKind::Pending, text.clone()),
                    |error| Error::new(ErrorKind::Pending, text.clone()).source(error),
                ))
            }
        }
    }

    pub(crate) async fn read(
        &self,
        face: Face,
        key: &str,
        lease: Option<Duration>,
        groups: &Groups,
    ) -> Result<Snapshot> {
        self.settle(face).await?;
        match &self.side {
            Side::Remote(backend) => self.io.within(self.op_timeout, backend.read(key, read(lease, groups))).await,
            Side::Local(backend) if face == Face::Sync => read_at_once(backend.as_ref(), key, lease, groups),
            Side::Local(backend) => {
                let (key, groups) = (key.to_owned(), groups.clone());
                self.local_call(backend, face, move |backend| backend.read(&key, read(lease, &groups))).await
            }
        }
    }

    /// The backend where a read needs no future: for a sync caller on a blocking one, while nothing is owed.
    pub(crate) fn at_once(&self, face: Face) -> Option<&dyn LocalBackend> {
        match &self.side {
            Side::Local(backend) if face == Face::Sync && self.pending.is_empty() => Some(backend.as_ref()),
            _ => None,
        }
    }

    /// Stores within the caller's limit. When the limit passes, the store of a load goes on in the background.
    pub(crate) async fn store(
        &self,
        face: Face,
        key: &str,
        entry: Bytes,
        when: When,
        ttl: Option<Duration>,
        groups: &Groups,
    ) -> Result<Stored> {
        let fenced = matches!(when, When::Fenced(_));
        let owned = || (key.to_owned(), OwnedTerms { when, ttl, groups: groups.clone() });
        let stored = match &self.side {
            Side::Remote(backend) if fenced => {
                let (backend, (key, terms)) = (Arc::clone(backend), owned());
                let store = async move { backend.store(&key, entry, terms.terms()).await };
                self.io.detached(self.op_timeout, store).await
            }
            // Nothing could hold back a store without a fence that came late: after a removal, say.
            Side::Remote(backend) => {
                let terms = Terms::new(when).ttl(ttl).groups(groups);
                self.io.within(self.op_timeout, backend.store(key, entry, terms)).await
            }
            Side::Local(backend) if face == Face::Sync => {
                guarded(|| backend.store(key, entry, Terms::new(when).ttl(ttl).groups(groups)))
            }
            Side::Local(backend) => {
                let (key, terms) = owned();
                self.local_call(backend, face, move |backend| backend.store(&key, entry, terms.terms())).await
            }
        };
        if !fenced {
            self.removed();
        }
        stored
    }

    /// Stores what nobody loaded: `seal` makes it once the versions of its groups are known. One trip to the pool for
    /// a blocking backend.
    pub(crate) async fn store_with(
        &self,
        face: Face,
        key: &str,
        mut seal: impl FnMut(&[Version]) -> Bytes + Send + 'static,
        when: When,
        ttl: Option<Duration>,
        groups: &Groups,
    ) -> Result<Stored> {
        let Side::Local(backend) = &self.side else {
            let versions = match groups.is_empty() {
                true => Vec::new(),
                false => self.read(face, key, None, groups).await?.versions,
            };
            return self.store(face, key, seal(&versions), when, ttl, groups).await;
        };
        self.settle(face).await?;
        let (key, terms) = (key.to_owned(), OwnedTerms { when, ttl, groups: groups.clone() });
        let store = move |backend: &dyn LocalBackend| backend.store_with(&key, &mut seal, terms.terms());
        let stored = self.local_call(backend, face, store).await;
        self.removed();
        stored
    }

    /// How often something was taken from the store by this process: flights without a fence go by this.
    pub(crate) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    fn removed(&self) {
        self.removals.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) async fn remove(&self, face: Face, key: &str) -> Result<bool> {
        self.settle(face).await?;
        self.remove_now(face, key).await
    }

    async fn remove_now(&self, face: Face, key: &str) -> Result<bool> {
        let key = key.to_owned();
        let removed = match &self.side {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                self.io.detached(self.op_timeout, async move { backend.remove(&key).await }).await
            }
            Side::Local(backend) => self.local_call(backend, face, move |backend| backend.remove(&key)).await,
        };
        self.removed();
        removed
    }

    pub(crate) async fn scan(&self, face: Face, scan: Scan) -> Result<Page> {
        self.settle(face).await?;
        match &self.side {
            Side::Remote(backend) => self.io.within(self.op_timeout, backend.scan(scan)).await,
            Side::Local(backend) => self.local_call(backend, face, move |backend| backend.scan(scan)).await,
        }
    }

    pub(crate) async fn raise(&self, face: Face, group: Group, strength: Strength) -> Result<Version> {
        self.settle(face).await?;
        self.raise_now(face, group, strength).await
    }

    async fn raise_now(&self, face: Face, group: Group, strength: Strength) -> Result<Version> {
        let raised = match &self.side {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let raise = async move {
                    match backend.versions() {
                        Some(versions) => versions.raise(&group, strength).await,
                        None => Err(Error::new(ErrorKind::Unsupported, "this backend keeps no versions of groups")),
                    }
                };
                self.io.detached(self.op_timeout, raise).await
            }
            Side::Local(backend) => {
                self.local_call(backend, face, move |backend| backend.raise(&group, strength)).await
            }
        };
        self.removed();
        raised
    }

    pub(crate) async fn health(&self, face: Face) -> Result<()> {
        match &self.side {
            Side::Remote(backend) => self.io.within(self.op_timeout, backend.health()).await,
            Side::Local(backend) => self.local_call(backend, face, |backend| backend.health()).await,
        }
    }

    pub(crate) async fn close(&self, face: Face) -> Result<()> {
        let settled = self.settle_finally(face).await;
        let closed = match &self.side {
            Side::Remote(backend) => self.io.within(self.op_timeout, backend.close()).await,
            Side::Local(backend) => self.local_call(backend, face, |backend| backend.close()).await,
        };
        settled.and(closed)
    }
}

/// Calls a blocking backend on the caller's own thread.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(ErrorKind::Backend, "the backend", call)?
}

/// Reads from a blocking backend on the caller's own thread.
pub(super) fn read_at_once(
    backend: &dyn LocalBackend,
    key: &str,
    lease: Option<Duration>,
    groups: &[Group],
) -> Result<Snapshot> {
    guarded(|| backend.read(key, read(lease, groups)))
}

/// How the engine reads.
fn read(lease: Option<Duration>, groups: &[Group]) -> Read<'_> {
    lease.map_or_else(Read::peek, Read::fenced).groups(groups)
}

impl ByteStore {
    /// A store for plans that never reach it.
    pub(crate) fn nowhere() -> ByteStore {
        #[derive(Debug)]
        struct Nowhere;
        fn none<T>() -> Result<T> {
            Err(Error::new(ErrorKind::UnknownBackend, "there is no backend"))
        }
        impl LocalBackend for Nowhere {
            fn capabilities(&self) -> Capabilities {
                Capabilities::none()
            }
            fn read(&self, _: &str, _: Read<'_>) -> Result<Snapshot> {
                none()
            }
            fn store(&self, _: &str, _: Bytes, _: Terms<'_>) -> Result<Stored> {
                none()
            }
            fn remove(&self, _: &str) -> Result<bool> {
                none()
            }
            fn health(&self) -> Result<()> {
                none()
            }
        }
        ByteStore::local(Arc::new(Nowhere), &Arc::default(), Duration::from_millis(1))
    }
}
