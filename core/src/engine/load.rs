//! A call that was not answered at once: look, load, store, share.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Contained, ErrorKind, Mark, ObjectBackend, Ttl, caught};

use super::envelope::check_groups;
use super::flight::{self, FlightKey, Flights, Follow, Fruit, Got, Lead, Role, Ticket};
use super::groups::{Groups, check_tags};
use super::lookup::{BytesLooked, Look};
use super::observe::Observed;
use super::write::Mode;
use super::{ByteStore, Face, Kind, PlanRef, Value};
use crate::key::KeyBuf;
use crate::rt::{Facts, Rules, Shape, Storage};
use crate::runtime::{Stopwatch, block_on};
use retainit_plugin::StoredValue;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// An answer, from wherever it comes.
    Call,
    /// A new value, whatever there is.
    Refresh,
    /// Something in the cache; the value itself is not wanted.
    Warm,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was in the cache, or another caller's load brought it.
    Present,
    /// The function ran.
    Loaded,
    /// The function ran, and nothing could be stored of what it returned.
    Failed,
}

/// One call, with everything it knows before it begins.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: PlanRef,
    pub(crate) key: KeyBuf,
    pub(crate) tags: Box<[Arc<Mark>]>,
    /// Those of a call with tags, see [`Job::groups`].
    tagged: Option<Groups>,
    pub(crate) how: How,
    pub(crate) face: Face,
    /// Of this one call.
    pub(crate) ttl: Option<Ttl>,
    /// The store was looked into already, a moment ago.
    pub(crate) looked: bool,
}

/// Answers a call. The cache never fails it and never keeps it longer than its limits.
pub(crate) async fn load<R, P, S, L>(facts: &Facts<R, P, S>, job: Job, rules: Rules<R>, loader: L) -> (R, Outcome)
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
    L: Future<Output = R>,
{
    load_after(facts, job, rules, loader, None).await
}

/// Answers a call of a sync function. What a blocking byte store holds is served without a future.
pub(crate) fn load_sync<R, P, S>(facts: &Facts<R, P, S>, job: Job, rules: Rules<R>, loader: impl FnOnce() -> R) -> R
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    let run = Run::new(facts, &job, rules);
    let first = match run.look_first() {
        // One that may have to be verified takes the longer way.
        Some((Before { served: Some(result), .. }, _)) if job.plan.options.verify == 0.0 => {
            job.plan.hit(&job.key, run.watch.as_ref());
            return result;
        }
        first => first.map(Box::new),
    };
    block_on(load_after(facts, job, rules, async { loader() }, first)).0
}

/// What a sync caller found in a byte store, and how many loads had ended near its key before.
type First<R> = (Before<R>, u64);

async fn load_after<R, P, S, L>(
    facts: &Facts<R, P, S>,
    job: Job,
    rules: Rules<R>,
    loader: L,
    first: Option<Box<First<R>>>,
) -> (R, Outcome)
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
    L: Future<Output = R>,
{
    let run = Run::new(facts, &job, rules);
    let loader = Observed::new(loader, facts, &job);
    if job.plan.bypass.is_some() || job.plan.instance.is_closed() {
        return (loader.await, Outcome::Failed);
    }
    if job.how != How::Refresh
        && !job.looked
        && let Kind::Object(object) = &job.plan.store.kind
        && let Some(result) = run.find(object.as_ref(), Look::Use)
    {
        return run.hit(result, loader).await;
    }
    if job.how == How::Refresh || !job.plan.options.single_flight {
        return run.alone(loader).await;
    }
    run.together(loader, first).await
}

pub(super) struct Run<'a, R, P: Shape<R>, S> {
    pub(super) facts: &'a Facts<R, P, S>,
    pub(super) job: &'a Job,
    rules: Rules<R>,
    /// Since the call began to look, where somebody hears of hits.
    pub(super) watch: Option<Stopwatch>,
}

/// What a caller holds before it loads.
struct Before<R> {
    /// The store answered after all.
    served: Option<R>,
    ticket: Ticket,
    /// The store could not be reached: what is loaded is not stored.
    unreachable: bool,
}

impl<'a, R, P, S> Run<'a, R, P, S>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    fn new(facts: &'a Facts<R, P, S>, job: &'a Job, rules: Rules<R>) -> Self {
        Run { facts, job, rules, watch: job.plan.watch_hit() }
    }

    /// Looks into a blocking byte store for a sync caller.
    fn look_first(&self) -> Option<First<R>> {
        let Job { plan, key, how, .. } = self.job;
        let Kind::Bytes(store) = &plan.store.kind else { return None };
        let options = &plan.options;
        if *how != How::Call || !options.single_flight || plan.bypass.is_some() || plan.instance.is_closed() {
            return None;
        }
        let ended = plan.instance.flights().ended(key.hash());
        Some((self.read_at_once(store)?, ended))
    }

    /// Takes the ticket of a load that begins now, and looks whether it is needed at all.
    async fn before(&self) -> Before<R> {
        match &self.job.plan.store.kind {
            Kind::Object(object) => self.before_object(object.as_ref()),
            Kind::Bytes(store) => self.before_bytes(store).await,
        }
    }

    fn before_object(&self, object: &dyn ObjectBackend) -> Before<R> {
        let before = self.before_look(object);
        let served = match self.job.how {
            How::Refresh => None,
            How::Call | How::Warm => self.find(object, Look::Use),
        };
        Before { served, ..before }
    }

    /// Takes the ticket alone. Without the fence of a backend that has them, nothing is stored.
    fn before_look(&self, object: &dyn ObjectBackend) -> Before<R> {
        let plan = &*self.job.plan;
        let generation = plan.instance.generation().now();
        let place = plan.place(self.job.key.hash());
        let fence = || object.capabilities().has_fences().then(|| object.fence(place));
        let fence = caught(ErrorKind::Backend, "taking the fence of a key", fence);
        let fence = fence.inspect_err(|error| plan.failed("read", error));
        let unreachable = fence.is_err();
        let ticket = Ticket { generation, fence: fence.unwrap_or(None), versions: Box::default(), removals: 0 };
        Before { served: None, ticket, unreachable }
    }

    async fn before_bytes(&self, store: &ByteStore) -> Before<R> {
        match self.read_at_once(store) {
            Some(before) => before,
            None => self.job.face.apart(|| self.read_before(store)).await,
        }
    }

    #[inline(never)]
    fn read_at_once(&self, store: &ByteStore) -> Option<Before<R>> {
        let since = (self.job.plan.instance.generation().now(), store.removals());
        let found = self.look_at_once(store, Some(self.job.plan.options.max_load_time))?;
        Some(self.before_of(since, found))
    }

    async fn read_before(&self, store: &ByteStore) -> Before<R> {
        let since = (self.job.plan.instance.generation().now(), store.removals());
        let found = self.look_bytes(store, Some(self.job.plan.options.max_load_time)).await;
        self.before_of(since, found)
    }

    /// `since`: the instance's generation, and the removals from the store, when the look began.
    fn before_of(&self, (generation, removals): (u64, u64), found: crate::Result<BytesLooked<P::Value>>) -> Before<R> {
        let plan = &*self.job.plan;
        match found {
            Ok(found) => {
                let served = match self.job.how {
                    How::Refresh => found.looked.into_meta().and(None),
                    How::Call | How::Warm => self.serve_bytes(found.looked),
                };
                let removals = if found.fence.is_some() { 0 } else { removals };
                let ticket = Ticket { generation, fence: found.fence, versions: found.versions.into(), removals };
                Before { served, ticket, unreachable: false }
            }
            Err(error) => {
                plan.function.failed("read", &plan.store.name, &error);
                let ticket = Ticket { generation, fence: None, versions: Box::default(), removals };
                Before { served: None, ticket, unreachable: true }
            }
        }
    }

    /// Loads without regard to others.
    async fn alone<L: Future<Output = R>>(&self, loader: L) -> (R, Outcome) {
        let before = self.before().await;
        if let Some(result) = before.served {
            return self.hit(result, loader).await;
        }
        if self.job.how != How::Refresh {
            self.job.plan.missed(&self.job.key);
        }
        let watch = Stopwatch::start();
        let result = loader.await;
        let stored = self.finish(&result, &before.ticket, before.unreachable, &watch).await;
        (result, stored)
    }

    /// Loads once for all who ask.
    async fn together<L: Future<Output = R>>(&self, loader: L, mut first: Option<Box<First<R>>>) -> (R, Outcome) {
        let plan = &*self.job.plan;
        let flights = plan.instance.flights();
        let mut missed = false;
        loop {
            let (before, ended) = match (&plan.store.kind, first.take()) {
                (_, Some(first)) => *first,
                (Kind::Object(object), None) => (self.before_look(object.as_ref()), 0),
                (Kind::Bytes(store), None) => {
                    let ended = flights.ended(self.job.key.hash());
                    (self.before_bytes(store).await, ended)
                }
            };
            if let Some(result) = before.served {
                return self.hit(result, loader).await;
            }
            let role = self.join(flights, &before.ticket);
            if !std::mem::replace(&mut missed, true) {
                plan.missed(&self.job.key);
            }
            let got = match role {
                Role::Inline => return (self.timed(loader).await, Outcome::Failed),
                Role::Lead(lead) => {
                    let before = match &plan.store.kind {
                        // Another's load may have ended since this caller looked. Its own ticket is older than that.
                        Kind::Object(object) => {
                            Some(Before { served: self.find(object.as_ref(), Look::Use), ..before })
                        }
                        Kind::Bytes(_) => (flights.ended(self.job.key.hash()) == ended).then_some(before),
                    };
                    return self.lead(lead, loader, before).await;
                }
                Role::Follow(follow) => follow,
            };
            match self.follow(got).await {
                Followed::Result(result) => return (result, Outcome::Present),
                Followed::Lead(lead) => return self.lead(lead, loader, None).await,
                Followed::Alone => return self.in_the_crowd(loader).await,
                Followed::Again => {}
            }
        }
    }

    fn join<'f>(&'f self, flights: &'f Flights, ticket: &Ticket) -> Role<'f> {
        let plan = &*self.job.plan;
        // Tags may name arguments that are not in the key: a load that other tags can condemn is not this caller's.
        let mix =
            |all: u64, tag: &Arc<Mark>| (all ^ Arc::as_ptr(tag).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let terms_of_both = self.job.tags.iter().fold(plan.fingerprint, mix);
        let key = FlightKey { hash: self.job.key.hash(), plan: terms_of_both, key: self.job.key.bytes() };
        let terms = flight::Terms {
            watched: self.job.face == Face::Async,
            max_load_time: plan.options.max_load_time,
            abandoned: &plan.function.abandoned,
            timers: plan.instance.timers(),
        };
        flights.join(key, ticket, &terms, |theirs| {
            theirs.agrees(ticket) && plan.valid_since(theirs.generation, &self.job.tags)
        })
    }

    /// Loads for all who wait. Without `before`, the store is asked once more first.
    ///
    /// The leader is watched in all it waits for. Each of that is run by itself, not all of it as one future: loads
    /// nest, and every layer costs stack.
    async fn lead<L: Future<Output = R>>(&self, lead: Lead<'_>, loader: L, before: Option<Before<R>>) -> (R, Outcome) {
        let before = match before {
            Some(before) => before,
            None => {
                let before = lead.run(self.before()).await;
                lead.renew(&before.ticket);
                before
            }
        };
        if let Some(result) = before.served {
            lead.complete(|| self.fruit(&result));
            return (result, Outcome::Present);
        }
        let watch = Stopwatch::start();
        let result = lead.run(loader).await;
        let outcome = lead.run(self.finish(&result, &before.ticket, before.unreachable, &watch)).await;
        lead.complete(|| self.fruit(&result));
        (result, outcome)
    }

    async fn timed<L: Future<Output = R>>(&self, loader: L) -> R {
        let watch = Stopwatch::start();
        let result = loader.await;
        self.job.plan.function.loaded(watch.elapsed());
        result
    }

    async fn follow<'f>(&self, follow: Follow<'f>) -> Followed<'f, R> {
        match follow.await {
            Got::Lead(lead) => Followed::Lead(lead),
            Got::Fruit(Fruit::Unshared) => Followed::Alone,
            Got::Fruit(fruit) => {
                match caught(ErrorKind::Codec, "copying the result of another's load", || self.taste(&fruit)) {
                    Ok(result) => result.map_or(Followed::Again, Followed::Result),
                    Err(error) => {
                        self.job.plan.failed("share", &error);
                        Followed::Alone
                    }
                }
            }
        }
    }

    /// The load this caller waited for ended with a result that cannot be shared. A few such callers run side by
    /// side; one of them may bring a value for the rest.
    ///
    /// A caller inside another load does not queue: those in front may be waiting for just that load.
    async fn in_the_crowd<L: Future<Output = R>>(&self, loader: L) -> (R, Outcome) {
        let _permit = match flight::Chain::is_empty() {
            true => self.job.plan.function.crowd.acquire().await.ok(),
            false => None,
        };
        let before = self.before().await;
        if let Some(result) = before.served {
            return (result, Outcome::Present);
        }
        let watch = Stopwatch::start();
        let result = flight::apart(loader).await;
        let outcome = self.finish(&result, &before.ticket, before.unreachable, &watch).await;
        (result, outcome)
    }

    /// Counts a load and stores what is to be stored of it.
    async fn finish(&self, result: &R, ticket: &Ticket, unreachable: bool, watch: &Stopwatch) -> Outcome {
        let (plan, time) = (&*self.job.plan, watch.elapsed());
        plan.function.loaded(time);
        let to_store = caught(ErrorKind::Codec, "deciding what to store", || self.to_store(result));
        let to_store = to_store.inspect_err(|error| plan.failed("store", error)).ok().flatten();
        let Some((value, ttl)) = to_store.filter(|(_, ttl)| *ttl != Ttl::Off) else {
            self.drop_refreshed(result).await;
            return Outcome::Failed;
        };
        // What was invalidated while it was loaded is dead on arrival: it must not take the place of a later load.
        if unreachable || !plan.valid_since(ticket.generation, &self.job.tags) {
            self.drop_refreshed(result).await;
            return Outcome::Failed;
        }
        let write = super::write::Write {
            plan,
            key: &self.job.key,
            tags: &self.job.tags,
            groups: self.job.groups(),
            ticket,
            mode: if self.job.how == How::Refresh { Mode::Replace } else { Mode::Fill },
            ttl,
            load_time: time,
            age: Duration::ZERO,
            face: self.job.face,
        };
        match super::write(write, value, &self.facts.value).await {
            Ok(stored) => {
                // What broke the fence may have been a newer write, the fill of an older load, or nothing that concerns
                // this key: a pattern breaks every fence in memory. What lies there now does not stay.
                if !stored {
                    self.drop_refreshed(result).await;
                }
                Outcome::Loaded
            }
            Err(error) => {
                if error.kind() != crate::ErrorKind::Closed {
                    plan.function.failed("store", &plan.store.name, &error);
                    self.drop_refreshed(result).await;
                }
                Outcome::Failed
            }
        }
    }

    /// A refresh whose value is not stored, unless it is an error, leaves nothing old in its place.
    async fn drop_refreshed(&self, result: &R) {
        let Job { plan, key, how, face, .. } = self.job;
        if *how == How::Refresh
            && P::split(result).is_ok()
            && let Err(error) = Box::pin(super::invalidate::remove(plan, key, *face)).await
        {
            plan.function.failed("remove", &plan.store.name, &error);
        }
    }

    /// The rules of section 4: values, `None` under `none_ttl`, errors under `err_ttl`.
    fn to_store(&self, result: &R) -> Option<(Value<P::Value>, Ttl)> {
        let (options, rules) = (&self.job.plan.options, &self.rules);
        if rules.when.is_some_and(|when| !when(result)) {
            return None;
        }
        match P::split(result) {
            Ok(value) if self.facts.value.when.is_some_and(|when| !when(value)) => None,
            Ok(value) if (self.facts.value.is_none)(value) => Some((
                Value::Value(Contained::new(value.clone())),
                self.job.ttl.or(options.none_ttl).filter(|_| options.none_ttl.is_some())?,
            )),
            Ok(value) => Some((Value::Value(Contained::new(value.clone())), self.job.ttl.unwrap_or(options.ttl))),
            Err(_) => {
                let ttl = options.err_ttl?;
                if rules.err_if.is_some_and(|err_if| !err_if(result)) {
                    return None;
                }
                let any: Arc<dyn Any + Send + Sync> = (self.facts.share?.share)(result);
                let encoded = self.job.plan.store.bytes().and(self.facts.whole).and_then(|whole| {
                    // What is meant for values of one type, such as text, need not be able to hold a whole result.
                    let format = self.job.plan.format.as_ref().filter(|format| format.takes(&(whole.types)()).is_ok());
                    let refused = |error: &_| self.job.plan.function.failed("store", &self.job.plan.store.name, error);
                    whole.write(result, format).inspect_err(refused).ok()
                });
                Some((Value::Failure(any, encoded), ttl))
            }
        }
    }
}

enum Followed<'f, R> {
    Result(R),
    Lead(Lead<'f>),
    Alone,
    Again,
}

impl Job {
    /// A call with these tags, each of which is there once. `None` if an entry cannot have them: the call has to run
    /// uncached, which is told.
    pub(crate) fn new(plan: PlanRef, key: KeyBuf, tags: &[String], how: How, face: Face) -> Option<Job> {
        let marks = tags.iter().map(|tag| plan.instance.tags().mark(tag)).collect();
        let tagged = (!tags.is_empty()).then(|| plan.groups(tags));
        let groups = tagged.as_deref().unwrap_or_default();
        let checked = check_tags(tags).and_then(|()| check_groups(groups));
        checked.inspect_err(|error| plan.function.failed("tags", &plan.store.name, error)).ok()?;
        Some(Job { plan, key, tags: marks, tagged, how, face, ttl: None, looked: false })
    }

    /// For byte stores: namespace, function and tags by name; empty if the store keeps no versions.
    pub(super) fn groups(&self) -> &Groups {
        self.tagged.as_ref().unwrap_or_else(|| self.plan.own_groups())
    }
}
