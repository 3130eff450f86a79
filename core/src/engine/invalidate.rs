//! Removing and invalidating: groups by one increment, keys at their slot, patterns by a scan.

use std::sync::Arc;

use retainit_plugin::{Entry, EventKind, Group, Kept, Mark, RemovalCause, Strength, Visit, caught};

use super::{Face, Kind, Owed, Plan, Store, Walk, Wanted, groups};
use crate::event::Outcome;
use crate::key::{KeyBuf, Pattern, arguments_text};
use crate::meta::Evicted;
use crate::{Error, ErrorKind, Result, Retainit};

/// Knows a key, and whether what lies there may be served.
struct Present<'a> {
    plan: &'a Plan,
    key: &'a [u8],
    live: bool,
}

impl Visit for Present<'_> {
    fn visit(&mut self, key: &[u8], kept: &Kept) -> bool {
        let found = key == self.key;
        self.live |= found && self.plan.is_live(kept);
        found
    }
}

/// Removes one key. True if something that could be served was there.
///
/// When this returns `Ok`, no load that was under way will be stored.
pub(crate) async fn remove(plan: &Plan, key: &KeyBuf, face: Face) -> Result<bool> {
    plan.instance.check_open()?;
    let mut removed = remove_from(plan, &plan.store, key, face).await;
    if let Some(hidden) = &plan.hidden {
        removed = both_removed(remove_from(plan, hidden, key, face).await, removed);
    }
    if !matches!(removed, Ok(false)) {
        let error = removed.as_ref().err().map(|error| error.to_string().into());
        plan.emit(EventKind::CacheDelete, Some(key), |parts| parts.error = error);
    }
    removed
}

/// Removes what a write that failed should have replaced. A store that could not be reached owes the removal: the
/// caller has waited for it once already.
pub(crate) async fn superseded(plan: &Plan, key: &KeyBuf, error: &Error, face: Face) {
    let owed = || Owed::Remove(plan.logical_key(key));
    let is_owed = (plan.store.bytes()).is_some_and(|bytes| bytes.owe(error, owed(), plan.instance.namespace()));
    if !is_owed && let Err(error) = remove(plan, key, face).await {
        plan.function.failed("remove", &plan.store.name, &error);
    }
}

/// Asks a backend that keeps values as they are. What has panicked is not acknowledged.
fn asked<T>(store: &Store, ask: impl FnOnce() -> T) -> Result<T> {
    caught(ErrorKind::Backend, "the backend", ask).map_err(|error| error.context("backend", &*store.name))
}

fn both_removed(a: Result<bool>, b: Result<bool>) -> Result<bool> {
    Ok(a? | b?)
}

async fn remove_from(plan: &Plan, store: &Store, key: &KeyBuf, face: Face) -> Result<bool> {
    match &store.kind {
        Kind::Object(object) => {
            let mut present = Present { plan, key: key.bytes(), live: false };
            asked(store, || object.remove(plan.place(key.hash()), &mut present))?;
            Ok(present.live)
        }
        Kind::Bytes(bytes) => {
            let full = plan.logical_key(key);
            let removed = bytes.remove(face, &full).await;
            removed.map_err(|error| pending(&plan.instance, store, Owed::Remove(full), error))
        }
    }
}

/// A removal that the backend has not acknowledged is owed to it, and the caller told so.
fn pending(instance: &Retainit, store: &Store, owed: Owed, error: Error) -> Error {
    if !store.bytes().is_some_and(|bytes| bytes.owe(&error, owed, instance.namespace())) {
        return error.context("backend", &*store.name);
    }
    Error::new(
        ErrorKind::Pending,
        "the removal was not acknowledged: it is queued, and goes first when the backend answers",
    )
    .context("backend", &*store.name)
    .source(error)
}

/// Raises a group's version where the store keeps any.
async fn raise(instance: &Retainit, store: &Store, group: Group, strength: Strength, face: Face) -> Result<()> {
    let Some(bytes) = store.bytes() else { return Ok(()) };
    let raised = bytes.raise(face, group.clone(), strength).await;
    raised.map(drop).map_err(|error| pending(instance, store, Owed::Raise(group, strength), error))
}

/// Clears one function or cache.
pub(crate) async fn clear(plan: &Plan, face: Face) -> Result<Evicted> {
    plan.instance.check_open()?;
    plan.instance.generation().raise(&plan.function.mark, Strength::Hard);
    let mut evicted = clear_in(plan, &plan.store, face).await;
    if let Some(hidden) = &plan.hidden {
        evicted = both(clear_in(plan, hidden, face).await, evicted);
    }
    plan.emit(EventKind::CacheClear, None, |parts| {
        parts.operation = Some("clear".into());
        parts.outcome(evicted.as_ref().copied());
    });
    evicted
}

async fn clear_in(plan: &Plan, store: &Arc<Store>, face: Face) -> Result<Evicted> {
    let bytes = match &store.kind {
        Kind::Object(object) => {
            let now = plan.now();
            let mut live = 0;
            let mut keep = |entry: Entry<'_>| {
                let gone = entry.site == plan.site;
                live += u64::from(gone && entry.kept.ends() > now);
                gone.then_some(RemovalCause::Removed)
            };
            asked(store, || object.retain(&mut keep))?;
            return Ok(Evicted::Exact(live));
        }
        Kind::Bytes(bytes) => bytes,
    };
    let versioned = bytes.capabilities().has_versions();
    if versioned {
        let group = groups::function_group(plan.instance.namespace(), &plan.function.full_id());
        raise(&plan.instance, store, group, Strength::Hard, face).await?;
    }
    let mut wanted = Wanted::prefix("");
    wanted.below = Some(plan.function_prefix().to_owned());
    remove_wanted(&plan.instance, store, wanted, face, versioned).await
}

/// Removes the keys a walk finds. What cannot be walked is invalidated all the same if it has versions.
async fn remove_wanted(
    instance: &Retainit,
    store: &Arc<Store>,
    wanted: Wanted,
    face: Face,
    versioned: bool,
) -> Result<Evicted> {
    let Some(bytes) = store.bytes() else {
        return Ok(Evicted::Exact(0));
    };
    if !bytes.capabilities().has_scan() {
        let unsupported =
            || Error::new(ErrorKind::Unsupported, "this backend can neither list its keys nor keep versions");
        return if versioned { Ok(Evicted::Unknown) } else { Err(unsupported().context("backend", &*store.name)) };
    }
    let mut walk = Walk::new(instance, store, wanted, face);
    let mut removed = 0;
    loop {
        // A group that was invalidated is gone whether or not its keys can be deleted and counted now.
        let page = match walk.page().await {
            Ok(page) => page,
            Err(_) if versioned => return Ok(Evicted::Unknown),
            Err(error) => return Err(unfinished(instance, store, error)),
        };
        if page.is_empty() {
            return Ok(Evicted::Exact(removed));
        }
        for full in page.into_iter().filter_map(|found| found.full) {
            match bytes.remove(face, &full).await {
                Ok(one) => removed += u64::from(one),
                Err(_) if versioned => return Ok(Evicted::Unknown),
                Err(error) => return Err(unfinished(instance, store, error)),
            }
        }
    }
}

/// A walk that broke off: which keys were left nobody knows, so the whole namespace is owed, if that can be had.
fn unfinished(instance: &Retainit, store: &Store, error: Error) -> Error {
    if store.bytes().is_some_and(|bytes| bytes.capabilities().has_versions()) {
        let all = Owed::Raise(groups::namespace_group(instance.namespace()), Strength::Hard);
        return pending(instance, store, all, error);
    }
    error.context("backend", &*store.name)
}

/// Clears the namespace: everything this instance's name stands for, and nothing else.
pub(crate) async fn clear_namespace(instance: &Retainit, face: Face) -> Result<Evicted> {
    instance.check_open()?;
    instance.generation().raise(instance.namespace_mark(), Strength::Hard);
    let mut evicted = Ok(Evicted::Exact(0));
    for store in instance.stores() {
        let cleared = match &store.kind {
            Kind::Object(object) => {
                let now = instance.clock().now();
                let mut live = 0;
                let mut keep = |entry: Entry<'_>| {
                    live += u64::from(entry.kept.ends() > now);
                    Some(RemovalCause::Removed)
                };
                asked(&store, || object.retain(&mut keep)).map(|_| Evicted::Exact(live))
            }
            Kind::Bytes(bytes) => {
                let versioned = bytes.capabilities().has_versions();
                let group = groups::namespace_group(instance.namespace());
                let raised = match versioned {
                    true => raise(instance, &store, group, Strength::Hard, face).await,
                    false => Ok(()),
                };
                match raised {
                    Ok(()) => remove_wanted(instance, &store, Wanted::prefix(""), face, versioned).await,
                    Err(error) => Err(error),
                }
            }
        };
        evicted = both(evicted, cleared);
    }
    instance.bus().cleared("clear_namespace", None, evicted.as_ref().copied());
    evicted
}

fn both(a: Result<Evicted>, b: Result<Evicted>) -> Result<Evicted> {
    Ok(a?.and(b?))
}

/// Invalidates everything with a tag: one increment, however many entries.
pub(crate) async fn tag(instance: &Retainit, tag: &str, strength: Strength, face: Face) -> Result<()> {
    instance.check_open()?;
    // A tag nobody holds is on no entry in memory and on no load under way.
    if let Some(mark) = instance.tags().held(tag) {
        instance.generation().raise(&mark, strength);
    }
    let group = groups::tag_group(instance.namespace(), tag);
    let mut result = Ok(());
    for store in instance.stores() {
        let Some(bytes) = store.bytes() else { continue };
        let raised = match bytes.capabilities().has_versions() {
            true => raise(instance, &store, group.clone(), strength, face).await,
            false => {
                let error =
                    Error::new(ErrorKind::Unsupported, "this backend keeps no versions of tags: its bound is the ttl");
                Err(error.context("backend", &*store.name))
            }
        };
        result = result.and(raised);
    }
    let operation = if strength == Strength::Hard { "invalidate_tag" } else { "expire_tag" };
    instance.bus().cleared(operation, Some(tag), result.as_ref().map(|()| Evicted::Unknown));
    result
}

/// Removes the keys that match, and refuses every load in memory that is under way.
///
/// Entries of loads that began after the call did may survive it.
pub(crate) async fn pattern(instance: &Retainit, pattern: Pattern, face: Face) -> Result<Evicted> {
    instance.check_open()?;
    let shown = pattern.as_str().to_owned();
    let wanted = Wanted { placeholders: true, ..Wanted::pattern(pattern) };
    let mut evicted = Ok(Evicted::Exact(0));
    for store in instance.stores() {
        let removed = match &store.kind {
            Kind::Object(object) => {
                let removed = asked(&store, || {
                    object.break_fences();
                    remove_matching(instance, object.as_ref(), &wanted)
                });
                removed.map(Evicted::Exact)
            }
            Kind::Bytes(_) => remove_wanted(instance, &store, wanted.clone(), face, false).await,
        };
        evicted = both(evicted, removed);
    }
    instance.bus().cleared("invalidate_pattern", Some(&shown), evicted.as_ref().copied());
    evicted
}

fn remove_matching(instance: &Retainit, object: &dyn retainit_plugin::ObjectBackend, wanted: &Wanted) -> u64 {
    let (functions, now) = (instance.functions_by_site(), instance.clock().now());
    let mut live = 0;
    object.retain(&mut |entry| {
        let function = functions.get(&entry.site)?;
        let shown = format!("{}:{}", function.id, arguments_text(function.keys, entry.key));
        let gone = wanted.wants(&shown);
        live += u64::from(gone && entry.kept.ends() > now && !super::is_dead(instance, &function.mark, entry.kept));
        gone.then_some(RemovalCause::Removed)
    });
    live
}

/// Removes what nobody may read any more and counts what had expired.
pub(crate) fn sweep(instance: &Retainit, store: &Store) -> u64 {
    let Kind::Object(object) = &store.kind else {
        return 0;
    };
    let (functions, now) = (instance.functions_by_site(), instance.clock().now());
    let mut expired = 0;
    let none = Mark::new();
    let mut keep = |entry: Entry<'_>| {
        if entry.kept.ends() <= now {
            expired += 1;
            return Some(RemovalCause::Expired);
        }
        let mark = functions.get(&entry.site).map_or(&none, |function| &*function.mark);
        super::is_dead(instance, mark, entry.kept).then_some(RemovalCause::Invalidated)
    };
    if let Err(error) = asked(store, || object.retain(&mut keep)) {
        instance.bus().failed("sweep", Some(&store.name), &error);
    }
    expired
}

/// What was invalidated, of an entry that lies in the store and may not be served.
pub(crate) fn why_dead(plan: &Plan, object: &dyn retainit_plugin::ObjectBackend, key: &KeyBuf) -> Option<&'static str> {
    struct Why<'a> {
        plan: &'a Plan,
        key: &'a [u8],
        why: Option<&'static str>,
    }
    impl Visit for Why<'_> {
        fn visit(&mut self, key: &[u8], kept: &Kept) -> bool {
            let found = key == self.key;
            if found {
                let tags = kept.extra().map_or(&[][..], |extra| &extra.tags);
                self.why = self.plan.invalidated_by(kept.generation(), tags);
            }
            found
        }
    }
    let mut why = Why { plan, key: key.bytes(), why: None };
    caught(ErrorKind::Backend, "the backend", || object.peek(plan.place(key.hash()), &mut why)).ok()?;
    why.why
}
