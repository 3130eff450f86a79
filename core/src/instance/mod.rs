//! One cache: backends, functions, groups, threads. A program may have several side by side.

mod backends;
mod blocking;
mod builder;
mod functions;
mod health;
mod levels;
mod replan;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use retainit_plugin::{Clock, EventKind, Mark, Moment, Strength, caught};

pub use blocking::Blocking;
pub use builder::Builder;
pub(crate) use builder::all;
pub(crate) use functions::{Functions, KeyTerms, Level};
pub use health::Health;
pub(crate) use levels::{Levels, Origin};
pub(crate) use replan::Replan;

use crate::cache::CacheBuilder;
use crate::engine::flight::Flights;
use crate::engine::groups::{Generation, Tags};
use crate::engine::invalidate;
use crate::engine::{Face, Keys, Kind, Store, Walk, Wanted};
use crate::event::{Bus, Events};
use crate::key::Pattern;
use crate::meta::Evicted;
use crate::registry::Registry;
use crate::runtime::{Io, Task, Timers};
use crate::stats::Stats;
use crate::{Error, ErrorKind, Result};
use settings::{Shape, Source};

/// A cache with its backends. Cheap to clone; the clones are one cache.
///
/// `Retainit::default()` keeps up to 10 000 entries in memory and needs nothing else.
///
/// # Panics
///
/// `default()` panics when no memory backend is linked; a program that leaves the feature `memory` out uses
/// [`Retainit::builder`].
#[derive(Clone)]
pub struct Retainit(Arc<Inner>);

struct Inner {
    generation: Generation,
    clock: Arc<dyn Clock>,
    system_clock: bool,
    namespace: String,
    namespace_mark: Mark,
    tags: Tags,
    shape: RwLock<Shape>,
    /// Held while backends come and go: by one reload or one registration at a time.
    changes: Mutex<()>,
    epoch: AtomicU64,
    /// Why nothing is cached: the configuration of an implicit instance cannot be used.
    problem: Option<String>,
    source: Source,
    functions: Arc<Functions>,
    bus: Arc<Bus>,
    registry: Registry,
    flights: Arc<Flights>,
    timers: Arc<Timers>,
    io: Arc<Io>,
    op_timeout: Duration,
    max_value: u64,
    decode_timeout: Duration,
    secret: [u8; 32],
    secret_is_given: bool,
    sweep_due: AtomicU64,
    closed: AtomicBool,
}

impl fmt::Debug for Retainit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retainit")
            .field("namespace", &self.0.namespace)
            .field("backends", &self.0.shape.read().stores.keys().collect::<Vec<_>>())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Default for Retainit {
    fn default() -> Self {
        Retainit::builder().build().expect("a memory backend is linked: see the feature `memory`")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.timers.close();
    }
}

/// A sweep is not worth its cost more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

impl Retainit {
    /// A builder with no backends: without any it gets one in memory.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Makes this the process-wide default that retained functions use.
    ///
    /// It takes the place of an implicit default and of a closed one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] when another open instance was installed by hand, [`ErrorKind::Closed`] for a closed
    /// one, and everything that [`check`](Retainit::check) finds; nothing is installed then.
    pub fn install(&self) -> Result<()> {
        self.check_open()?;
        self.check()?;
        crate::global::install(self)
    }

    /// Looks at every retained function of the program: backends that are not there, two functions of one id, types
    /// that cannot go where they are sent. `install` and `init` ask this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`], [`ErrorKind::Duplicate`] or [`ErrorKind::Config`]; the text holds all problems.
    pub fn check(&self) -> Result<()> {
        functions::check(self)
    }

    /// The plugins this instance knows: linked ones and those its builder was given.
    pub fn registry(&self) -> Registry {
        self.0.registry.clone()
    }

    /// What happens here, for those who want to hear of it.
    ///
    /// ```
    /// # fn example(retainit: &retainit_core::Retainit) {
    /// use retainit_core::{Event, EventKind};
    ///
    /// retainit.events().subscribe([EventKind::CacheError, EventKind::Security], |event: &Event| eprintln!("{event}"));
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.0.bus))
    }

    /// A cache for values of type `V` under a name, without the macro.
    pub fn cache<V>(&self, name: impl Into<String>) -> CacheBuilder<V> {
        CacheBuilder::new(self.clone(), name.into())
    }

    /// Makes every entry with this tag unusable, in all backends that keep versions, however many there are.
    ///
    /// When it returns `Ok`, no load that began before is served to a later caller or stored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when a backend did not acknowledge, [`ErrorKind::Unsupported`] when one keeps no
    /// versions; the others are done all the same.
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        invalidate::tag(self, tag.as_ref(), Strength::Hard, Face::Async).await
    }

    /// Makes every entry with this tag stale: it is loaded again at the next call.
    ///
    /// # Errors
    ///
    /// As [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn expire_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        invalidate::tag(self, tag.as_ref(), Strength::Soft, Face::Async).await
    }

    /// Removes the keys that match a pattern over `{id}:{args}`, such as `users:*`, and counts them.
    ///
    /// Entries of loads that began after the call did may survive it.
    ///
    /// # Errors
    ///
    /// As [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn invalidate_pattern(&self, pattern: impl Into<Pattern>) -> Result<Evicted> {
        invalidate::pattern(self, pattern.into(), Face::Async).await
    }

    /// Clears this namespace in every backend, and nothing else that may lie there.
    ///
    /// # Errors
    ///
    /// As [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn clear(&self) -> Result<Evicted> {
        invalidate::clear_namespace(self, Face::Async).await
    }

    /// The keys that begin with `prefix`, as `{id}:{args}`; all of them for `""`. After `close()` there is only an error
    /// of kind [`ErrorKind::Closed`].
    pub fn keys(&self, prefix: impl Into<String>) -> Keys {
        self.walk(Wanted::prefix(prefix), Face::Async)
    }

    /// The keys that match a pattern over `{id}:{args}`.
    pub fn keys_matching(&self, pattern: impl Into<Pattern>) -> Keys {
        self.walk(Wanted::pattern(pattern.into()), Face::Async)
    }

    fn walk(&self, wanted: Wanted, face: Face) -> Keys {
        Keys::new(self.stores().iter().map(|store| Walk::new(self, store, wanted.clone(), face)).collect())
    }

    /// Removes what has expired from backends in memory now, and counts it. They do so by themselves too.
    pub fn cleanup_expired(&self) -> u64 {
        let expired = self.stores().iter().map(|store| invalidate::sweep(self, store)).sum();
        self.0.tags.sweep();
        expired
    }

    /// What all functions and caches of this instance have done so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.0.functions.stats();
        stats.add_errors(&self.0.bus.failures());
        let stores = self.stores();
        stats.total_keys = stores.iter().map(|store| total_keys(store)).sum();
        let mut types: Vec<_> = stores.iter().map(|store| store.type_name).collect();
        types.dedup();
        stats.storage_type = types.join("+");
        stats
    }

    /// Asks every backend whether it answers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], and [`ErrorKind::Config`] where functions run uncached because the configuration that was
    /// found cannot be used.
    pub async fn health(&self) -> Result<Health> {
        self.health_of(Face::Async).await
    }

    async fn health_of(&self, face: Face) -> Result<Health> {
        self.check_open()?;
        if let Some(problem) = &self.0.problem {
            return Err(Error::new(ErrorKind::Config, problem.clone()));
        }
        let mut failing = Vec::new();
        for store in self.stores() {
            if let Some(bytes) = store.bytes()
                && let Err(error) = bytes.health(face).await
            {
                failing.push((store.name.to_string(), error));
            }
        }
        Ok(if failing.is_empty() { Health::Healthy } else { Health::Degraded { failing } })
    }

    /// Ends background work and connections, empties what is in memory, and gives subscribers up to five seconds to
    /// handle the events there are. Later calls do nothing.
    ///
    /// Retained functions and loaders still answer, uncached; `get` and `set` are errors of kind
    /// [`ErrorKind::Closed`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when removals that a backend has not acknowledged are lost, and the first backend's error
    /// that could not end its connections. The instance is closed all the same.
    pub async fn close(&self) -> Result<()> {
        self.close_of(Face::Async).await
    }

    async fn close_of(&self, face: Face) -> Result<()> {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.0.timers.close();
        let mut result = Ok(());
        for store in self.stores() {
            match &store.kind {
                Kind::Object(object) => {
                    let empty = || {
                        object.break_fences();
                        object.retain(&mut |_| Some(retainit_plugin::RemovalCause::Removed))
                    };
                    result = result.and(caught(ErrorKind::Backend, "the backend", empty).map(drop));
                }
                Kind::Bytes(bytes) => result = result.and(bytes.close(face).await),
            }
            self.0.bus.emit(EventKind::BackendClose, |parts| parts.backend = Some(Arc::clone(&store.name)));
        }
        self.0.bus.close().await;
        result
    }

    /// The same for sync programs.
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking(self)
    }
}

fn total_keys(store: &Store) -> u64 {
    match &store.kind {
        Kind::Object(object) => caught(ErrorKind::Backend, "the backend", || object.len() as u64).unwrap_or(0),
        Kind::Bytes(_) => 0,
    }
}

// What the engine asks an instance.
impl Retainit {
    #[inline(always)]
    pub(crate) fn generation(&self) -> &Generation {
        &self.0.generation
    }

    #[inline(always)]
    pub(crate) fn namespace_mark(&self) -> &Mark {
        &self.0.namespace_mark
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.0.namespace
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn has_system_clock(&self) -> bool {
        self.0.system_clock
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.0.tags
    }

    pub(crate) fn flights(&self) -> &Arc<Flights> {
        &self.0.flights
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.0.timers
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.0.bus
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.0.functions
    }

    pub(crate) fn functions_by_site(&self) -> HashMap<u32, Arc<crate::engine::Function>> {
        self.0.functions.by_site()
    }

    /// The most bytes of a value that is stored or read.
    pub(crate) fn max_value(&self) -> u64 {
        self.0.max_value
    }

    /// The longest that reading a value back may take.
    pub(crate) fn decode_timeout(&self) -> Duration {
        self.0.decode_timeout
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.0.secret
    }

    pub(crate) fn secret_is_given(&self) -> bool {
        self.0.secret_is_given
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// What calls after `close()` get.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::new(ErrorKind::Closed, "this instance is closed")) } else { Ok(()) }
    }

    pub(crate) fn is_same(&self, other: &Retainit) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Sees to it that a sweep comes soon after `deadline`.
    pub(crate) fn sweep_by(&self, store: &Arc<Store>, deadline: Moment) {
        let due = deadline.max(self.0.clock.now().after(SWEEP_EVERY)).as_millis();
        if due >= self.0.sweep_due.load(Ordering::Relaxed) {
            return;
        }
        if self.0.sweep_due.fetch_min(due, Ordering::AcqRel) <= due {
            return;
        }
        let instance = Arc::downgrade(&self.0);
        debug_assert!(matches!(store.kind, Kind::Object(_)));
        let sweep = move |now: Moment| Retainit(instance.upgrade()?).sweep(now);
        self.0.timers.add(Moment::from_millis(due), Task::Sweep(Box::new(sweep)));
    }

    /// Removes what has expired and says when to do so again.
    fn sweep(&self, now: Moment) -> Option<Moment> {
        if self.0.sweep_due.load(Ordering::Acquire) > now.as_millis() {
            // A later call has set an earlier sweep, which has been.
            return None;
        }
        self.0.sweep_due.store(u64::MAX, Ordering::Release);
        let watch = crate::runtime::Stopwatch::start();
        self.cleanup_expired();
        // At most a twentieth of one thread goes into sweeping.
        let pause = SWEEP_EVERY.max(watch.elapsed() * 20);
        let next = self.stores().into_iter().filter_map(|store| match &store.kind {
            Kind::Object(object) => caught(ErrorKind::Backend, "the backend", || object.next_deadline()).ok(),
            Kind::Bytes(_) => None,
        });
        let next = next.min().filter(|next| *next != Moment::NEVER)?;
        let due = next.max(now.after(pause));
        (self.0.sweep_due.fetch_min(due.as_millis(), Ordering::AcqRel) > due.as_millis()).then_some(due)
    }
}
