//! Temporary overrides: they travel with a future or a closure, nest field by field, and never leak to another task.

use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use retainit_plugin::{IntoTtl, Ttl};

use crate::engine::flight::{self, Chain};
use crate::engine::{Verifying, is_verifying};
use crate::event::{Handling, handling};
use crate::runtime::{Inside, Surroundings};
use crate::{Error, Retainit};

/// Options for every retained call below a future or a closure.
///
/// ```
/// use retainit_core::Overrides;
///
/// let short = Overrides::new().ttl("1s").backend("memory");
/// # let _ = short;
/// ```
///
/// A value that cannot be used (an unreadable ttl, a backend nobody registered) makes the calls under it run
/// uncached, with a `cache_error`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Overrides {
    pub(crate) backend: Option<Arc<str>>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) none_ttl: Option<Ttl>,
    pub(crate) err_ttl: Option<Ttl>,
    pub(crate) jitter: Option<f64>,
    pub(crate) disabled: Option<bool>,
    pub(crate) problem: Option<Arc<str>>,
}

impl Overrides {
    /// Nothing overridden.
    pub fn new() -> Overrides {
        Overrides::default()
    }

    /// Uses another backend. Removals reach the function's own backend too.
    pub fn backend(mut self, name: impl Into<Arc<str>>) -> Overrides {
        self.backend = Some(name.into());
        self
    }

    /// How long results stored below are fresh.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Overrides {
        self.ttl = self.read(ttl);
        self
    }

    /// How long a `None` stored below is fresh.
    pub fn none_ttl(mut self, ttl: impl IntoTtl) -> Overrides {
        self.none_ttl = self.read(ttl);
        self
    }

    /// How long an error stored below is fresh, where the function keeps errors.
    pub fn err_ttl(mut self, ttl: impl IntoTtl) -> Overrides {
        self.err_ttl = self.read(ttl);
        self
    }

    /// The largest fraction by which a ttl is shortened, 0 to 1.
    pub fn jitter(mut self, jitter: f64) -> Overrides {
        if (0.0..=1.0).contains(&jitter) {
            self.jitter = Some(jitter);
        } else {
            self.problem = Some(format!("jitter {jitter} is not between 0 and 1").into());
        }
        self
    }

    /// Whether functions run as if there were no cache.
    pub fn disabled(mut self, disabled: bool) -> Overrides {
        self.disabled = Some(disabled);
        self
    }

    fn read(&mut self, ttl: impl IntoTtl) -> Option<Ttl> {
        ttl.into_ttl().map_err(|error: Error| self.problem = Some(error.to_string().into())).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.backend.is_none()
            && self.ttl.is_none()
            && self.none_ttl.is_none()
            && self.err_ttl.is_none()
            && self.jitter.is_none()
            && self.disabled.is_none()
            && self.problem.is_none()
    }

    /// These overrides with what they leave open taken from `outer`.
    fn over(&self, outer: &Overrides) -> Overrides {
        Overrides {
            backend: self.backend.clone().or_else(|| outer.backend.clone()),
            ttl: self.ttl.or(outer.ttl),
            none_ttl: self.none_ttl.or(outer.none_ttl),
            err_ttl: self.err_ttl.or(outer.err_ttl),
            jitter: self.jitter.or(outer.jitter),
            disabled: self.disabled.or(outer.disabled),
            problem: self.problem.clone().or_else(|| outer.problem.clone()),
        }
    }
}

/// What is in force on this thread right now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) overrides: Overrides,
    pub(crate) instance: Option<Retainit>,
}

/// How many reasons there are in the process to leave the shortest way. Zero is what a hit pays for: one relaxed load.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Never dropped, so that it is there in destructors of other thread-locals too. Nothing is lost with it: whoever
    /// puts a scope in force takes it back.
    static SCOPE: ManuallyDrop<RefCell<Option<Arc<Scope>>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Whether a scope could be in force.
#[inline(always)]
pub(crate) fn possible() -> bool {
    ALIVE.load(Ordering::Relaxed) != 0
}

/// The scope in force.
pub(crate) fn current() -> Option<Arc<Scope>> {
    if possible() { here() } else { None }
}

/// Whether this thread is outside every scope.
pub(crate) fn none_here() -> bool {
    SCOPE.try_with(|scope| scope.borrow().is_none()).unwrap_or(true)
}

fn here() -> Option<Arc<Scope>> {
    SCOPE.try_with(|scope| scope.borrow().clone()).ok().flatten()
}

/// Puts a scope in force and gives the one that was. It is the caller's to drop, for its end may make calls.
fn replace(scope: Option<Arc<Scope>>) -> Option<Arc<Scope>> {
    SCOPE.try_with(|here| here.replace(scope)).ok().flatten()
}

/// Keeps `ALIVE` true to the scopes there are, and to the instances where somebody hears of hits: they too need the
/// slow road.
#[derive(Debug)]
pub(crate) struct Alive;

impl Alive {
    pub(crate) fn new() -> Alive {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Alive
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Puts a scope in force until dropped.
#[derive(Debug)]
struct Entered(Option<Arc<Scope>>);

impl Entered {
    fn new(scope: Option<Arc<Scope>>) -> Entered {
        Entered(replace(scope))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(replace(self.0.take()));
    }
}

/// What runs elsewhere on behalf of a caller takes along: the scope in force, the loads it is part of, whether it runs
/// to verify a hit, and the handler that makes its calls.
#[derive(Debug)]
pub(crate) struct Carried {
    scope: Option<Arc<Scope>>,
    loads: Vec<flight::Id>,
    verifying: bool,
    handling: u64,
    _alive: Option<Alive>,
}

/// What was carried, in force on this thread until dropped.
#[derive(Debug)]
pub(crate) struct CarriedHere {
    _scope: Entered,
    _chain: Chain,
    _verifying: Option<Verifying>,
    _handling: Option<Handling>,
}

impl Carried {
    /// Takes along what is in force here.
    pub(crate) fn here() -> Carried {
        let scope = here();
        let alive = scope.is_some().then(Alive::new);
        Carried { scope, loads: Chain::current(), verifying: is_verifying(), handling: handling(), _alive: alive }
    }

    pub(crate) fn enter(&self) -> CarriedHere {
        CarriedHere {
            _scope: Entered::new(self.scope.clone()),
            _chain: Chain::enter(&self.loads),
            _verifying: self.verifying.then(Verifying::enter),
            _handling: (self.handling != 0).then(|| Handling::enter(self.handling)),
        }
    }
}

/// What a wrapper lays over the scope it finds.
#[derive(Debug)]
struct Own {
    overrides: Overrides,
    instance: Option<Retainit>,
}

impl Own {
    fn over(&self, outer: Option<&Scope>) -> Arc<Scope> {
        let nothing = Scope::default();
        let outer = outer.unwrap_or(&nothing);
        Arc::new(Scope {
            overrides: self.overrides.over(&outer.overrides),
            instance: self.instance.as_ref().or(outer.instance.as_ref()).cloned(),
        })
    }
}

/// Whether two readings found the same scope in force.
fn is_same(one: Option<&Arc<Scope>>, other: Option<&Arc<Scope>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// What a wrapped future is polled and dropped in.
#[derive(Debug)]
enum Around {
    /// Laid over the scope outside, which is the one it is polled in: arguments are made before the call they nest in.
    Own { own: Own, outer: Option<Arc<Scope>>, scope: Option<Arc<Scope>>, _alive: Alive },
    /// What was in force where it was made.
    Carried(Carried),
}

#[derive(Debug)]
enum InForce {
    Own { _scope: Entered },
    Carried { _all: CarriedHere },
}

impl Surroundings for Around {
    type Entered = InForce;

    fn enter(&mut self) -> InForce {
        match self {
            Around::Own { own, outer, scope, .. } => {
                let now = here();
                if scope.is_none() || !is_same(now.as_ref(), outer.as_ref()) {
                    *scope = Some(own.over(now.as_deref()));
                    *outer = now;
                }
                InForce::Own { _scope: Entered::new(scope.clone()) }
            }
            Around::Carried(carried) => InForce::Carried { _all: carried.enter() },
        }
    }
}

pin_project_lite::pin_project! {
    /// A future with overrides, in which it is polled and dropped; made by [`with`], [`disabled`], [`with_instance`] and
    /// [`propagate`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct With<F> {
        #[pin]
        future: Inside<F, Around>,
    }
}

impl<F> std::fmt::Debug for With<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("With").field("around", self.future.surroundings()).finish_non_exhaustive()
    }
}

impl<F: Future> Future for With<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

fn wrap<F>(future: F, overrides: Overrides, instance: Option<&Retainit>) -> With<F> {
    let own = Own { overrides, instance: instance.cloned() };
    With { future: Inside::new(future, Around::Own { own, outer: None, scope: None, _alive: Alive::new() }) }
}

/// Runs `future` with overrides: every retained call in it sees them, nothing outside it does.
///
/// Overrides inside are laid over these, field by field. Spawned tasks do not inherit them, unless the future they
/// run is wrapped with [`propagate`].
pub fn with<F: Future>(overrides: Overrides, future: F) -> With<F> {
    wrap(future, overrides, None)
}

/// Runs `future` as if there were no cache: functions run, nothing is read or stored.
pub fn disabled<F: Future>(future: F) -> With<F> {
    with(Overrides::new().disabled(true), future)
}

/// Runs `future` with another instance behind its retained functions.
pub fn with_instance<F: Future>(instance: &Retainit, future: F) -> With<F> {
    wrap(future, Overrides::new(), Some(instance))
}

/// Carries the overrides in force into a future that is going to be spawned, and with them the loads it belongs to,
/// so that a load that waits for itself is still noticed.
///
/// ```ignore
/// tokio::spawn(retainit::propagate(report()));
/// ```
pub fn propagate<F: Future>(future: F) -> With<F> {
    With { future: Inside::new(future, Around::Carried(Carried::here())) }
}

fn run<T>(scope: Arc<Scope>, f: impl FnOnce() -> T) -> T {
    let _alive = Alive::new();
    let _entered = Entered::new(Some(scope));
    f()
}

/// As [`with`], for a closure on this thread.
pub fn with_sync<T>(overrides: Overrides, f: impl FnOnce() -> T) -> T {
    run(Own { overrides, instance: None }.over(here().as_deref()), f)
}

/// As [`disabled`], for a closure on this thread.
pub fn disabled_sync<T>(f: impl FnOnce() -> T) -> T {
    with_sync(Overrides::new().disabled(true), f)
}

/// As [`with_instance`], for a closure on this thread.
pub fn with_instance_sync<T>(instance: &Retainit, f: impl FnOnce() -> T) -> T {
    let own = Own { overrides: Overrides::new(), instance: Some(instance.clone()) };
    run(own.over(here().as_deref()), f)
}
