//! Defines the instance, one cache with its backends, functions, tags and threads. A program may have several.

mod backends;
mod blocking;
mod builder;
mod check;
mod explained;
mod formats;
mod functions;
mod health;
mod layers;
mod list;
mod listener;
mod observers;

mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::lock::{Mutex, RwLock};
use retainit_plugin::{EventKind, Result, Strength};

pub use blocking::Blocking;
pub use builder::Builder;
pub(crate) use builder::all;
pub use explained::Explained;
pub(crate) use explained::options;
pub(crate) use functions::{Functions, KeyTerms, Level};
pub use health::{BackendHealth, Health};
pub use list::{FunctionInfo, FunctionList};
pub(crate) use observers::PlanObserver;

use crate::engine::invalidate;
use crate::engine::{CallerKind, EngineContext, EngineHost, EngineState, Function, KeyQuery, Keys, Store, Walk};
use crate::event::Events;
use crate::key::Pattern;
use crate::meta::Evicted;
use crate::registry::Registry;
use crate::runtime::Io;
use crate::stats::Stats;
use crate::value::Format;
use settings::{InstanceShape, InstanceSource};

/// A cache with its backends. A clone is cheap and is the same cache.
///
/// `Retainit::default()` holds up to 10 000 entries in memory and needs nothing else.
///
/// # Panics
///
/// `default()` panics when no memory backend is linked; a program that leaves the feature `memory` out uses
/// [`Retainit::builder`].
#[derive(Clone)]
pub struct Retainit(Arc<InstanceInner>);

struct InstanceInner {
    engine: Arc<EngineState>,
    shape: RwLock<InstanceShape>,
    /// Held while backends are added or removed: by one reload or one registration at a time.
    changes: Mutex<()>,
    settings_revision: AtomicU64,
    /// Reason why nothing is cached: the configuration of an implicit instance cannot be used.
    problem: Option<String>,
    source: InstanceSource,
    functions: Arc<Functions>,
    registry: Registry,
    io: Arc<Io>,
    op_timeout: Duration,
    is_production: bool,
    secret_is_given: bool,
    /// True if it is the instance that retained functions use by default.
    installed: AtomicBool,
}

impl EngineHost for InstanceInner {
    fn stores(&self) -> Vec<Arc<Store>> {
        self.shape.read().stores.values().cloned().collect()
    }

    fn functions_by_site(&self) -> HashMap<u32, Arc<Function>> {
        self.functions.by_site()
    }

    fn format(&self, name: &str) -> Option<Format> {
        self.registry.format(name)
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn setting_source(&self, path: &[&str]) -> Option<String> {
        self.shape.read().configured.effective.source(path).map(str::to_owned)
    }

    fn is_enforced(&self, section: &str, name: &str) -> bool {
        let configured = &self.shape.read().configured;
        match section {
            "functions" => configured.enforced_functions.contains_key(name),
            _ => configured.enforced_backends.contains_key(name),
        }
    }
}

impl fmt::Debug for Retainit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retainit")
            .field("namespace", &self.0.engine.namespace)
            .field("backends", &self.0.shape.read().stores.keys().collect::<Vec<_>>())
            .field("closed", &self.engine().is_closed())
            .finish_non_exhaustive()
    }
}

impl Default for Retainit {
    fn default() -> Self {
        Retainit::builder().build().expect("a memory backend is linked: see the feature `memory`")
    }
}

impl Retainit {
    /// Returns a builder without backends. If none is added, the instance gets one in memory.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Checks every retained function of the program: that its backend exists, that no other function has its id, and
    /// that the backend can hold its types. `install` and `init` call this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`], [`ErrorKind::Duplicate`] or [`ErrorKind::Config`]; the text holds all problems.
    ///
    /// [`ErrorKind::UnknownBackend`]: retainit_plugin::ErrorKind::UnknownBackend
    /// [`ErrorKind::Duplicate`]: retainit_plugin::ErrorKind::Duplicate
    /// [`ErrorKind::Config`]: retainit_plugin::ErrorKind::Config
    pub fn check(&self) -> Result<()> {
        check::check(self)
    }

    /// Returns the plugins of this instance: linked ones and those given to its builder.
    pub fn registry(&self) -> Registry {
        self.0.registry.clone()
    }

    /// Returns the events of this instance, to subscribe to.
    ///
    /// ```
    /// # fn example(retainit: &retainit_core::Retainit) {
    /// # use retainit_core as retainit;
    /// use retainit::{Event, EventKind};
    ///
    /// retainit.events().subscribe([EventKind::CacheError, EventKind::Security], |event: &Event| eprintln!("{event}"));
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.0.engine.bus))
    }

    /// Invalidates every entry with this tag, in all backends that support versions; the cost does not depend on how
    /// many entries there are.
    ///
    /// When it returns `Ok`, no load that began before is served to a later caller or stored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when a backend did not acknowledge, [`ErrorKind::Unsupported`] when one does not support
    /// versions; the other backends are invalidated all the same.
    ///
    /// [`ErrorKind::Pending`]: retainit_plugin::ErrorKind::Pending
    /// [`ErrorKind::Unsupported`]: retainit_plugin::ErrorKind::Unsupported
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        invalidate::tag(&self.context(), tag.as_ref(), Strength::Hard, CallerKind::Async).await
    }

    /// Makes every entry with this tag stale: it is loaded again at the next call.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn expire_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        invalidate::tag(&self.context(), tag.as_ref(), Strength::Soft, CallerKind::Async).await
    }

    /// Removes the entries whose keys match a pattern over `{id}:{args}`, such as `users:*`, and counts them.
    ///
    /// Entries of loads that began after the call did may survive it.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn invalidate_pattern(&self, pattern: impl Into<Pattern>) -> Result<Evicted> {
        invalidate::pattern(&self.context(), pattern.into(), CallerKind::Async).await
    }

    /// Clears this namespace in every backend. Other namespaces in shared stores stay.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate_tag`](Retainit::invalidate_tag).
    pub async fn clear(&self) -> Result<Evicted> {
        invalidate::clear_namespace(&self.context(), CallerKind::Async).await
    }

    /// Lists the keys that begin with `prefix`, as `{id}:{args}`; all of them for `""`. After `close()` the list is one
    /// error of kind [`ErrorKind::Closed`].
    ///
    /// [`ErrorKind::Closed`]: retainit_plugin::ErrorKind::Closed
    pub fn keys(&self, prefix: impl Into<String>) -> Keys {
        self.walk(KeyQuery::prefix(prefix), CallerKind::Async)
    }

    /// Lists the keys that match a pattern over `{id}:{args}`.
    pub fn keys_matching(&self, pattern: impl Into<Pattern>) -> Keys {
        self.walk(KeyQuery::pattern(pattern.into()), CallerKind::Async)
    }

    fn walk(&self, wanted: KeyQuery, caller_kind: CallerKind) -> Keys {
        let context = self.context();
        Keys::new(
            context.stores().iter().map(|store| Walk::new(&context, store, wanted.clone(), caller_kind)).collect(),
        )
    }

    /// Removes expired entries from backends in memory now, and counts them. Backends also do so by themselves.
    pub fn cleanup_expired(&self) -> u64 {
        self.context().cleanup_expired()
    }

    /// Returns the counters of all functions and caches of this instance.
    pub fn stats(&self) -> Stats {
        if self.engine().is_of_parent() {
            return Stats::default();
        }
        let mut stats = self.0.functions.stats();
        stats.add_errors(&self.0.engine.bus.failures());
        stats.uncached += self.0.engine.bus.uncached();
        let stores = self.stores();
        stats.total_keys = stores.iter().map(|store| store.len()).sum();
        let mut types: Vec<_> = stores.iter().map(|store| store.type_name).collect();
        types.dedup();
        stats.storage_type = types.join("+");
        stats
    }

    /// Checks that everything calls need works.
    ///
    /// Every byte backend has to store, return and remove an entry under a key of its own, within `op_timeout`. One whose
    /// circuit breaker is open, or with removals pending, is not tried: calls go without it.
    /// Three failed operations of calls in a row count too, for a minute. Functions and caches whose calls run uncached
    /// are named with the reason: those that were used here, and for the installed instance all that are linked.
    /// Settings such as `disabled` are no problem.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`], and [`ErrorKind::Config`] where functions run uncached because the configuration that was
    /// found cannot be used.
    ///
    /// [`ErrorKind::Closed`]: retainit_plugin::ErrorKind::Closed
    /// [`ErrorKind::Config`]: retainit_plugin::ErrorKind::Config
    pub async fn health(&self) -> Result<Health> {
        self.context().check_usable()?;
        Ok(health::of(self).await)
    }

    /// Ends background work and connections, empties backends in memory, and gives subscribers up to five seconds to
    /// handle pending events. Further calls of `close` do nothing.
    ///
    /// Retained functions and loaders still run, uncached; `get` and `set` return errors of kind [`ErrorKind::Closed`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when removals that a backend has not acknowledged are lost, the first backend's error
    /// that could not end its connections, and [`ErrorKind::Backend`] with the number of records that a subscriber such
    /// as `audit` has lost. The instance is closed all the same.
    ///
    /// [`ErrorKind::Closed`]: retainit_plugin::ErrorKind::Closed
    /// [`ErrorKind::Pending`]: retainit_plugin::ErrorKind::Pending
    /// [`ErrorKind::Backend`]: retainit_plugin::ErrorKind::Backend
    pub async fn close(&self) -> Result<()> {
        self.close_of(CallerKind::Async).await
    }

    async fn close_of(&self, caller_kind: CallerKind) -> Result<()> {
        // A forked child leaves the connections and files of its parent open: the parent still uses them.
        if self.engine().is_of_parent() || self.0.engine.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Before the stores: an alarm that rings later could sweep or flush a store that is closed.
        self.0.engine.timers.close();
        let mut result = Ok(());
        for store in self.stores() {
            result = result.and(store.close(caller_kind).await);
            self.0.engine.bus.emit(EventKind::BackendClose, |parts| parts.backend = Some(Arc::clone(&store.name)));
        }
        // Last: subscribers still receive the events of closing the backends.
        result.and(self.0.engine.bus.close().await)
    }

    /// Returns this instance for sync programs.
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking(self)
    }
}

// Accessors for other parts of the crate.
impl Retainit {
    /// Returns the context that the engine works with.
    pub(crate) fn context(&self) -> EngineContext {
        EngineContext::new(&self.0.engine, Arc::clone(&self.0) as Arc<dyn EngineHost>)
    }

    /// Returns the state that is fixed from the moment the instance is made.
    pub(crate) fn engine(&self) -> &EngineState {
        &self.0.engine
    }

    pub(crate) fn registered(&self) -> &Functions {
        &self.0.functions
    }

    /// Returns true if it is the instance that retained functions use by default.
    pub(crate) fn is_installed(&self) -> bool {
        self.0.installed.load(Ordering::Acquire)
    }

    pub(crate) fn set_installed(&self, installed: bool) {
        self.0.installed.store(installed, Ordering::Release);
    }

    /// Returns true if it was made from this preset and no other source.
    pub(crate) fn is_of_preset(&self, name: &str) -> bool {
        let preset = self.0.source.sources.preset.as_ref();
        preset.is_some_and(|preset| preset.is_alone && preset.name == name)
    }

    pub(crate) fn secret_is_given(&self) -> bool {
        self.0.secret_is_given
    }

    /// Returns a closed instance, under which functions run uncached. It is the default of a child whose parent had
    /// installed one, and of calls that are made while the default is being built.
    pub(crate) fn that_is_closed() -> Retainit {
        let instance = Retainit::builder().build().unwrap_or_else(|_| Builder::implicit());
        instance.0.engine.closed.store(true, Ordering::Release);
        instance
    }

    pub(crate) fn is_same(&self, other: &Retainit) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
