//! Stores bytes: the results of loads on their fences, and what nobody loaded so that it never comes late.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Bytes, CancellationToken, Error, ErrorKind, GroupNames, GroupVersion, GroupVersions, LocalBackend, Result,
    Snapshot, StoreCondition, StoreOptions, Stored, WantedFence,
};

use super::{ByteStore, GivenUp, Operation, Passage, Side};
use crate::engine::groups::Groups;
use crate::engine::{Caller, CallerKind};

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
    /// Stores the result of a load. When the caller's time is over, a store with a fence goes on in the background.
    pub(super) async fn store(
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
    pub(super) async fn set(
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
}
