//! Defines stores: backends under their names, of values in memory or of bytes.
//!
//! The rest of the engine uses [`Store`] only: calls look, take a fence and write; handles look keys up and remove
//! them; invalidations clear, raise and sweep; listings page through keys. Each kind has a file of its own, [`object`]
//! and [`bytes`], with these operations under the same names. Code outside this folder does not depend on the kind but
//! on properties such as [`Store::serializes`] and [`Store::answers_at_once`].
//!
//! Tiers fit in as a third kind, in a file beside the two: made of stores, it has its uppermost tier's [`Store::near`],
//! looks top down, and writes and removes from the lowest tier up.

mod build;
mod bytes;
mod object;

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Clock, Error, Moment, ObjectBackend, Result, StoredValue, Strength, WantedFence};

use super::envelope::Fault;
use super::flight::Ticket;
use super::keys::{Cursor, FoundKey, KeyQuery};
use super::write::Prepared;
use super::{Caller, CallerKind, Job, Looked, Outcomes, Patience, Plan, ReadMode, Slot, Stock, Write};
use crate::breaker::BreakerState;
use crate::engine::EngineContext;
use crate::key::KeyBuf;
use crate::meta::Evicted;
use crate::options::Options;
use crate::value::ValueOps;
use bytes::ByteStore;
pub(crate) use bytes::{Draft, Unopened};
use object::ObjectStore;

/// A backend under its name.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) name: Arc<str>,
    pub(crate) type_name: &'static str,
    pub(crate) options: Options,
    kind: StoreKind,
    /// True if the backend needs the weight of values.
    pub(crate) weighs: bool,
    /// True if a function named a backend type and so made this store; it is no default.
    pub(crate) implicit: bool,
    /// Smallest rights that its server has to give, for people.
    pub(crate) policy: Option<String>,
    /// Outcomes of recent operations of calls, for `health()`.
    pub(crate) outcomes: Arc<Outcomes>,
}

/// Kind of a backend.
#[derive(Clone, Debug)]
enum StoreKind {
    /// Values in memory.
    Object(ObjectStore),
    /// Bytes.
    Bytes(ByteStore),
}

/// Begin of a load.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation at each read of a blocking backend")]
pub(crate) enum LoadStart {
    /// The load has its ticket without a look. Its result is not stored if the store is `unreachable`.
    Ticket { ticket: Ticket, unreachable: bool },
    /// A look has returned the fence with the entry.
    Looked(Since, Result<Unopened>),
    /// The load begins with a look that has to be awaited, see [`Store::look`].
    Later,
}

/// Instance epoch and number of removals from the store when a look began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    pub(crate) epoch: u64,
    pub(crate) removals: u64,
}

impl Store {
    // ------------------------------------------------------------------------------------------------- what it is like

    /// Returns the backend that the hit path reads directly, without a call into the engine.
    pub(crate) fn near(&self) -> Option<&Arc<dyn ObjectBackend>> {
        match &self.kind {
            StoreKind::Object(object) => Some(object.backend()),
            StoreKind::Bytes(_) => None,
        }
    }

    /// Returns whether the store serializes values: their types have to allow that, and keys and ids have to mean the
    /// same in other processes.
    pub(crate) fn serializes(&self) -> bool {
        match &self.kind {
            StoreKind::Object(_) => false,
            StoreKind::Bytes(_) => true,
        }
    }

    /// Returns whether the store answers on the caller's thread, so that a look needs no wait.
    pub(crate) fn answers_at_once(&self) -> bool {
        match &self.kind {
            StoreKind::Object(_) => true,
            StoreKind::Bytes(_) => false,
        }
    }

    /// Returns whether the store notes when entries are read, which `max_idle` depends on.
    pub(crate) fn notes_reads(&self) -> bool {
        match &self.kind {
            StoreKind::Object(_) => true,
            StoreKind::Bytes(_) => false,
        }
    }

    /// Returns whether the store bounds the entries of single functions, which `max_entries` depends on.
    pub(crate) fn bounds_functions(&self) -> bool {
        match &self.kind {
            StoreKind::Object(object) => object.bounds_functions(),
            StoreKind::Bytes(_) => false,
        }
    }

    /// Returns whether conditions of a store depend on the verdict of the entry. Other stores count any entry as
    /// present.
    pub(crate) fn judges_presence(&self) -> bool {
        match &self.kind {
            StoreKind::Object(_) => true,
            StoreKind::Bytes(_) => false,
        }
    }

    /// Returns whether the store supports versions of groups.
    pub(crate) fn has_versions(&self) -> bool {
        match &self.kind {
            StoreKind::Object(_) => false,
            StoreKind::Bytes(bytes) => bytes.capabilities().has_versions(),
        }
    }

    /// Returns the patience of a call that begins now. A store that answers at once needs none.
    pub(crate) fn patience(&self) -> Patience {
        match &self.kind {
            StoreKind::Object(_) => Patience::new(Duration::MAX),
            StoreKind::Bytes(bytes) => bytes.patience(),
        }
    }

    /// Returns the patience of an attribute's operation after a function.
    pub(crate) fn patience_of_attribute(&self) -> Patience {
        match &self.kind {
            StoreKind::Object(_) => self.patience(),
            StoreKind::Bytes(bytes) => bytes.patience_of_attribute(),
        }
    }

    // ---------------------------------------------------------------------------------------------------------- calls

    /// Makes a result of the entry of a call's key, if the store answers at once.
    pub(crate) fn find(&self, job: &Job, mode: ReadMode, slot: &mut dyn Slot) -> bool {
        match &self.kind {
            StoreKind::Object(object) => object.find(job, mode, slot),
            StoreKind::Bytes(_) => false,
        }
    }

    /// Begins a load: takes its ticket, with or without a look.
    pub(crate) fn start_load(&self, job: &Job, fence: WantedFence) -> LoadStart {
        match &self.kind {
            StoreKind::Object(object) => object.start_load(job),
            StoreKind::Bytes(bytes) => bytes.start_load(job, fence),
        }
    }

    /// Returns whether a ticket has no fence although the store has fences: the slot was empty.
    pub(crate) fn lacks_fence(&self, ticket: &Ticket) -> bool {
        match &self.kind {
            StoreKind::Object(_) => false,
            StoreKind::Bytes(bytes) => bytes.capabilities().has_fences() && ticket.fence.is_none(),
        }
    }

    /// Returns whether a look has not brought what a load has to have, a fence and versions of all groups.
    pub(crate) fn has_to_take(&self, ticket: &Ticket) -> bool {
        self.lacks_fence(ticket) || ticket.versions.contains(&None)
    }

    /// Looks a call's key up, with the fence that it wants.
    pub(crate) async fn look(&self, job: &Job, fence: WantedFence) -> Result<Unopened> {
        match &self.kind {
            StoreKind::Object(_) => Ok(Unopened::nothing()),
            StoreKind::Bytes(bytes) => bytes.look(job, fence).await,
        }
    }

    /// Returns instance epoch and removals for the ticket of a look that begins now.
    pub(crate) fn since(&self, plan: &Plan) -> Since {
        match &self.kind {
            StoreKind::Object(_) => Since { epoch: plan.instance.epoch().now(), removals: 0 },
            StoreKind::Bytes(bytes) => bytes.since(plan),
        }
    }

    /// Does the part of a store that needs the value.
    pub(crate) fn write(
        &self,
        write: &Write<'_>,
        fresh_for: Option<Duration>,
        stock: &mut dyn Stock,
    ) -> Result<Prepared> {
        Ok(match &self.kind {
            StoreKind::Object(object) => Prepared::Done(object.write(write, fresh_for, stock)?),
            StoreKind::Bytes(bytes) => Prepared::Bytes(bytes.draft(write, fresh_for, stock)?),
        })
    }

    /// Sends a draft to the store. Returns false if its condition did not hold.
    pub(crate) async fn send(&self, write: &Write<'_>, draft: Draft) -> Result<bool> {
        match &self.kind {
            StoreKind::Object(_) => Ok(false),
            StoreKind::Bytes(bytes) => bytes.send(write, draft).await,
        }
    }

    /// Counts a failed read of a call. For byte stores the gate has counted it.
    pub(crate) fn note_failed_read(&self, error: &Error, clock: &dyn Clock) {
        match &self.kind {
            StoreKind::Object(_) => self.outcomes.read.backend_failed(error, clock),
            StoreKind::Bytes(_) => {}
        }
    }

    // ---------------------------------------------------------------------------------------------- handles and caches

    /// Looks a key up.
    pub(crate) async fn lookup<V: StoredValue>(
        &self,
        plan: &Plan,
        key: &KeyBuf,
        mode: ReadMode,
        ops: &ValueOps<V>,
        caller_kind: CallerKind,
    ) -> Result<Looked<V>> {
        match &self.kind {
            StoreKind::Object(object) => object.lookup(plan, key, mode, ops),
            StoreKind::Bytes(bytes) => bytes.lookup(plan, key, mode, ops, caller_kind).await,
        }
    }

    /// Looks a key up for `explain`, and returns the fault of an entry that cannot be used.
    pub(crate) async fn inspect<V: StoredValue>(
        &self,
        plan: &Plan,
        key: &KeyBuf,
        ops: &ValueOps<V>,
        caller_kind: CallerKind,
    ) -> Result<Result<Looked<V>, Fault>> {
        match &self.kind {
            StoreKind::Object(object) => object.lookup(plan, key, ReadMode::Raw, ops).map(Ok),
            StoreKind::Bytes(bytes) => bytes.inspect(plan, key, ops, caller_kind).await,
        }
    }

    /// Takes the ticket to replace an entry that may not be served, in a store that does not judge that itself.
    pub(crate) async fn ticket_if_unserved<V>(&self, write: &Write<'_>, ops: &ValueOps<V>) -> Result<Option<Ticket>> {
        match &self.kind {
            StoreKind::Object(_) => Ok(None),
            StoreKind::Bytes(bytes) => bytes.ticket_if_unserved(write, ops).await,
        }
    }

    /// Returns the keys of the next page and advances `cursor`. A page may be empty although more pages follow.
    pub(crate) async fn page(
        &self,
        instance: &EngineContext,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
        cursor: &mut Cursor,
    ) -> Result<Vec<FoundKey>> {
        match &self.kind {
            StoreKind::Object(object) => match std::mem::replace(cursor, Cursor::End) {
                Cursor::End => Ok(Vec::new()),
                Cursor::Start | Cursor::At(_) => object.keys(instance, wanted),
            },
            StoreKind::Bytes(bytes) => bytes.page(instance, wanted, caller_kind, cursor).await,
        }
    }

    /// Returns the number of entries, if a call on this thread can tell; else zero.
    pub(crate) fn len(&self) -> u64 {
        match &self.kind {
            StoreKind::Object(object) => object.len(),
            StoreKind::Bytes(bytes) => bytes.len(),
        }
    }

    // --------------------------------------------------------------------------------------- removing and invalidating

    /// Removes one key. Returns true if its entry could be served.
    pub(crate) async fn remove(&self, plan: &Plan, key: &KeyBuf, caller: Caller<'_>) -> Result<bool> {
        match &self.kind {
            StoreKind::Object(object) => object.remove(plan, key),
            StoreKind::Bytes(bytes) => bytes.remove(plan, key, caller).await,
        }
    }

    /// Queues the removal of a key that a failed write should have replaced. Returns false if that cannot help.
    pub(crate) fn remove_later(&self, plan: &Plan, key: &KeyBuf, error: &Error) -> bool {
        match &self.kind {
            StoreKind::Object(_) => false,
            StoreKind::Bytes(bytes) => bytes.remove_later(plan, key, error),
        }
    }

    /// Clears one function, whose epoch is raised already.
    pub(crate) async fn clear(&self, plan: &Plan, caller_kind: CallerKind) -> Result<Evicted> {
        match &self.kind {
            StoreKind::Object(object) => object.clear(Some(plan.site), plan.now()).map(Evicted::Exact),
            StoreKind::Bytes(bytes) => bytes.clear(plan, caller_kind).await,
        }
    }

    /// Clears the namespace, whose epoch is raised already.
    pub(crate) async fn clear_namespace(&self, instance: &EngineContext, caller_kind: CallerKind) -> Result<Evicted> {
        match &self.kind {
            StoreKind::Object(object) => object.clear(None, instance.clock().now()).map(Evicted::Exact),
            StoreKind::Bytes(bytes) => bytes.clear_namespace(instance, caller_kind).await,
        }
    }

    /// Raises the versions of tags and returns the result of each. A store without versions needs only the tag epochs,
    /// which are raised already.
    pub(crate) async fn raise_tags(
        &self,
        instance: &EngineContext,
        tags: &[&str],
        strength: Strength,
        caller_kind: CallerKind,
        patience: &Patience,
    ) -> Vec<Result<()>> {
        match &self.kind {
            StoreKind::Object(_) => Vec::new(),
            StoreKind::Bytes(bytes) => bytes.raise_tags(instance, tags, strength, caller_kind, patience).await,
        }
    }

    /// Removes the keys that match. In memory every load under way is refused too.
    pub(crate) async fn remove_matching(
        &self,
        instance: &EngineContext,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
    ) -> Result<Evicted> {
        match &self.kind {
            StoreKind::Object(object) => object.remove_matching(instance, wanted).map(Evicted::Exact),
            StoreKind::Bytes(bytes) => bytes.remove_matching(instance, wanted, caller_kind).await,
        }
    }

    /// Removes entries that may not be served any more, and counts those that had expired. Byte backends do that
    /// themselves.
    pub(crate) fn sweep(&self, instance: &EngineContext) -> Result<u64> {
        match &self.kind {
            StoreKind::Object(object) => object.sweep(instance),
            StoreKind::Bytes(_) => Ok(0),
        }
    }

    /// Returns the earliest time at which a sweep is worth its cost; `None` if none is ever needed.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match &self.kind {
            StoreKind::Object(object) => object.next_deadline(),
            StoreKind::Bytes(_) => None,
        }
    }

    // -------------------------------------------------------------------------------------------------- its whole life

    /// Checks that the backend's path or address can be used.
    pub(crate) fn prepare(&self) -> Result<()> {
        match &self.kind {
            StoreKind::Object(_) => Ok(()),
            StoreKind::Bytes(bytes) => bytes.prepare(),
        }
    }

    /// Checks that the backend answers, stores an entry under `trial`, and returns it.
    pub(crate) async fn health(&self, trial: impl FnOnce() -> String) -> Result<()> {
        match &self.kind {
            StoreKind::Object(_) => Ok(()),
            StoreKind::Bytes(bytes) => bytes.health(trial()).await,
        }
    }

    /// Returns the state of the breaker and the number of pending removals; `None` for a store without either.
    pub(crate) fn availability(&self) -> Option<(BreakerState, usize)> {
        match &self.kind {
            StoreKind::Object(_) => None,
            StoreKind::Bytes(bytes) => Some(bytes.availability()),
        }
    }

    /// Returns whether both are one backend, under options that may differ.
    pub(crate) fn is_same(&self, other: &Store) -> bool {
        Arc::ptr_eq(&self.outcomes, &other.outcomes)
    }

    /// Empties a store in memory that no function will use any more, so that its entries are counted as removed.
    pub(crate) fn forget(&self) {
        match &self.kind {
            StoreKind::Object(object) => object.forget(),
            StoreKind::Bytes(_) => {}
        }
    }

    pub(crate) async fn close(&self, caller_kind: CallerKind) -> Result<()> {
        match &self.kind {
            StoreKind::Object(object) => object.close(),
            StoreKind::Bytes(bytes) => bytes.close(caller_kind).await,
        }
    }
}
