//! Handlers that hear every instance of the process.

use std::sync::{Arc, LazyLock, Weak};

use parking_lot::{Mutex, MutexGuard};
use retainit_plugin::{Event, EventKind, EventKinds, SystemClock};

use super::lane::{Lane, Place};
use super::{Bus, Closure, Subscription, bus};
use crate::rt::Boxed;
use crate::runtime::Io;

/// A handler that `#[on(…)]` makes known when the program starts.
#[derive(Clone, Copy, Debug)]
pub struct OnHandler {
    name: &'static str,
    kinds: &'static [EventKind],
    call: OnCall,
}

/// How such a handler is called.
#[derive(Clone, Copy)]
pub enum OnCall {
    /// On a thread of its own.
    Sync(fn(&Event)),
    /// As a task.
    Async(fn(Event) -> Boxed<()>),
}

impl std::fmt::Debug for OnCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, OnCall::Sync(_)) { "Sync" } else { "Async" })
    }
}

impl OnHandler {
    /// A handler by the path of its function.
    pub const fn new(name: &'static str, kinds: &'static [EventKind], call: OnCall) -> OnHandler {
        OnHandler { name, kinds, call }
    }
}

inventory::collect!(OnHandler);

/// Makes a handler known when the program starts: `on! { sync f "f" CacheHit CacheMiss }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __on {
    (sync $handler:ident $name:literal $($kind:ident)+) => {
        $crate::__on!(@ $name [$($kind)+] $crate::rt::OnCall::Sync(|event| $handler(event)));
    };
    (async $handler:ident $name:literal $($kind:ident)+) => {
        $crate::__on!(@ $name [$($kind)+] $crate::rt::OnCall::Async(|event| ::std::boxed::Box::pin($handler(event))));
    };
    (@ $name:literal [$($kind:ident)+] $call:expr) => {
        const _: () = {
            $crate::rt::inventory::submit! {
                $crate::rt::OnHandler::new(
                    ::core::concat!(::core::module_path!(), "::", $name),
                    &[$($crate::EventKind::$kind),+],
                    $call,
                )
            }
        };
    };
}

struct Process {
    lanes: Vec<Arc<Lane>>,
    buses: Vec<Weak<Bus>>,
    /// Where async handlers run, which belong to no instance.
    io: Arc<Io>,
}

static PROCESS: LazyLock<Mutex<Process>> = LazyLock::new(|| {
    let mut process = Process { lanes: Vec::new(), buses: Vec::new(), io: Arc::default() };
    for handler in inventory::iter::<OnHandler>() {
        let (kinds, place) = (EventKinds::from(handler.kinds), process.place());
        let lane = match handler.call {
            OnCall::Sync(call) => Lane::of(Closure::boxed(handler.name.into(), kinds, call), place),
            OnCall::Async(call) => Lane::of_async(handler.name.into(), kinds, call, place),
        };
        process.lanes.push(lane);
    }
    Mutex::new(process)
});

impl Process {
    fn place(&self) -> Place {
        Place { bus: Weak::new(), clock: Arc::new(SystemClock), io: Arc::downgrade(&self.io) }
    }

    fn renew(&mut self, newcomer: Option<&Arc<Lane>>) {
        self.lanes.retain(|lane| !lane.is_over());
        self.buses.retain(|bus| bus.strong_count() > 0);
        self.buses.iter().filter_map(Weak::upgrade).for_each(|bus| bus.renewed(&self.lanes, newcomer));
    }
}

fn process() -> MutexGuard<'static, Process> {
    PROCESS.lock()
}

/// Runs something with the handlers of the process, which do not change meanwhile.
pub(super) fn with(run: impl FnOnce(&[Arc<Lane>])) {
    run(&process().lanes);
}

/// Makes a new instance heard.
pub(super) fn admit(bus: &Arc<Bus>) {
    let mut process = process();
    process.buses.retain(|bus| bus.strong_count() > 0);
    process.buses.push(Arc::downgrade(bus));
    bus.renewed(&process.lanes, None);
}

pub(super) fn refresh() {
    process().renew(None);
}

pub(super) fn lanes() -> bus::Lanes {
    process().lanes.iter().cloned().collect()
}

/// Hears events of every instance of the process, also of those that are made later. The handler runs on a thread of
/// its own; see [`Events::subscribe`](crate::Events::subscribe).
///
/// ```
/// use retainit_core::{EventKind, on};
///
/// let sub = on([EventKind::CacheError, EventKind::Security], |event| eprintln!("{event}"));
/// sub.unsubscribe();
/// ```
pub fn on(kinds: impl Into<EventKinds>, handler: impl FnMut(&Event) + Send + 'static) -> Subscription {
    let mut process = process();
    let lane = Lane::of(Closure::boxed("a handler of the process".into(), kinds.into(), handler), process.place());
    process.lanes.push(Arc::clone(&lane));
    process.renew(Some(&lane));
    Subscription { lane }
}
