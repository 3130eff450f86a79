use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use retainit_plugin::{EventKind, Kept, StoredValue, Visit, caught};
use serde::Serialize;

use super::{Facts, Shape, Site, Storage};
use crate::engine::groups::make_distinct;
use crate::engine::{Face, Job, Plan, PlanRef, load, load_sync};
pub use crate::engine::{How, Outcome};
use crate::key::{self, KeyBuf, KeySource, Template, Values};
use crate::runtime::block_on;
use crate::stats::{Count, count};
use crate::{Error, ErrorKind, Result, overrides};

// -------------------------------------------------------------------------------------------------------- the hit

/// Looks for a call's answer: the whole of a hit in memory.
///
/// `None` means the slow road, not a miss: an override may be in force, or the backend may keep bytes.
#[inline(always)]
pub fn hit<R, P, S, K>(_: &Facts<R, P, S>, site: &'static Site, key: &K) -> Option<R>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
    K: KeySource,
{
    if overrides::possible() && is_detoured(site) {
        return None;
    }
    let plan = site.plan()?;
    contained(plan, || hit_in::<P::Value, S, K>(plan, key)).map(P::wrap)
}

/// Looks for a hit. A panic of what is the user's in that, or a backend's, is told and sends the call on to its function.
#[inline(always)]
pub(crate) fn contained<V>(plan: &Plan, look: impl FnOnce() -> Option<V>) -> Option<V> {
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|panic| panicked(plan, panic))
}

#[cold]
#[inline(never)]
fn panicked<V>(plan: &Plan, panic: Box<dyn Any + Send>) -> Option<V> {
    let error = retainit_plugin::panicked(ErrorKind::Backend, "looking for the answer", panic);
    plan.function.failed("read", &plan.store.name, &error);
    None
}

/// Whether this call has to take the slow road: an override is in force, or somebody hears of this instance's hits.
#[cold]
#[inline(never)]
fn is_detoured(site: &'static Site) -> bool {
    !overrides::none_here() || site.plan().is_some_and(|plan| plan.function.bus.hears(EventKind::CacheHit))
}

/// The same with the plan at hand.
#[inline(always)]
pub(crate) fn hit_in<V: StoredValue, S: Storage<V>, K: KeySource>(plan: &Plan, key: &K) -> Option<V> {
    let object = plan.fast.as_deref()?;
    let hash = key::hash(&plan.hasher, key).ok()?;
    let mut probe = Probe { plan, key, found: None::<S::Kept> };
    object.get(plan.place(hash), &mut probe);
    let value = S::give(probe.found?);
    count(plan.site, Count::Hit);
    Some(value)
}

/// Compares a key where it stands and takes the value out under the store's lock; its clone runs no user code.
struct Probe<'a, K, V> {
    plan: &'a Plan,
    key: &'a K,
    found: Option<V>,
}

impl<K: KeySource, V: StoredValue> Visit for Probe<'_, K, V> {
    #[inline]
    fn visit(&mut self, stored: &[u8], kept: &Kept) -> bool {
        if !key::is_equal(self.key, stored) {
            return false;
        }
        if self.plan.is_live(kept) {
            // There was nothing in it: forgetting that spares a hit the question whether to drop it.
            std::mem::forget(std::mem::replace(&mut self.found, kept.value::<V>().cloned()));
        }
        true
    }
}

// ----------------------------------------------------------------------------------------------------- the others

/// The rules of a function about what is stored.
pub struct Rules<R> {
    /// Store only if.
    pub when: Option<fn(&R) -> bool>,
    /// Keep only these errors.
    pub err_if: Option<fn(&R) -> bool>,
}

impl<R> Rules<R> {
    /// No rules.
    pub const NONE: Rules<R> = Rules { when: None, err_if: None };
}

impl<R> Clone for Rules<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Rules<R> {}

/// A call that was not answered at once, with its key taken by value.
#[derive(Debug)]
pub struct Call {
    site: &'static Site,
    plan: Result<PlanRef>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
    how: How,
    looked: bool,
}

impl Call {
    /// Takes the key of a call.
    #[cold]
    pub fn new(site: &'static Site, key: &impl KeySource) -> Call {
        Call::with_key(site, KeyBuf::new(key))
    }

    pub(crate) fn with_key(site: &'static Site, key: Result<KeyBuf>) -> Call {
        let looked = !overrides::possible() && site.plan().is_some_and(|plan| plan.fast.is_some());
        let plan = crate::global::plan(site);
        let key = match &plan {
            Ok(plan) => key.map(|key| plan.key(key)),
            Err(_) => key,
        };
        Call { site, plan, key, tags: Vec::new(), how: How::Call, looked }
    }

    /// Adds the call's tags.
    #[must_use]
    pub fn tags(mut self, mut tags: Vec<String>) -> Call {
        make_distinct(&mut tags);
        self.tags = tags;
        self
    }

    /// Says what the call is for.
    #[must_use]
    pub fn how(mut self, how: How) -> Call {
        self.how = how;
        self
    }

    /// Plan, key and tags, for operations that report their errors.
    pub(crate) fn into_parts(self) -> Result<(PlanRef, KeyBuf, Vec<String>)> {
        Ok((self.plan?, self.key?, self.tags))
    }

    /// Whether one of its tags could not be written: nothing may be stored then that an invalidation would not reach.
    pub(crate) fn has_lost_a_tag(&self) -> bool {
        self.tags.iter().any(|tag| tag == LOST_TAG)
    }

    /// `None` when the call has to run uncached; why has been told.
    fn job<R, P: Shape<R>, S>(self, facts: &Facts<R, P, S>, rules: Rules<R>, face: Face) -> Option<(Job, Rules<R>)>
    where
        P::Value: 'static,
    {
        self.site.keep_facts(facts.value);
        let has_lost_a_tag = self.has_lost_a_tag();
        let plan = self.plan.map_err(|error| failed(self.site, "plan", error)).ok()?;
        let key = self.key.inspect_err(|error| plan.function.failed("key", &plan.store.name, error)).ok()?;
        if has_lost_a_tag {
            return None;
        }
        let mut job = Job::new(plan, key, &self.tags, self.how, face)?;
        job.looked = self.looked && self.how == How::Call;
        let plan = &job.plan;
        let keeps_errors = plan.options.err_ttl.is_some() && plan.bypass.is_none();
        if !keeps_errors || facts.whole.is_some() || plan.store.bytes().is_none() {
            return Some((job, rules));
        }
        // Its errors have no bytes for this backend: each would fail to be stored.
        plan.function.cannot_keep_errors(&plan.store.name);
        Some((job, Rules { err_if: Some(|_| false), ..rules }))
    }
}

/// Tells of a cache operation of a function that failed.
pub(super) fn failed(site: &'static Site, operation: &'static str, error: Error) {
    match crate::global::plan(site) {
        Ok(plan) => plan.function.failed(operation, &plan.store.name, &error),
        Err(_) => {
            let error = error.context("function", site.descriptor.path().0);
            crate::global::current().bus().failed(operation, None, &error);
        }
    }
}

impl Plan {
    /// The key as this function's entries carry it: hashed, where that was asked for.
    pub(crate) fn key(&self, key: KeyBuf) -> KeyBuf {
        if self.function.keys == key::KeyKind::Digest { key.digested(self.instance.secret()) } else { key }
    }
}

/// Answers a call.
///
/// The result has no parameter of its own: it is what the loader's future gives. Whether a future is `Send` is asked
/// with every lifetime in it forgotten, and a parameter `R` beside `L: Future<Output = R>` would then have to be equal
/// to an output with another `'static`.
pub async fn run<P, S, L>(facts: Facts<L::Output, P, S>, call: Call, rules: Rules<L::Output>, loader: L) -> L::Output
where
    P: Shape<L::Output>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
    L: Future,
{
    match call.job(&facts, rules, Face::Async) {
        Some((job, rules)) => load(&facts, job, rules, loader).await.0,
        None => loader.await,
    }
}

/// Answers a call of a sync function. Out of line, so that a hit does not carry the frame of a miss.
#[inline(never)]
pub fn run_sync<R, P, S>(facts: Facts<R, P, S>, call: Call, rules: Rules<R>, loader: impl FnOnce() -> R) -> R
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    match call.job(&facts, rules, Face::Sync) {
        Some((job, rules)) => load_sync(&facts, job, rules, loader),
        None => loader(),
    }
}

/// What came of a refresh or a warming.
#[derive(Debug)]
pub struct Reloaded<R> {
    pub(crate) result: R,
    pub(crate) outcome: Outcome,
}

/// Refreshes or warms. What it returns is spelled as for [`run`].
pub async fn reload<P, S, L>(
    facts: Facts<L::Output, P, S>,
    call: Call,
    rules: Rules<L::Output>,
    loader: L,
) -> Reloaded<L::Output>
where
    P: Shape<L::Output>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
    L: Future,
{
    let (result, outcome) = match call.job(&facts, rules, Face::Async) {
        Some((job, rules)) => load(&facts, job, rules, loader).await,
        None => (loader.await, Outcome::Failed),
    };
    Reloaded { result, outcome }
}

/// Refreshes or warms, for sync functions.
pub fn reload_sync<R, P, S>(
    facts: Facts<R, P, S>,
    call: Call,
    rules: Rules<R>,
    loader: impl FnOnce() -> R,
) -> Reloaded<R>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    let (result, outcome) = match call.job(&facts, rules, Face::Sync) {
        Some((job, rules)) => block_on(load(&facts, job, rules, async { loader() })),
        None => (loader(), Outcome::Failed),
    };
    Reloaded { result, outcome }
}

/// Asks for `Serialize` where the argument is spelled.
#[inline(always)]
pub fn key_part<T: Serialize + ?Sized>(argument: &T) -> &T {
    argument
}

/// The value of a key that is an expression.
#[derive(Debug)]
pub struct KeyValue<T>(Result<T>);

/// Evaluates the expression of a key. If that panics, the key cannot be written.
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

/// The key that a function which writes names by an expression.
///
/// # Errors
///
/// [`ErrorKind::Key`].
pub fn own_key(make: impl FnOnce() -> Result<KeyBuf>) -> Result<KeyBuf> {
    caught(ErrorKind::Key, KEY, make).flatten()
}

/// The same with the tags that follow from it.
pub fn put_key(make: impl FnOnce() -> (Result<KeyBuf>, Vec<String>)) -> (Result<KeyBuf>, Vec<String>) {
    caught(ErrorKind::Key, KEY, make).unwrap_or_else(|error| (Err(error), Vec::new()))
}

/// What stands for a tag that could not be written: no text that a template could give.
const LOST_TAG: &str = "\u{0}\u{10ffff}\u{0}";

/// The text of a tag. One that cannot be written is told of, and what would carry it is not stored.
pub fn tag<V: Values>(template: &Template<V>) -> String {
    let text = caught(ErrorKind::Key, "writing a tag", || template.plain_text())
        .and_then(|text| text.map_err(|error| Error::new(ErrorKind::Key, "a tag has no canonical form").source(error)));
    text.unwrap_or_else(|error| {
        crate::global::current().bus().failed("tag", None, &error.context("tag", template.literals.join("…")));
        LOST_TAG.to_owned()
    })
}

/// Gives a closure over the result its type.
pub fn when<R>(rule: fn(&R) -> bool) -> fn(&R) -> bool {
    rule
}

/// Asks a rule about the error in a result; false for a value.
pub fn error_is<R, P: Shape<R>, S>(_: &Facts<R, P, S>, result: &R, rule: fn(&P::Error) -> bool) -> bool {
    P::split(result).err().is_some_and(rule)
}

/// Whether a result counts as success: everything but an error.
pub fn succeeded<R, P: Shape<R>, S>(_: &Facts<R, P, S>, result: &R) -> bool {
    P::split(result).is_ok()
}

impl<R> std::fmt::Debug for Rules<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("when", &self.when.is_some()).field("err_if", &self.err_if.is_some()).finish()
    }
}
