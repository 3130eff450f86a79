//! Implements [`Store`](super::Store) for byte backends, with a limit on every wait, for sync and async callers.

mod flush;
mod gate;
mod given_up;
mod health;
mod keys;
mod live;
mod look;
mod nowhere;
mod pending;
mod remove;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::{
    Backend, Bytes, CancellationToken, Capabilities, Clock, Error, ErrorKind, GroupNames, GroupVersion, GroupVersions,
    LocalBackend, Page, Read, Result, Scan, Snapshot, StoreCondition, StoreOptions, Stored, Strength, WantedFence,
};

use crate::engine::groups::{Group, Groups};
use crate::engine::{Caller, CallerKind, Outcomes, Patience};
use crate::runtime::Io;
use gate::{Gate, Operation, Passage, Side};
use given_up::{GivenUp, Late};
use live::ByEnvelope;
pub(crate) use look::Unopened;
use pending::{Pending, PendingRemoval};
pub(crate) use write::Draft;

/// A byte backend with its pending removals and late stores.
#[derive(Clone, Debug)]
pub(super) struct ByteStore {
    name: Arc<str>,
    gate: Gate,
    pending: Arc<Pending>,
    late: Late,
    removals: Arc<AtomicU64>,
}

/// Parts that every byte store is built with.
#[derive(Debug)]
pub(super) struct ByteStoreParts<'a> {
    pub(super) name: Arc<str>,
    pub(super) io: &'a Arc<Io>,
    pub(super) op_timeout: Duration,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The number of attempts of a store without a fence while others write to the same key, in a blocking backend.
const TRIES: usize = 16;

/// Groups and other borrowed parts of a request, owned: a blocking backend runs on another thread.
#[derive(Clone, Debug)]
struct OwnedTerms {
    key: String,
    when: StoreCondition,
    ttl: Option<Duration>,
    groups: Groups,
}

impl OwnedTerms {
    fn terms<'a>(&self, groups: &'a GroupNames<'_>) -> StoreOptions<'a> {
        StoreOptions::new(self.when).ttl(self.ttl).groups(groups)
    }
}

impl ByteStore {
    pub(super) fn remote(backend: Arc<dyn Backend>, parts: ByteStoreParts<'_>) -> ByteStore {
        ByteStore::new(Side::Remote(backend), parts)
    }

    pub(super) fn local(backend: Arc<dyn LocalBackend>, parts: ByteStoreParts<'_>) -> ByteStore {
        ByteStore::new(Side::Local(backend), parts)
    }

    fn new(side: Side, parts: ByteStoreParts<'_>) -> ByteStore {
        let ByteStoreParts { name, io, op_timeout, outcomes, clock } = parts;
        let gate = Gate::new(side, io, op_timeout, outcomes, clock);
        let (pending, late, removals) = Default::default();
        ByteStore { name, gate, pending, late, removals }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.gate.capabilities()
    }

    pub(super) fn patience(&self) -> Patience {
        self.gate.patience()
    }

    pub(super) fn patience_of_attribute(&self) -> Patience {
        self.gate.patience_of_attribute()
    }

    fn given_up(&self, caller_kind: CallerKind) -> GivenUp {
        let capabilities = self.capabilities();
        match self.gate.is_local() {
            true if caller_kind == CallerKind::Blocking || capabilities.has_cancellation() => GivenUp::Dropped,
            _ if capabilities.has_fences() => GivenUp::Fenced,
            _ => GivenUp::Awaited,
        }
    }

    /// Calls the backend for a caller, after pending removals are flushed.
    async fn ask<'a, T, F: Future<Output = Result<T>>>(
        &'a self,
        operation: Operation,
        caller: Caller<'_>,
        call: impl FnOnce(Passage<'a>) -> F,
    ) -> Result<T> {
        let asked = async {
            // A removal that the backend has not acknowledged goes before everything else: a read would find what was
            // removed, and what is stored now would be removed later.
            self.wait_until_flushed(caller).await?;
            self.gate.pass(operation, caller.patience, call).await
        };
        let outcome = asked.await;
        self.gate.note(operation, &outcome);
        outcome
    }

    // ------------------------------------------------------------------------------------------------------- reading

    async fn read(
        &self,
        operation: Operation,
        caller: Caller<'_>,
        key: &str,
        fence: WantedFence,
        groups: &Groups,
    ) -> Result<Snapshot> {
        let names = groups.names();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => passage.within(backend.read(key, read(fence, &names))).await,
            Side::Local(backend) if caller.caller_kind == CallerKind::Blocking => {
                passage.here(|| backend.read(key, read(fence, &names).wait(passage.limit)))
            }
            Side::Local(backend) => {
                let (key, groups, limit) = (key.to_owned(), groups.clone(), passage.limit);
                let call = move |backend: &dyn LocalBackend, _: &_| {
                    backend.read(&key, read(fence, &groups.names()).wait(limit))
                };
                passage.there(backend, call).await
            }
        };
        self.ask(operation, caller, call).await
    }

    /// Returns whether a read needs no future: for a sync caller on a blocking backend, while no removal is pending.
    fn reads_at_once(&self, caller: Caller<'_>) -> bool {
        self.gate.is_local() && caller.caller_kind == CallerKind::Blocking && self.pending.is_empty()
    }

    /// Reads without a future, see [`ByteStore::reads_at_once`].
    fn read_at_once(&self, caller: Caller<'_>, key: &str, fence: WantedFence, groups: &Groups) -> Result<Snapshot> {
        let names = groups.names();
        let call = |backend: &dyn LocalBackend, limit| backend.read(key, read(fence, &names).wait(limit));
        let outcome = self.gate.pass_at_once(Operation::Read, caller.patience, call);
        self.gate.note(Operation::Read, &outcome);
        outcome
    }

    async fn scan(&self, caller: Caller<'_>, scan: Scan) -> Result<Page> {
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => passage.within(backend.scan(scan)).await,
            Side::Local(backend) => passage.locally(backend, caller, move |backend| backend.scan(scan)).await,
        };
        self.ask(Operation::Other, caller, call).await
    }

    // ------------------------------------------------------------------------------------------------------- storing

    /// Stores the result of a load. When the caller's time is over, a store with a fence goes on in the background.
    async fn store(
        &self,
        caller: Caller<'_>,
        key: &str,
        entry: Bytes,
        when: StoreCondition,
        ttl: Option<Duration>,
        groups: &Groups,
    ) -> Result<Stored> {
        let request = OwnedTerms { key: key.to_owned(), when, ttl, groups: groups.clone() };
        if matches!(when, StoreCondition::Fenced(_)) {
            let call = |passage| self.store_fenced(caller.caller_kind, passage, request, entry);
            return self.ask(Operation::Write, caller, call).await;
        }
        self.store_with(caller, request, move |_: &[Option<GroupVersion>]| Ok(entry.clone())).await
    }

    async fn store_fenced(
        &self,
        caller_kind: CallerKind,
        passage: Passage<'_>,
        request: OwnedTerms,
        entry: Bytes,
    ) -> Result<Stored> {
        let limit = passage.limit;
        match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let store = async move {
                    let names = request.groups.names();
                    backend.store(&request.key, entry, request.terms(&names)).await
                };
                passage.detached(store).await
            }
            Side::Local(backend) if caller_kind == CallerKind::Blocking => {
                let names = request.groups.names();
                passage.here(|| backend.store(&request.key, entry, request.terms(&names).wait(limit)))
            }
            // Once begun it comes to its end, for its fence holds it back: the next caller finds it.
            Side::Local(backend) => {
                let call = move |backend: &dyn LocalBackend, _: &_| {
                    let names = request.groups.names();
                    backend.store(&request.key, entry, request.terms(&names).wait(limit))
                };
                passage.there(backend, call).await
            }
        }
    }

    /// Stores a value of the program's: `seal` makes the entry once the versions of its groups are known.
    async fn set(
        &self,
        caller: Caller<'_>,
        key: &str,
        seal: impl FnMut(&[Option<GroupVersion>]) -> Result<Bytes> + Send + 'static,
        when: StoreCondition,
        ttl: Option<Duration>,
        groups: &Groups,
    ) -> Result<Stored> {
        let request = OwnedTerms { key: key.to_owned(), when, ttl, groups: groups.clone() };
        self.store_with(caller, request, seal).await
    }

    /// Stores without a fence of the caller's. Even if the caller leaves, the store does not take effect after a
    /// removal that is acknowledged later, see [`GivenUp`].
    async fn store_with(
        &self,
        caller: Caller<'_>,
        request: OwnedTerms,
        mut seal: impl FnMut(&[Option<GroupVersion>]) -> Result<Bytes> + Send + 'static,
    ) -> Result<Stored> {
        let stored = match self.given_up(caller.caller_kind) {
            GivenUp::Dropped => {
                let call = async |passage: Passage<'_>| {
                    let limit = passage.limit;
                    match (passage.side(), caller.caller_kind) {
                        (Side::Remote(_), _) => Err(Error::new(ErrorKind::Backend, "it cannot be held back")),
                        (Side::Local(backend), CallerKind::Blocking) => {
                            let names = request.groups.names();
                            let terms = request.terms(&names).wait(limit);
                            passage.here(|| backend.store_with(&request.key, &mut seal, terms))
                        }
                        (Side::Local(backend), CallerKind::Async) => {
                            let call = move |backend: &dyn LocalBackend, token: &CancellationToken| {
                                let names = request.groups.names();
                                let terms = request.terms(&names).wait(limit).cancelled(token);
                                backend.store_with(&request.key, &mut seal, terms)
                            };
                            passage.there(backend, call).await
                        }
                    }
                };
                self.ask(Operation::Write, caller, call).await
            }
            GivenUp::Fenced if self.gate.is_local() => self.store_conditionally(caller, request, seal).await,
            GivenUp::Fenced => self.store_over_network(caller, request, seal).await,
            GivenUp::Awaited => self.store_awaited(caller, request, seal).await,
        };
        // Flights without a fence compare this number: their results may be older than the stored value.
        self.removed();
        stored
    }

    /// Stores by [`Backend::store_with`], which nothing goes on with when the caller leaves: what it has sent by then
    /// depends on a fence.
    async fn store_over_network(
        &self,
        caller: Caller<'_>,
        request: OwnedTerms,
        mut seal: impl FnMut(&[Option<GroupVersion>]) -> Result<Bytes> + Send + 'static,
    ) -> Result<Stored> {
        let names = request.groups.names();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                passage.within(backend.store_with(&request.key, &mut seal, request.terms(&names))).await
            }
            Side::Local(_) => Err(Error::new(ErrorKind::Unsupported, "this backend is not behind a network")),
        };
        let stored = self.ask(Operation::Write, caller, call).await?;
        if stored == Stored::Refused && request.when == StoreCondition::Always {
            // Others were faster each time. What they have stored may be older than the value that is given up here, so
            // that none of it may be found.
            self.remove_any(caller, &request.key).await?;
            return Err(Error::new(ErrorKind::Backend, "others wrote to the key each time it was to be stored"));
        }
        Ok(stored)
    }

    /// Stores on the fence of the present entry, and tries again if another caller was faster.
    async fn store_conditionally(
        &self,
        caller: Caller<'_>,
        request: OwnedTerms,
        mut seal: impl FnMut(&[Option<GroupVersion>]) -> Result<Bytes>,
    ) -> Result<Stored> {
        for _ in 0..TRIES {
            // The placeholder of an empty slot has to last as long as this call.
            let lease = self.gate.op_timeout().saturating_add(Duration::from_secs(1));
            let take = WantedFence::Take(lease);
            let Snapshot { entry, fence, versions, .. } =
                self.read(Operation::Write, caller, &request.key, take, &request.groups).await?;
            if request.when == StoreCondition::Absent && entry.is_some() {
                return Ok(Stored::Refused);
            }
            let Some(fence) = fence else {
                return Err(Error::new(ErrorKind::Backend, "the backend has fences and gave none"));
            };
            let request = OwnedTerms { when: StoreCondition::Fenced(fence), ..request.clone() };
            let entry = seal(&versions)?;
            let call = |passage| self.store_fenced(caller.caller_kind, passage, request, entry);
            let stored = self.ask(Operation::Write, caller, call).await?;
            if stored == Stored::Yes {
                return Ok(stored);
            }
        }
        Err(Error::new(ErrorKind::Backend, format!("others wrote to the key {TRIES} times while it was stored")))
    }

    /// Stores in a backend that cannot refuse a late store, which is remembered until it is over.
    async fn store_awaited(
        &self,
        caller: Caller<'_>,
        request: OwnedTerms,
        mut seal: impl FnMut(&[Option<GroupVersion>]) -> Result<Bytes> + Send + 'static,
    ) -> Result<Stored> {
        let versions = match request.groups.is_empty() {
            true => GroupVersions::new(),
            // A take, although there is no fence: versions that are missing have to be made.
            false => {
                let take = WantedFence::Take(Duration::ZERO);
                self.read(Operation::Write, caller, &request.key, take, &request.groups).await?.versions
            }
        };
        let entry = seal(&versions)?;
        // One end is dropped when the store is over, the other when the caller leaves. If the caller leaves first,
        // removals are not acknowledged until the store is over.
        let (_waits, does) = self.late.begin();
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let store = async move {
                    let names = request.groups.names();
                    let stored = backend.store(&request.key, entry, request.terms(&names)).await;
                    drop(does);
                    stored
                };
                passage.detached(store).await
            }
            Side::Local(backend) => {
                let limit = passage.limit;
                let call = move |backend: &dyn LocalBackend, _: &_| {
                    let names = request.groups.names();
                    let stored = backend.store(&request.key, entry, request.terms(&names).wait(limit));
                    drop(does);
                    stored
                };
                passage.there(backend, call).await
            }
        };
        self.ask(Operation::Write, caller, call).await
    }

    // ------------------------------------------------------------------------------------------------------ removing

    /// Returns the number of removals by this process, which flights without a fence compare.
    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    fn removed(&self) {
        self.removals.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes a key without judging its entry. Returns true if it had one that was not expired.
    async fn remove_any(&self, caller: Caller<'_>, key: &str) -> Result<bool> {
        self.ask(Operation::Other, caller, |passage| self.remove_now(caller, passage, key)).await
    }

    /// Removes a key. Returns true if its entry could be served, or, if that is unknown, if it had one.
    async fn remove_live(&self, caller: Caller<'_>, key: &str, check: ByEnvelope) -> Result<bool> {
        let (key, was_late) = (key.to_owned(), self.is_late());
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                passage.detached(async move { backend.remove_live(&key, &check).await }).await
            }
            Side::Local(backend) => {
                passage.locally(backend, caller, move |backend| backend.remove_live(&key, &check)).await
            }
        };
        let removed = self.ask(Operation::Other, caller, call).await;
        self.acknowledged(removed, was_late)
    }

    async fn remove_now(&self, caller: Caller<'_>, passage: Passage<'_>, key: &str) -> Result<bool> {
        let (key, was_late) = (key.to_owned(), self.is_late());
        let removed = match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                passage.detached(async move { backend.remove(&key).await }).await
            }
            Side::Local(backend) => passage.locally(backend, caller, move |backend| backend.remove(&key)).await,
        };
        self.acknowledged(removed, was_late)
    }

    async fn raise(&self, caller: Caller<'_>, group: Group, strength: Strength) -> Result<GroupVersion> {
        self.ask(Operation::Other, caller, |passage| self.raise_now(caller, passage, group, strength)).await
    }

    async fn raise_now(
        &self,
        caller: Caller<'_>,
        passage: Passage<'_>,
        group: Group,
        strength: Strength,
    ) -> Result<GroupVersion> {
        let was_late = self.is_late();
        let raised = match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let raise = async move {
                    match backend.versions() {
                        Some(versions) => versions.raise(group.as_str(), strength).await,
                        None => Err(Error::new(ErrorKind::Unsupported, "this backend keeps no versions of groups")),
                    }
                };
                passage.detached(raise).await
            }
            Side::Local(backend) => {
                passage.locally(backend, caller, move |backend| backend.raise(group.as_str(), strength)).await
            }
        };
        self.acknowledged(raised, was_late)
    }

    /// Returns whether a store that its caller has given up may still take effect.
    fn is_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Returns the outcome of a removal, or an error if a late store may take effect after it, or has: one that was late
    /// before the removal may have been executed between that and this look.
    fn acknowledged<T>(&self, outcome: Result<T>, was_late: bool) -> Result<T> {
        self.removed();
        if outcome.is_ok() && (was_late || self.is_late()) {
            return Err(Error::new(ErrorKind::Timeout, "a store that its caller has given up is not over"));
        }
        outcome
    }
}

/// Returns the parameters of a read.
fn read<'a>(fence: WantedFence, groups: &'a GroupNames<'_>) -> Read<'a> {
    let mut read = Read::peek().groups(groups);
    read.fence = fence;
    read
}
