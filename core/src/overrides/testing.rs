//! Isolation of tests: an instance for every call of one thread or one tokio runtime.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use retainit_plugin::PerProcess;
use retainit_plugin::lock::RwLock;
use tokio::runtime::{Handle, Id};

use super::{InForceElsewhere, Scope};
use crate::Retainit;
use crate::runtime::Alive;

/// Place in which a guard is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Everything that runs on a tokio runtime: its tasks, whichever worker polls them, and its blocking threads. Every
    /// `#[tokio::test]` has a runtime of its own.
    Runtime(Id),
    Thread(u64),
}

thread_local! {
    /// Number of this thread, 0 until it is asked for. It has no destructor, so that destructors of other thread-locals
    /// can make calls.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

impl Place {
    /// Returns the place that a guard made here covers: the runtime if there is one, else the thread.
    fn here() -> Place {
        Place::runtime().unwrap_or_else(Place::thread)
    }

    fn runtime() -> Option<Place> {
        Handle::try_current().ok().map(|runtime| Place::Runtime(runtime.id()))
    }

    fn thread() -> Place {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Place::Thread(THREAD.with(|thread| {
            if thread.get() == 0 {
                thread.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            thread.get()
        }))
    }
}

type Guards = Vec<(Place, Arc<Scope>)>;

/// Guards in force, the newest last.
static IN_FORCE: PerProcess<RwLock<Guards>> = PerProcess::new(RwLock::default);

/// Number of guards in force: all that is read while there is none.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Returns the scope of the guard in force here: that of the runtime before that of the thread.
pub(super) fn here() -> Option<Arc<Scope>> {
    if GUARDS.load(Ordering::Acquire) == 0 {
        return None;
    }
    let guards = IN_FORCE.get().read();
    let at = |place: Place| guards.iter().rev().find(|(of, _)| *of == place).map(|(_, scope)| Arc::clone(scope));
    Place::runtime().and_then(at).or_else(|| at(Place::thread()))
}

/// Guard of an instance that every retained call uses where [`use_instance`] was called, until it is dropped.
#[derive(Debug)]
#[must_use = "the instance is in use until the guard is dropped: `let _cache = …`"]
pub struct InstanceGuard {
    scope: Arc<Scope>,
    _counted: InForceElsewhere,
    _alive: Alive,
}

/// Lets every retained call use `instance`, and [`current`](crate::current) return it, until the guard is dropped: on
/// this tokio runtime, whichever thread polls the task, or without a runtime on this thread.
///
/// Work that leaves the runtime or the thread uses the installed instance, as everywhere: hand it the instance for
/// [`with_instance`](crate::with_instance), or wrap its future with [`propagate`](crate::propagate). An instance set by
/// `with_instance` around a call takes precedence. Of several guards of one place the newest is in force.
pub fn use_instance(instance: &Retainit) -> InstanceGuard {
    let scope = Arc::new(Scope { instance: Some(instance.clone()), ..Scope::default() });
    let alive = Alive::new();
    IN_FORCE.get().write().push((Place::here(), Arc::clone(&scope)));
    GUARDS.fetch_add(1, Ordering::Release);
    InstanceGuard { scope, _counted: InForceElsewhere::new(), _alive: alive }
}

impl Drop for InstanceGuard {
    fn drop(&mut self) {
        GUARDS.fetch_sub(1, Ordering::Release);
        // The scope is dropped without the lock: with it may end an instance, and code of its backends may make calls.
        let mut guards = IN_FORCE.get().write();
        let ended = guards.iter().rposition(|(_, scope)| Arc::ptr_eq(scope, &self.scope)).map(|at| guards.remove(at));
        drop(guards);
        drop(ended);
    }
}
