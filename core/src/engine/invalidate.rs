//! Removes and invalidates entries: groups by one increment, keys at their slot, patterns by a scan.

use std::sync::Arc;

use retainit_plugin::{Error, EventKind, Result, Strength};

use super::{Caller, CallerKind, KeyQuery, Patience, Plan, RemovalOutcome, Slots, Store};
use crate::engine::EngineContext;
use crate::key::{KeyBuf, Pattern};
use crate::meta::Evicted;
use crate::runtime::gather;

/// Removes one key. Returns true if its entry could be served.
///
/// When it returns `Ok`, no load that was under way will be stored.
pub(crate) async fn remove_key(plan: &Plan, key: &KeyBuf, caller_kind: CallerKind) -> Result<bool> {
    remove(plan, key, Caller { caller_kind, patience: &plan.store.patience() }).await
}

/// Removes one key for an attribute, see [`Store::patience_of_attribute`].
pub(crate) async fn remove_for_attribute(plan: &Plan, key: &KeyBuf, caller_kind: CallerKind) -> Result<bool> {
    remove(plan, key, Caller { caller_kind, patience: &plan.store.patience_of_attribute() }).await
}

/// Removes one key within a call. If the call has no time left, the removal is pending.
pub(crate) async fn remove(plan: &Plan, key: &KeyBuf, caller: Caller<'_>) -> Result<bool> {
    plan.instance.check_open()?;
    let mut removed = plan.store.remove(plan, key, caller).await;
    if let Some(hidden) = &plan.hidden {
        // Time that the plan's own backend has used up is used up for this one too. A backend that keeps nobody waiting
        // has no patience to share.
        let own = hidden.patience();
        let caller = if plan.store.answers_at_once() { Caller { patience: &own, ..caller } } else { caller };
        // Also after a failure of the first: the entry is in both stores, and a removal in one is better than in none.
        removed = both_removed(hidden.remove(plan, key, caller).await, removed);
    }
    if !matches!(removed, Ok(false)) {
        let error = removed.as_ref().err().map(|error| error.report().into());
        plan.emit(EventKind::CacheDelete, Some(key), |parts| parts.error = error);
    }
    removed
}

/// Removes the entry that a failed write should have replaced. For a store that could not be reached the removal is
/// pending: the caller has waited for it once already.
pub(crate) async fn superseded(plan: &Plan, key: &KeyBuf, error: &Error, caller_kind: CallerKind) {
    if !plan.store.remove_later(plan, key, error)
        && let Err(error) = remove_key(plan, key, caller_kind).await
    {
        plan.function.failed("remove", &plan.store.name, &error);
    }
}

fn both_removed(a: Result<bool>, b: Result<bool>) -> Result<bool> {
    Ok(a? | b?)
}

/// Clears one function or cache.
pub(crate) async fn clear(plan: &Plan, caller_kind: CallerKind) -> Result<Evicted> {
    plan.instance.check_open()?;
    // Before anything is removed: a load that began earlier is refused from here on, and cannot store behind the
    // removal.
    plan.instance.epoch().raise(&plan.function.tag_epoch, Strength::Hard);
    let mut evicted = plan.store.clear(plan, caller_kind).await;
    if let Some(hidden) = &plan.hidden {
        evicted = both(hidden.clear(plan, caller_kind).await, evicted);
    }
    plan.emit(EventKind::CacheClear, None, |parts| {
        parts.operation = Some("clear".into());
        parts.outcome(evicted.as_ref().copied());
    });
    evicted
}

/// Clears the namespace of this instance, and no other.
pub(crate) async fn clear_namespace(instance: &EngineContext, caller_kind: CallerKind) -> Result<Evicted> {
    instance.check_usable()?;
    // Before anything is removed, as with one function.
    instance.epoch().raise(instance.namespace_epoch(), Strength::Hard);
    let stores = instance.stores();
    let (side_by_side, clear) = (stores.len(), |store| clear_store(instance, store, caller_kind));
    let cleared = gather(stores.into_iter().map(clear), side_by_side, |_| ()).await;
    let evicted = cleared.into_iter().fold(Ok(Evicted::Exact(0)), both);
    instance.bus().cleared("clear_namespace", None, evicted.as_ref().copied());
    evicted
}

async fn clear_store(instance: &EngineContext, store: Arc<Store>, caller_kind: CallerKind) -> Result<Evicted> {
    store.clear_namespace(instance, caller_kind).await
}

fn both(a: Result<Evicted>, b: Result<Evicted>) -> Result<Evicted> {
    Ok(a?.and(b?))
}

/// Invalidates all entries with a tag, by one increment however many there are.
pub(crate) async fn tag(
    instance: &EngineContext,
    tag: &str,
    strength: Strength,
    caller_kind: CallerKind,
) -> Result<()> {
    tags(instance, &[tag], strength, caller_kind, Store::patience).await.pop().unwrap_or(Ok(()))
}

/// Invalidates several tags and returns the result of each. All backends are asked at once, and each is waited for
/// once.
pub(crate) async fn tags(
    instance: &EngineContext,
    tags: &[&str],
    strength: Strength,
    caller_kind: CallerKind,
    patience: fn(&Store) -> Patience,
) -> Vec<Result<()>> {
    if let Err(error) = instance.check_usable() {
        return tags.iter().map(|_| Err(Error::new(error.kind(), error.report()))).collect();
    }
    // Tag epochs first, for they need no backend: entries in memory and loads under way are invalidated even if raising
    // the versions below takes time, or fails.
    for tag in tags {
        // A tag without holders is on no entry in memory and on no load under way.
        if let Some(tag_epoch) = instance.tags().held(tag) {
            instance.epoch().raise(&tag_epoch, strength);
        }
    }
    let stores = instance.stores();
    let (side_by_side, of_one) =
        (stores.len(), |store| raise_in(instance, store, tags, strength, caller_kind, patience));
    let mut results: Vec<Result<()>> = tags.iter().map(|_| Ok(())).collect();
    for of_one in gather(stores.into_iter().map(of_one), side_by_side, |_| ()).await {
        for (result, raised) in results.iter_mut().zip(of_one) {
            *result = std::mem::replace(result, Ok(())).and(raised);
        }
    }
    let operation = if strength == Strength::Hard { "invalidate_tag" } else { "expire_tag" };
    for (tag, result) in tags.iter().zip(&results) {
        instance.bus().cleared(operation, Some(tag), result.as_ref().map(|()| Evicted::Unknown));
    }
    results
}

/// Raises the versions of tags in one store.
async fn raise_in(
    instance: &EngineContext,
    store: Arc<Store>,
    tags: &[&str],
    strength: Strength,
    caller_kind: CallerKind,
    patience: fn(&Store) -> Patience,
) -> Vec<Result<()>> {
    store.raise_tags(instance, tags, strength, caller_kind, &patience(&store)).await
}

/// Removes the keys that match a pattern, and refuses every load in memory that is under way.
///
/// Entries of loads that begin after this call may survive it.
pub(crate) async fn pattern(instance: &EngineContext, pattern: Pattern, caller_kind: CallerKind) -> Result<Evicted> {
    instance.check_usable()?;
    let shown = pattern.as_str().to_owned();
    let wanted = KeyQuery::pattern(pattern).slots(Slots::Any);
    let stores = instance.stores();
    let (side_by_side, remove) = (stores.len(), |store| remove_pattern(instance, store, &wanted, caller_kind));
    let removed = gather(stores.into_iter().map(remove), side_by_side, |_| ()).await;
    let evicted = removed.into_iter().fold(Ok(Evicted::Exact(0)), both);
    instance.bus().cleared("invalidate_pattern", Some(&shown), evicted.as_ref().copied());
    evicted
}

async fn remove_pattern(
    instance: &EngineContext,
    store: Arc<Store>,
    wanted: &KeyQuery,
    caller_kind: CallerKind,
) -> Result<Evicted> {
    store.remove_matching(instance, wanted, caller_kind).await
}

/// Removes entries that may not be served any more, and counts those that had expired.
pub(crate) fn sweep(instance: &EngineContext, store: &Store) -> u64 {
    store.sweep(instance).unwrap_or_else(|error| {
        instance.bus().failed("sweep", Some(&store.name), &error);
        0
    })
}
