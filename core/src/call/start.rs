use std::cell::Cell;

use retainit_plugin::{
    CachedEntry, EntryAddress, Error, ErrorKind, EventKind, ObjectBackend, Result, StoredValue, Visit, caught,
};
use serde::Serialize;
use smallvec::SmallVec;

use super::Reloaded;
use crate::engine::groups::make_distinct;
use crate::engine::{CallerKind, How, Job, MissBox, Plan, PlanRef, contained};
use crate::key::{self, KeyBuf, KeySource, Template, Values};
use crate::overrides;
use crate::runtime::possible;
use crate::site::Site;
use crate::stats::{Counter, count};
use crate::value::{Ops, ReturnOps, ReturnShape, Storage};

// -------------------------------------------------------------------------------------------------------- the hit

/// Answers a call from memory, if it is a hit there.
///
/// `None` does not mean a miss but the slow path: an override may be in force, or the backend may hold bytes.
///
/// Without optimization it is not inlined: else the frame of each function would include the room of a hit.
#[cfg_attr(not(debug_assertions), inline(always))]
#[cfg_attr(debug_assertions, inline(never))]
pub fn hit<O: Ops, K: KeySource>(_: &O, site: &'static Site, key: &K) -> Option<O::Output> {
    if possible() && is_detoured(site) {
        return None;
    }
    let plan = site.plan()?;
    contained(plan, || hit_in::<_, O::Storage, K>(plan, key)).map(O::Shape::wrap)
}

/// Answers a call from memory as [`hit`] does. A call that refreshes or warms looks at nothing that is stored.
#[cfg_attr(not(debug_assertions), inline(always))]
#[cfg_attr(debug_assertions, inline(never))]
pub fn look<O: Ops, K: KeySource>(ops: &O, site: &'static Site, key: &K, how: How) -> Option<Reloaded<O::Output>> {
    match how {
        How::Call => hit(ops, site, key).map(Reloaded::present),
        How::Refresh | How::Warm => None,
    }
}

/// Returns whether this call has to take the slow path: an override is in force, hits of this instance have a
/// subscriber, or the plan belongs to the process that forked this one.
#[cold]
#[inline(never)]
fn is_detoured(site: &'static Site) -> bool {
    let slow = |plan: &Plan| plan.function.bus.is_subscribed(EventKind::CacheHit) || plan.instance.is_of_parent();
    !overrides::none_here() || site.plan().is_some_and(slow)
}

/// Answers a call from memory under a given plan, see [`hit`].
#[inline(always)]
pub(crate) fn hit_in<V, S: Storage<V>, K: KeySource>(plan: &Plan, key: &K) -> Option<V> {
    let found = found_in::<S::Stored, K>(plan, key)?;
    Some(give::<V, S>(plan.site, found))
}

/// Finds the value of a hit, as the store has it. With a key that runs no code of the program, neither does this.
#[inline(always)]
pub(crate) fn found_in<V: StoredValue, K: KeySource>(plan: &Plan, key: &K) -> Option<V> {
    let object = plan.fast.as_deref()?;
    let hash = key::hash(&plan.hash_seed, key).ok()?;
    if K::RUNS_USER_CODE {
        return found_apart(plan, object, plan.address(hash), key);
    }
    let mut probe = HitProbe { plan, key, found: None };
    object.get(plan.address(hash), &mut probe);
    probe.found
}

/// Makes the answer of a value that was found, which may run its `Clone`, and counts the hit.
#[inline(always)]
pub(crate) fn give<V, S: Storage<V>>(site: u32, found: S::Stored) -> V {
    let value = S::give(found);
    count(site, Counter::Hit);
    value
}

/// Finds the value of a key whose `Serialize` is the program's. The store's lock is not held while it runs: what it
/// calls may come back to the same store.
///
/// Out of line, so that the room for the stored key is not in the frame of the function.
#[inline(never)]
fn found_apart<V: StoredValue, K: KeySource>(
    plan: &Plan,
    object: &dyn ObjectBackend,
    address: EntryAddress,
    key: &K,
) -> Option<V> {
    let mut probe = CopyProbe { plan, stored: StoredKey::new(), found: None::<V> };
    object.get(address, &mut probe);
    probe.found.filter(|_| key::is_equal(key, &probe.stored))
}

/// Room for a stored key: most fit without an allocation.
type StoredKey = SmallVec<[u8; 128]>;

/// Copies the key beside the value under the store's lock.
struct CopyProbe<'a, V> {
    plan: &'a Plan,
    stored: StoredKey,
    found: Option<V>,
}

impl<V: StoredValue> Visit for CopyProbe<'_, V> {
    #[inline]
    fn visit(&mut self, stored: &[u8], cached: &CachedEntry) -> bool {
        // Another key of the same 64 bits is so rare that noting a use of its entry does no harm.
        if self.plan.is_fresh(cached) {
            self.stored.extend_from_slice(stored);
            self.found = cached.value::<V>().cloned();
        }
        true
    }

    #[inline]
    fn absent(&mut self, address: EntryAddress, inserts: u64) {
        ABSENT.set((address.hash, inserts));
    }
}

/// Compares a key without encoding it and clones the value under the store's lock. That clone runs no user code.
struct HitProbe<'a, K, V> {
    plan: &'a Plan,
    key: &'a K,
    found: Option<V>,
}

impl<K: KeySource, V: StoredValue> Visit for HitProbe<'_, K, V> {
    #[inline]
    fn visit(&mut self, stored: &[u8], cached: &CachedEntry) -> bool {
        if !key::is_equal(self.key, stored) {
            return false;
        }
        if self.plan.is_fresh(cached) {
            // `found` was `None`: forgetting it saves a hit the check whether there is something to drop.
            std::mem::forget(std::mem::replace(&mut self.found, cached.value::<V>().cloned()));
        }
        true
    }

    #[inline]
    fn absent(&mut self, address: EntryAddress, inserts: u64) {
        ABSENT.set((address.hash, inserts));
    }
}

thread_local! {
    /// The last address at which a hit was looked for in vain on this thread, and what was put in near it by then. The
    /// call of a miss takes it from here, so that a hit has nothing to hand on.
    static ABSENT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Hands to a call what the hit path has found out about its key: the engine saves looks.
pub(crate) fn looked_just_before(job: &mut Job, looked: bool) {
    job.looked = looked;
    let (hash, inserts) = ABSENT.get();
    job.absent = (hash == job.plan.address(job.key.hash()).hash).then_some(inserts);
}

// ----------------------------------------------------------------------------------------------------- the others

/// A call that the hit path did not answer, with its encoded key. Empty if it has to run uncached, which has been
/// reported.
#[derive(Debug)]
pub struct Call(Option<MissBox>);

impl Call {
    /// Begins a call under the plan in force, with its key encoded.
    #[cold]
    pub fn new(site: &'static Site, key: &impl KeySource, how: How) -> Call {
        Call::with_key(site, KeyBuf::new(key), how)
    }

    fn with_key(site: &'static Site, key: Result<KeyBuf>, how: How) -> Call {
        // True if the hit path has looked in memory just before: the engine saves a second look.
        let looked = how == How::Call && !possible() && site.plan().is_some_and(|plan| plan.fast.is_some());
        let plan = match crate::global::plan(site) {
            Ok(plan) => plan,
            // The instance is closed, or belongs to the process that forked this one: nothing is reported.
            Err(error) if error.kind() == ErrorKind::Closed => return Call(None),
            Err(error) => {
                crate::global::current().engine().bus().count_uncached();
                failed(site, "plan", error);
                return Call(None);
            }
        };
        let key = match key {
            Ok(key) => plan.key(key),
            Err(error) => {
                plan.function.runs_uncached("key", &plan.store.name, &error);
                return Call(None);
            }
        };
        let caller_kind = if site.descriptor.blocking { CallerKind::Blocking } else { CallerKind::Async };
        let mut job = Job::new(plan, key, how, caller_kind);
        if let Some(job) = &mut job {
            looked_just_before(job, looked);
        }
        Call::of(job)
    }

    /// Makes a call of a cache.
    pub(crate) fn of(job: Option<Job>) -> Call {
        Call(job.map(MissBox::new))
    }

    /// Adds the call's tags.
    #[must_use]
    pub fn tags(mut self, mut tags: Vec<String>) -> Call {
        make_distinct(&mut tags);
        if let Some(miss) = &mut self.0 {
            let job = miss.job_mut();
            // An entry without one of its tags would survive the invalidation of that tag: the call runs uncached.
            let is_lost = has_lost_one(&tags);
            if is_lost {
                job.plan.function.count_uncached();
            }
            if is_lost || job.tagged(&tags).is_none() {
                self.0 = None;
            }
        }
        self
    }

    pub(super) fn into_miss(self) -> Option<MissBox> {
        self.0
    }
}

/// The entry that an operation of an attribute acts on: plan, key and tags, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Target {
    plan: Result<PlanRef>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
}

impl Target {
    pub(crate) fn new(site: &'static Site, key: Result<KeyBuf>) -> Target {
        let plan = crate::global::plan(site);
        let key = match &plan {
            Ok(plan) => key.map(|key| plan.key(key)),
            Err(_) => key,
        };
        Target { plan, key, tags: Vec::new() }
    }

    /// Adds the entry's tags.
    pub(crate) fn tags(mut self, mut tags: Vec<String>) -> Target {
        make_distinct(&mut tags);
        self.tags = tags;
        self
    }

    /// Returns plan, key and tags.
    pub(crate) fn into_parts(self) -> Result<(PlanRef, KeyBuf, Vec<String>)> {
        Ok((self.plan?, self.key?, self.tags))
    }

    /// Returns whether one of its tags could not be written. Nothing may be stored then: no invalidation of that tag
    /// would reach the entry.
    pub(crate) fn has_lost_a_tag(&self) -> bool {
        has_lost_one(&self.tags)
    }
}

fn has_lost_one(tags: &[String]) -> bool {
    tags.iter().any(|tag| tag == LOST_TAG)
}

/// Reports a failed cache operation of a function.
pub(crate) fn failed(site: &'static Site, operation: &'static str, error: Error) {
    match crate::global::plan(site) {
        Ok(plan) => plan.not_cached(operation, &error),
        Err(_) => {
            let error = error.with_context("function", site.descriptor.path().0);
            crate::global::current().engine().bus().not_cached(operation, &error);
        }
    }
}

impl Plan {
    /// Returns the key as this function's entries have it: hashed, if `hash_key` or `pii` is set.
    pub(crate) fn key(&self, key: KeyBuf) -> KeyBuf {
        if self.function.keys == key::KeyKind::Digest { key.digested(self.instance.secret()) } else { key }
    }
}

/// An argument on its way into a key: itself, if it can be written, else `Unwritable`.
///
/// The compiler selects the first method that fits. `requirements::KeyArgument` is required beside it, so that one
/// message names an argument that does not fit.
#[derive(Debug)]
pub struct KeyPart<'a, T: ?Sized>(pub &'a T);

impl<'a, T: Serialize + ?Sized> KeyPart<'a, T> {
    /// Returns the argument.
    #[inline(always)]
    pub fn __retain_part(self) -> &'a T {
        self.0
    }
}

impl<T: ?Sized> std::ops::Deref for KeyPart<'_, T> {
    type Target = Unwritable;

    fn deref(&self) -> &Unwritable {
        &Unwritable
    }
}

/// A part of a key that is taken by value: itself, if it can be written, else `Unwritable`.
#[derive(Debug)]
pub struct KeyPartByValue<T>(pub T);

impl<T: Serialize> KeyPartByValue<T> {
    /// Returns the value.
    #[inline(always)]
    pub fn __retain_part(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for KeyPartByValue<T> {
    type Target = Unwritable;

    fn deref(&self) -> &Unwritable {
        &Unwritable
    }
}

/// Placeholder for an argument that cannot be written into a key.
#[derive(Clone, Copy, Debug)]
pub struct Unwritable;

impl Unwritable {
    /// Returns the placeholder instead of the argument.
    pub fn __retain_part(&self) -> Unwritable {
        Unwritable
    }
}

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not implement `Serialize`"))
    }
}

/// The value of a key that is an expression.
#[derive(Debug)]
pub struct KeyValue<T>(Result<T>);

/// Evaluates the expression of a key. A panic in it counts as a key that cannot be written.
#[inline(always)]
pub fn key_value<T: Serialize>(make: impl FnOnce() -> T) -> KeyValue<T> {
    KeyValue(caught(ErrorKind::Key, KEY, make))
}

impl<T: Serialize> Serialize for KeyValue<T> {
    #[inline(always)]
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.as_ref().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

const KEY: &str = "the expression of a key";

/// Evaluates the key expression of an attribute that writes for another function.
///
/// # Errors
///
/// [`ErrorKind::Key`].
pub fn own_key(make: impl FnOnce() -> Result<KeyBuf>) -> Result<KeyBuf> {
    caught(ErrorKind::Key, KEY, make).flatten()
}

/// Evaluates the key of `#[retain_put]` with the tags that follow from it.
pub fn put_key(make: impl FnOnce() -> (Result<KeyBuf>, Vec<String>)) -> (Result<KeyBuf>, Vec<String>) {
    caught(ErrorKind::Key, KEY, make).unwrap_or_else(|error| (Err(error), Vec::new()))
}

/// Placeholder of a tag that could not be written: a text that no template produces.
const LOST_TAG: &str = "\u{0}\u{10ffff}\u{0}";

/// Returns the text of a tag. A tag that cannot be written is reported, and an entry that would have it is not stored.
pub fn tag<V: Values>(template: &Template<V>) -> String {
    let text = caught(ErrorKind::Key, "writing a tag", || template.plain_text()).and_then(|text| {
        text.map_err(|error| Error::new(ErrorKind::Key, "a tag has no canonical form").with_source(error))
    });
    text.unwrap_or_else(|error| {
        crate::global::current()
            .engine()
            .bus()
            .not_cached("tag", &error.with_context("tag", template.literals.join("…")));
        LOST_TAG.to_owned()
    })
}

/// Returns whether a result counts as success: everything but an error.
pub fn succeeded<R, P: ReturnShape<R>, S>(_: &ReturnOps<R, P, S>, result: &R) -> bool {
    P::split(result).is_ok()
}
