//! Implements [`Store`](super::Store) for byte backends, with a limit on every wait, for sync and async callers.

mod ask;
mod circuit;
mod flush;
mod gate;
mod given_up;
mod health;
mod keeper;
mod keys;
mod known;
mod live;
mod look;
mod nowhere;
mod pending;
mod remove;
mod stores;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::{
    Backend, Capabilities, Clock, Error, ErrorKind, GroupNames, GroupVersion, LocalBackend, Page, Read, Result, Scan,
    Snapshot, Strength, WantedFence,
};

use crate::breaker::BreakerLimits;
use crate::engine::groups::{Group, Groups};
use crate::engine::{Caller, CallerKind, Outcomes, Patience};
use crate::event::Bus;
use crate::runtime::Io;
use circuit::Circuit;
use gate::{Gate, Operation, Passage, Side};
use given_up::{GivenUp, Late};
use keeper::Keeper;
use known::KnownGroups;
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
    /// Versions of groups, for a backend behind a network.
    known: Option<Arc<KnownGroups>>,
    keeper: Arc<Keeper>,
}

/// Parts that every byte store is built with.
#[derive(Debug)]
pub(super) struct ByteStoreParts<'a> {
    pub(super) name: Arc<str>,
    pub(super) io: &'a Arc<Io>,
    pub(super) op_timeout: Duration,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bus: Option<Arc<Bus>>,
    pub(super) limits: BreakerLimits,
}

impl ByteStore {
    pub(super) fn remote(backend: Arc<dyn Backend>, parts: ByteStoreParts<'_>) -> ByteStore {
        ByteStore::new(Side::Remote(backend), parts)
    }

    pub(super) fn local(backend: Arc<dyn LocalBackend>, parts: ByteStoreParts<'_>) -> ByteStore {
        ByteStore::new(Side::Local(backend), parts)
    }

    fn new(side: Side, parts: ByteStoreParts<'_>) -> ByteStore {
        let ByteStoreParts { name, io, op_timeout, outcomes, clock, bus, limits } = parts;
        let circuit = Circuit::new(Arc::clone(&name), Arc::clone(&clock), bus, limits);
        let is_local = matches!(side, Side::Local(_));
        let gate = Gate::new(side, io, op_timeout, outcomes, Arc::clone(&clock), circuit);
        let (pending, late, removals, keeper) = Default::default();
        let is_known = !is_local && gate.capabilities().has_versions();
        let known = is_known.then(|| Arc::new(KnownGroups::new(clock)));
        ByteStore { name, gate, pending, late, removals, known, keeper }
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

    /// Returns whether a read needs no future: for a sync caller on a blocking backend.
    fn reads_at_once(&self, caller: Caller<'_>) -> bool {
        self.gate.is_local() && caller.caller_kind == CallerKind::Blocking
    }

    /// Reads without a future, see [`ByteStore::reads_at_once`].
    fn read_at_once(&self, caller: Caller<'_>, key: &str, fence: WantedFence, groups: &Groups) -> Result<Snapshot> {
        let names = groups.names();
        let call = |backend: &dyn LocalBackend, limit| backend.read(key, read(fence, &names).wait(limit));
        if !self.is_available() {
            return Err(self.unavailable());
        }
        let outcome = self.gate.pass_at_once(Operation::Read, caller.patience, call);
        self.ended(Operation::Read, &outcome);
        outcome
    }

    async fn scan(&self, caller: Caller<'_>, scan: Scan) -> Result<Page> {
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(backend) => passage.within(backend.scan(scan)).await,
            Side::Local(backend) => passage.locally(backend, caller, move |backend| backend.scan(scan)).await,
        };
        self.ask(Operation::Other, caller, call).await
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
        let removal = || PendingRemoval::Remove(key.to_owned());
        self.ask_removal(caller, removal, |passage| self.remove_now(caller, passage, key)).await
    }

    /// Removes a key. Returns true if its entry could be served, or, if that is unknown, if it had one.
    async fn remove_live(&self, caller: Caller<'_>, key: &str, check: ByEnvelope) -> Result<bool> {
        let (removal, key) = (|| PendingRemoval::Remove(key.to_owned()), key.to_owned());
        let call = async |passage: Passage<'_>| {
            let was_late = self.is_late();
            let removed = match passage.side() {
                Side::Remote(backend) => {
                    let backend = Arc::clone(backend);
                    passage.detached(async move { backend.remove_live(&key, &check).await }).await
                }
                Side::Local(backend) => {
                    passage.locally(backend, caller, move |backend| backend.remove_live(&key, &check)).await
                }
            };
            self.acknowledged(removed, was_late)
        };
        self.ask_removal(caller, removal, call).await
    }

    /// Removes several keys in one operation. Returns how many entries were there, or, with a check, how many of them
    /// could be served just before.
    async fn remove_several(
        &self,
        caller_kind: CallerKind,
        keys: &[String],
        check: Option<&ByEnvelope>,
    ) -> Result<u64> {
        if let (Some(check), false) = (check, self.gate.is_local()) {
            let live = self.are_live(caller_kind, keys.to_vec(), check).await;
            let removed = self.remove_several_now(caller_kind, keys).await?;
            // Where that cannot be decided, any entry counts.
            return Ok(live.map_or(removed, |live| live.into_iter().filter(|live| *live).count() as u64));
        }
        let Some(check) = check else { return self.remove_several_now(caller_kind, keys).await };
        let (keys, check, patience, was_late) = (keys.to_vec(), check.clone(), self.patience(), self.is_late());
        let caller = Caller { caller_kind, patience: &patience };
        let call = async |passage: Passage<'_>| match passage.side() {
            Side::Remote(_) => Err(Error::new(ErrorKind::Unsupported, "this backend has to be awaited")),
            Side::Local(backend) => {
                let remove = move |backend: &dyn LocalBackend| {
                    let remove = |key: &String| Ok(u64::from(backend.remove_live(key, &check)?));
                    keys.iter().map(remove).sum::<Result<u64>>()
                };
                passage.locally(backend, caller, remove).await
            }
        };
        let removed = self.ask(Operation::Other, caller, call).await;
        self.acknowledged(removed, was_late)
    }

    async fn remove_several_now(&self, caller_kind: CallerKind, keys: &[String]) -> Result<u64> {
        let patience = self.patience();
        let caller = Caller { caller_kind, patience: &patience };
        self.ask(Operation::Other, caller, |passage| self.remove_many_now(caller, passage, keys.to_vec())).await
    }

    async fn remove_many_now(&self, caller: Caller<'_>, passage: Passage<'_>, keys: Vec<String>) -> Result<u64> {
        let was_late = self.is_late();
        let removed = match passage.side() {
            Side::Remote(backend) => {
                let backend = Arc::clone(backend);
                let remove = async move {
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    backend.remove_many(&keys).await
                };
                passage.detached(remove).await
            }
            Side::Local(backend) => {
                let remove = move |backend: &dyn LocalBackend| {
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    backend.remove_many(&keys)
                };
                passage.locally(backend, caller, remove).await
            }
        };
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
        let removal = || PendingRemoval::Raise(group.clone(), strength);
        let call = |passage| self.raise_now(caller, passage, group.clone(), strength);
        self.ask_removal(caller, removal, call).await
    }

    async fn raise_now(
        &self,
        caller: Caller<'_>,
        passage: Passage<'_>,
        group: Group,
        strength: Strength,
    ) -> Result<GroupVersion> {
        let was_late = self.is_late();
        let known = self.known.as_ref().map(|known| (known, group.clone(), known.raising(&group)));
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
        // Before the acknowledgement: from then on no hit of this process may be judged by an older version.
        if let Some((known, group, began)) = known {
            known.raised(&group, raised.as_ref().ok().copied(), began);
        }
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
        self.unless_late(outcome, was_late)
    }

    fn unless_late<T>(&self, outcome: Result<T>, was_late: bool) -> Result<T> {
        if outcome.is_ok() && (was_late || self.is_late()) {
            return Err(Error::new(ErrorKind::Backend, "a store that its caller has given up is not over"));
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
