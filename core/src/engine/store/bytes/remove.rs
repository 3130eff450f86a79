//! Removes entries from a byte store: keys at their slot, groups by their version, patterns by a walk.

use retainit_plugin::{Error, ErrorKind, Result, Strength};

use super::keys::TOGETHER;
use super::{ByEnvelope, ByteStore, PendingRemoval};
use crate::engine::EngineContext;
use crate::engine::groups::{Group, Groups, function_group, namespace_group, tag_group};
use crate::engine::keys::{Cursor, KeyQuery, Slots};
use crate::engine::{Caller, CallerKind, Patience, Plan};
use crate::key::KeyBuf;
use crate::meta::Evicted;

impl ByteStore {
    /// Removes one key. Returns true if its entry could be served.
    pub(in crate::engine::store) async fn remove(&self, plan: &Plan, key: &KeyBuf, caller: Caller<'_>) -> Result<bool> {
        let full = plan.logical_key(key);
        // A store that an override hides may lack versions, although the backend of the plan supports them.
        let groups = if self.capabilities().has_versions() { plan.own_groups() } else { &Groups::default() };
        let removed = self.remove_live(caller, &full, ByEnvelope::new(&plan.instance, groups)).await;
        removed.map_err(|error| self.pending(&plan.instance, PendingRemoval::Remove(full), error))
    }

    /// Queues the removal of a key that a failed write should have replaced. Returns false if that cannot help.
    pub(in crate::engine::store) fn remove_later(&self, plan: &Plan, key: &KeyBuf, error: &Error) -> bool {
        self.queue_removal(error, PendingRemoval::Remove(plan.logical_key(key)), plan.instance.namespace())
    }

    /// Queues a removal that the backend has not acknowledged, and returns the error for the caller.
    fn pending(&self, instance: &EngineContext, removal: PendingRemoval, error: Error) -> Error {
        if !self.queue_removal(&error, removal, instance.namespace()) {
            return error.with_context("backend", &*self.name);
        }
        Error::new(
            ErrorKind::Pending,
            "the removal was not acknowledged: it is queued, and goes first when the backend answers",
        )
        .with_context("backend", &*self.name)
        .with_source(error)
    }

    /// Raises the version of a group.
    async fn invalidate(
        &self,
        instance: &EngineContext,
        group: Group,
        strength: Strength,
        caller: Caller<'_>,
    ) -> Result<()> {
        let raised = self.raise(caller, group.clone(), strength).await;
        raised.map(drop).map_err(|error| self.pending(instance, PendingRemoval::Raise(group, strength), error))
    }

    /// Raises the versions of tags, and returns the result of each.
    pub(in crate::engine::store) async fn raise_tags(
        &self,
        instance: &EngineContext,
        tags: &[&str],
        strength: Strength,
        caller_kind: CallerKind,
        patience: &Patience,
    ) -> Vec<Result<()>> {
        let (caller, mut results) = (Caller { caller_kind, patience }, Vec::new());
        for tag in tags {
            results.push(match self.capabilities().has_versions() {
                true => self.invalidate(instance, tag_group(instance.namespace(), tag), strength, caller).await,
                false => {
                    let text = "this backend keeps no versions of tags: its bound is the ttl";
                    Err(Error::new(ErrorKind::Unsupported, text).with_context("backend", &*self.name))
                }
            });
        }
        results
    }

    /// Clears one function.
    pub(in crate::engine::store) async fn clear(&self, plan: &Plan, caller_kind: CallerKind) -> Result<Evicted> {
        let group = || function_group(plan.instance.namespace(), &plan.function.full_id());
        let wanted = KeyQuery::function(plan).slots(Slots::Filled);
        self.clear_group(&plan.instance, group, &wanted, caller_kind).await
    }

    /// Clears the namespace.
    pub(in crate::engine::store) async fn clear_namespace(
        &self,
        instance: &EngineContext,
        caller_kind: CallerKind,
    ) -> Result<Evicted> {
        let wanted = KeyQuery::prefix("").slots(Slots::Filled);
        self.clear_group(instance, || namespace_group(instance.namespace()), &wanted, caller_kind).await
    }

    async fn clear_group(
        &self,
        instance: &EngineContext,
        group: impl FnOnce() -> Group,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
    ) -> Result<Evicted> {
        let versioned = self.capabilities().has_versions();
        if versioned {
            // This is the acknowledgement: once the version is raised, no entry is served and no load under way is
            // stored, however far the deletion below gets.
            let patience = self.patience();
            self.invalidate(instance, group(), Strength::Hard, Caller { caller_kind, patience: &patience }).await?;
        }
        self.remove_wanted(instance, wanted, caller_kind, versioned).await
    }

    /// Removes the keys that match.
    pub(in crate::engine::store) async fn remove_matching(
        &self,
        instance: &EngineContext,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
    ) -> Result<Evicted> {
        self.remove_wanted(instance, wanted, caller_kind, false).await
    }

    /// Removes the keys that a walk finds, and counts the entries that could be served; for a group whose version was
    /// raised before, all entries. A store that cannot be walked is invalidated all the same if it supports versions.
    async fn remove_wanted(
        &self,
        instance: &EngineContext,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
        versioned: bool,
    ) -> Result<Evicted> {
        if !self.capabilities().has_scan() {
            let unsupported =
                || Error::new(ErrorKind::Unsupported, "this backend can neither list its keys nor keep versions");
            return if versioned {
                Ok(Evicted::Unknown)
            } else {
                Err(unsupported().with_context("backend", &*self.name))
            };
        }
        let check = ByEnvelope::new(instance, &Groups::default());
        let (mut removed, mut cursor) = (0, Cursor::Start);
        while cursor != Cursor::End {
            // An instance that is closed meanwhile ends the walk: its backends are closed too.
            let page = match instance.check_open() {
                Ok(()) => self.page(instance, wanted, caller_kind, &mut cursor).await,
                Err(closed) => Err(closed),
            };
            // An invalidated group is not served any more, whether or not its keys can be deleted and counted now.
            let page = match page {
                Ok(page) => page,
                Err(_) if versioned => return Ok(Evicted::Unknown),
                Err(error) => return Err(self.unfinished(instance, error)),
            };
            let page: Vec<String> = page.into_iter().filter_map(|found| found.full).collect();
            for keys in page.chunks(TOGETHER) {
                // The raised version makes every entry dead, so that judging them shows nothing about before.
                let check = (!versioned).then_some(&check);
                match self.remove_several(caller_kind, keys, check).await {
                    Ok(several) => removed += several,
                    Err(_) if versioned => return Ok(Evicted::Unknown),
                    Err(error) => return Err(self.unfinished(instance, error)),
                }
            }
        }
        Ok(Evicted::Exact(removed))
    }

    /// Returns the error of a walk that broke off. The remaining keys are unknown, so that an invalidation of the whole
    /// namespace is queued, if the store supports that.
    fn unfinished(&self, instance: &EngineContext, error: Error) -> Error {
        if self.capabilities().has_versions() {
            let all = PendingRemoval::Raise(namespace_group(instance.namespace()), Strength::Hard);
            return self.pending(instance, all, error);
        }
        error.with_context("backend", &*self.name)
    }
}
