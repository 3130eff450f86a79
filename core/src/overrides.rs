//! Temporary overrides: they travel with a future or a closure, nest field by field, and never leak to another task.

#[cfg(feature = "test")]
mod testing;

use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crate::Retainit;
use crate::engine::flight::{self, LoadStack};
use crate::engine::{Verifying, is_verifying};
use crate::event::{Handling, handling};
use crate::options::Overrides;
use crate::runtime::{Alive, Inside, Surroundings, possible, quietly};
#[cfg(feature = "test")]
pub use testing::{InstanceGuard, use_instance};

/// Overrides and instance in force on this thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) overrides: Overrides,
    pub(crate) instance: Option<Retainit>,
}

thread_local! {
    /// Scope of this thread. It is never dropped, so that destructors of other thread-locals can use it too. Nothing
    /// leaks: whoever enters a scope restores the one before.
    static SCOPE: ManuallyDrop<RefCell<Option<Arc<Scope>>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Returns the scope in force.
pub(crate) fn current() -> Option<Arc<Scope>> {
    if possible() { in_force() } else { None }
}

/// Returns true if this thread is outside every scope.
pub(crate) fn none_here() -> bool {
    #[cfg(feature = "test")]
    if testing::here().is_some() {
        return false;
    }
    SCOPE.try_with(|scope| scope.borrow().is_none()).unwrap_or(true)
}

/// Returns the scope that wrappers have entered on this thread.
fn here() -> Option<Arc<Scope>> {
    SCOPE.try_with(|scope| scope.borrow().clone()).ok().flatten()
}

/// Returns the scope of this thread, with the instance of the test that runs here where no wrapper has set one.
fn in_force() -> Option<Arc<Scope>> {
    let scope = here();
    #[cfg(feature = "test")]
    if scope.as_ref().is_none_or(|scope| scope.instance.is_none()) {
        return match (scope, testing::here()) {
            (Some(scope), Some(test)) => {
                Some(Arc::new(Scope { overrides: scope.overrides.clone(), instance: test.instance.clone() }))
            }
            (scope, test) => scope.or(test),
        };
    }
    scope
}

/// Number of scopes with an instance in this process, in force on a thread or held by a future.
static WITH_INSTANCE: AtomicUsize = AtomicUsize::new(0);

/// Guard that counts a scope with an instance.
#[derive(Debug)]
struct InForceElsewhere;

impl InForceElsewhere {
    fn new() -> InForceElsewhere {
        WITH_INSTANCE.fetch_add(1, Ordering::Relaxed);
        InForceElsewhere
    }
}

impl Drop for InForceElsewhere {
    fn drop(&mut self) {
        WITH_INSTANCE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes to the log that a call outside every scope uses the default instance, while an instance is in force
/// elsewhere. Work spawned under that instance looks just like this, and nothing tells it from other calls.
pub(crate) fn note_default(function: &str) {
    if WITH_INSTANCE.load(Ordering::Relaxed) != 0 {
        quietly(|| {
            tracing::debug!(
                target: "retainit",
                function,
                "uses the default instance, while `with_instance` is in force elsewhere: what is spawned inside that does \
                 not inherit it unless it is wrapped with `propagate`"
            );
        });
    }
}

/// Installs a scope and returns the one that was in force. The caller drops that, after the borrow: its end may make
/// calls.
fn replace(scope: Option<Arc<Scope>>) -> Option<Arc<Scope>> {
    SCOPE.try_with(|here| here.replace(scope)).ok().flatten()
}

/// Guard of a scope in force.
#[derive(Debug)]
struct EnteredScope(Option<Arc<Scope>>);

impl EnteredScope {
    fn new(scope: Option<Arc<Scope>>) -> EnteredScope {
        EnteredScope(replace(scope))
    }
}

impl Drop for EnteredScope {
    fn drop(&mut self) {
        drop(replace(self.0.take()));
    }
}

/// Context that work on behalf of a caller takes to another thread: the scope in force, the loads it is part of, `true`
/// for a run that verifies a hit, and the handler that makes its calls.
#[derive(Debug)]
pub(crate) struct Carried {
    scope: Option<Arc<Scope>>,
    loads: Vec<flight::Id>,
    verifying: bool,
    handling: u64,
    _alive: Option<Alive>,
}

/// Guard of a carried context on this thread.
#[derive(Debug)]
pub(crate) struct CarriedHere {
    _scope: EnteredScope,
    _load_stack: LoadStack,
    _verifying: Option<Verifying>,
    _handling: Option<Handling>,
}

impl Carried {
    /// Captures the context of this thread.
    pub(crate) fn here() -> Carried {
        let scope = in_force();
        let alive = scope.is_some().then(Alive::new);
        Carried { scope, loads: LoadStack::current(), verifying: is_verifying(), handling: handling(), _alive: alive }
    }

    pub(crate) fn enter(&self) -> CarriedHere {
        CarriedHere {
            _scope: EnteredScope::new(self.scope.clone()),
            _load_stack: LoadStack::enter(&self.loads),
            _verifying: self.verifying.then(Verifying::enter),
            _handling: (self.handling != 0).then(|| Handling::enter(self.handling)),
        }
    }
}

/// Overrides and instance that a wrapper adds to the scope around it.
#[derive(Debug)]
struct InnerScope {
    overrides: Overrides,
    instance: Option<Retainit>,
    _counted: Option<InForceElsewhere>,
}

impl InnerScope {
    fn new(overrides: Overrides, instance: Option<&Retainit>) -> InnerScope {
        InnerScope { overrides, instance: instance.cloned(), _counted: instance.map(|_| InForceElsewhere::new()) }
    }

    fn over(&self, outer: Option<&Scope>) -> Arc<Scope> {
        let nothing = Scope::default();
        let outer = outer.unwrap_or(&nothing);
        Arc::new(Scope {
            overrides: self.overrides.over(&outer.overrides),
            instance: self.instance.as_ref().or(outer.instance.as_ref()).cloned(),
        })
    }
}

/// Returns true if two readings found the same scope in force.
fn is_same(one: Option<&Arc<Scope>>, other: Option<&Arc<Scope>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Context in which a wrapped future is polled and dropped.
#[derive(Debug)]
enum Around {
    /// Own overrides, on top of the scope in which the future is polled: arguments are evaluated before the call they
    /// nest in, so that scope is only known then.
    Own { own: InnerScope, outer: Option<Arc<Scope>>, scope: Option<Arc<Scope>>, _alive: Alive },
    /// Context captured where the future was made.
    Carried(Carried),
}

#[derive(Debug)]
enum InForce {
    Own { _scope: EnteredScope },
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
                InForce::Own { _scope: EnteredScope::new(scope.clone()) }
            }
            Around::Carried(carried) => InForce::Carried { _all: carried.enter() },
        }
    }
}

pin_project_lite::pin_project! {
    /// A future with overrides, in which it is polled and dropped; made by [`with`], [`disabled`], [`with_instance`]
    /// and [`propagate`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct WithOverrides<F> {
        #[pin]
        future: Inside<F, Around>,
    }
}

impl<F> std::fmt::Debug for WithOverrides<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithOverrides").field("around", self.future.surroundings()).finish_non_exhaustive()
    }
}

impl<F: Future> Future for WithOverrides<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

fn wrap<F>(future: F, overrides: Overrides, instance: Option<&Retainit>) -> WithOverrides<F> {
    let own = InnerScope::new(overrides, instance);
    WithOverrides { future: Inside::new(future, Around::Own { own, outer: None, scope: None, _alive: Alive::new() }) }
}

/// Runs `future` with overrides, which apply to every retained call in it and to none outside.
///
/// Overrides inside take precedence over these, field by field. Spawned tasks do not inherit them, unless the future
/// they run is wrapped with [`propagate`].
pub fn with<F: Future>(overrides: Overrides, future: F) -> WithOverrides<F> {
    wrap(future, overrides, None)
}

/// Runs `future` as if there were no cache: functions run, nothing is read or stored.
pub fn disabled<F: Future>(future: F) -> WithOverrides<F> {
    with(Overrides::new().disabled(true), future)
}

/// Runs `future` with another instance behind its retained functions.
///
/// Work that it spawns uses the default instance, unless its future is wrapped with [`propagate`]; a record of the level
/// `debug` names functions that do so meanwhile.
pub fn with_instance<F: Future>(instance: &Retainit, future: F) -> WithOverrides<F> {
    wrap(future, Overrides::new(), Some(instance))
}

/// Carries the overrides in force into a future that is going to be spawned, and with them the loads it belongs to, so
/// that a load that waits for itself is still noticed.
///
/// ```ignore
/// tokio::spawn(retainit::propagate(report()));
/// ```
pub fn propagate<F: Future>(future: F) -> WithOverrides<F> {
    WithOverrides { future: Inside::new(future, Around::Carried(Carried::here())) }
}

fn run<T>(own: InnerScope, f: impl FnOnce() -> T) -> T {
    let _alive = Alive::new();
    let _entered = EnteredScope::new(Some(own.over(here().as_deref())));
    f()
}

/// Runs a closure on this thread with overrides, like [`with`].
pub fn with_sync<T>(overrides: Overrides, f: impl FnOnce() -> T) -> T {
    run(InnerScope::new(overrides, None), f)
}

/// Runs a closure on this thread as if there were no cache, like [`disabled`].
pub fn disabled_sync<T>(f: impl FnOnce() -> T) -> T {
    with_sync(Overrides::new().disabled(true), f)
}

/// Runs a closure on this thread with another instance, like [`with_instance`].
pub fn with_instance_sync<T>(instance: &Retainit, f: impl FnOnce() -> T) -> T {
    run(InnerScope::new(Overrides::new(), Some(instance)), f)
}
