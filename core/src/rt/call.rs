use std::future::Future;

use retainit_plugin::{EventKind, Kept, StoredValue, Visit};
use serde::Serialize;

use super::{Facts, Shape, Site, Storage};
use crate::engine::groups::make_distinct;
use crate::engine::{Face, Job, Plan, PlanRef, load, load_sync};
pub use crate::engine::{How, Outcome};
use crate::key::{self, KeyBuf, KeySource, Template, Values};
use crate::runtime::block_on;
use crate::stats::{Count, count};
use crate::{Error, Result, overrides};

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
    hit_in::<P::Value, S, K>(site.plan()?, key).map(P::wrap)
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
    let kept = probe.found?;
    count(plan.site, Count::Hit);
    Some(S::give(kept))
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

    /// `None` when the call has to run uncached; why has been told.
    fn job<R, P: Shape<R>, S>(self, facts: &Facts<R, P, S>, rules: Rules<R>, face: Face) -> Option<(Job, Rules<R>)>
    where
        P::Value: 'static,
    {
        self.site.keep_facts(facts.value);
        let plan = self.plan.map_err(|error| failed(self.site, "plan", error)).ok()?;
        let key = self.key.inspect_err(|error| plan.function.failed("key", &plan.store.name, error)).ok()?;
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

/// The text of a tag. A value that cannot be written gives a tag nobody invalidates by chance.
pub fn tag<V: Values>(template: &Template<V>) -> String {
    template.plain_text().unwrap_or_else(|error| {
        let error = Error::new(crate::ErrorKind::Key, "a tag has no canonical form").source(error);
        crate::global::current().bus().failed("tag", None, &error.context("tag", template.literals.join("…")));
        format!("\u{0}{}", template.literals.join("\u{0}"))
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
