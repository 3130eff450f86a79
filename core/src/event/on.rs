//! Handlers that receive events of every instance of the process.

use std::sync::{Arc, Weak};

use retainit_plugin::lock::{Mutex, MutexGuard};
use retainit_plugin::{Event, EventKind, EventKinds, PerProcess, SystemClock};

use super::queue::{QueueHome, SubscriberQueue};
use super::{Bus, Closure, Subscription, bus};
use crate::runtime::Boxed;
use crate::runtime::Io;

/// A handler that `#[on(…)]` registers when the program starts.
#[derive(Clone, Copy, Debug)]
pub struct OnHandler {
    name: &'static str,
    kinds: &'static [EventKind],
    call: OnCall,
}

/// Call of a registered handler.
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
    /// Makes a handler from the path of its function.
    pub const fn new(name: &'static str, kinds: &'static [EventKind], call: OnCall) -> OnHandler {
        OnHandler { name, kinds, call }
    }
}

inventory::collect!(OnHandler);

/// Registers a handler when the program starts: `on! { sync f "f" CacheHit CacheMiss }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __on {
    (sync $handler:ident $name:literal $($kind:ident)+) => {
        $crate::__on!(@ $name [$($kind)+] $crate::rt::OnCall::Sync(|event| $handler(event)));
    };
    (async $handler:ident $name:literal $($kind:ident)+) => {
        $crate::__on!(@ $name [$($kind)+] $crate::rt::OnCall::Async(|event| $crate::rt::std::boxed::Box::pin($handler(event))));
    };
    (@ $name:literal [$($kind:ident)+] $call:expr) => {
        const _: () = {
            $crate::rt::inventory::submit! {
                $crate::rt::OnHandler::new(
                    $crate::rt::std::concat!($crate::rt::std::module_path!(), "::", $name),
                    &[$($crate::EventKind::$kind),+],
                    $call,
                )
            }
        };
    };
}

struct ProcessQueues {
    queues: Vec<Arc<SubscriberQueue>>,
    buses: Vec<Weak<Bus>>,
    /// Runtime for async handlers, which belong to no instance.
    io: Arc<Io>,
}

static PROCESS: PerProcess<Mutex<ProcessQueues>> = PerProcess::new(|| {
    let mut process = ProcessQueues { queues: Vec::new(), buses: Vec::new(), io: Arc::default() };
    for handler in inventory::iter::<OnHandler>() {
        let (kinds, place) = (EventKinds::from(handler.kinds), process.place());
        let queue = match handler.call {
            OnCall::Sync(call) => SubscriberQueue::of(Closure::boxed(handler.name.into(), kinds, call), place),
            OnCall::Async(call) => SubscriberQueue::of_async(handler.name.into(), kinds, call, place),
        };
        process.queues.push(queue);
    }
    Mutex::new(process)
});

impl ProcessQueues {
    fn place(&self) -> QueueHome {
        QueueHome { bus: Weak::new(), clock: Arc::new(SystemClock), io: Arc::downgrade(&self.io) }
    }

    fn renew(&mut self, newcomer: Option<&Arc<SubscriberQueue>>) {
        self.queues.retain(|queue| !queue.is_over());
        self.buses.retain(|bus| bus.strong_count() > 0);
        self.buses.iter().filter_map(Weak::upgrade).for_each(|bus| bus.renewed(&self.queues, newcomer));
    }
}

fn process() -> MutexGuard<'static, ProcessQueues> {
    PROCESS.get().lock()
}

/// Runs a closure with the queues of the process, which do not change meanwhile.
pub(super) fn with(run: impl FnOnce(&[Arc<SubscriberQueue>])) {
    run(&process().queues);
}

/// Connects a new instance to the queues of the process.
pub(super) fn admit(bus: &Arc<Bus>) {
    let mut process = process();
    process.buses.retain(|bus| bus.strong_count() > 0);
    process.buses.push(Arc::downgrade(bus));
    bus.renewed(&process.queues, None);
}

pub(super) fn refresh() {
    process().renew(None);
}

pub(super) fn queues() -> bus::SubscriberQueues {
    process().queues.iter().cloned().collect()
}

/// Subscribes a handler to events of every instance of the process, including later ones. The handler runs on a thread
/// of its own; see [`Events::subscribe`](crate::Events::subscribe).
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::{EventKind, on};
///
/// let sub = on([EventKind::CacheError, EventKind::Security], |event| eprintln!("{event}"));
/// sub.unsubscribe();
/// ```
pub fn on(kinds: impl Into<EventKinds>, handler: impl FnMut(&Event) + Send + 'static) -> Subscription {
    let mut process = process();
    let queue =
        SubscriberQueue::of(Closure::boxed("a handler of the process".into(), kinds.into(), handler), process.place());
    process.queues.push(Arc::clone(&queue));
    process.renew(Some(&queue));
    Subscription { queue }
}
