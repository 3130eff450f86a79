//! Events: what happens in an instance, told to whoever listens.
//!
//! A subscriber has a *lane*: a bounded queue, and a thread or task that hands its events to the handler one after the
//! other. Who emits an event looks at one word of the [`Bus`]; if somebody hears the kind, the event is made once and
//! put into the lanes.

mod bus;
mod dispatch;
mod emit;
mod lane;
mod notice;
mod on;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use retainit_plugin::{Event, EventKinds, Subscriber};

pub(crate) use bus::Bus;
pub(crate) use dispatch::{Handling, handling};
pub(crate) use emit::Outcome;
pub use on::{OnCall, OnHandler, on};

use crate::Result;
use crate::runtime::block_on;
use lane::Lane;

/// The events of one instance; made by [`Retainit::events`](crate::Retainit::events).
///
/// A handler runs off the callers' path, on a thread of its own or as a task, and hears its events in the order in
/// which they happened. Up to 4 096 wait for it; then the oldest are dropped, counted and told as
/// `events_dropped`. A panic is caught; after three in a row the handler hears nothing more. Cache calls that a handler
/// makes raise no events for itself.
///
/// ```
/// use retainit_core::{Event, EventKind};
///
/// # fn example(retainit: &retainit_core::Retainit) {
/// let sub = retainit.events().subscribe(EventKind::FunctionError, |event: &Event| eprintln!("{event}"));
/// sub.unsubscribe();
/// # }
/// ```
#[derive(Clone)]
pub struct Events(Arc<Bus>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Events {
    pub(crate) fn new(bus: Arc<Bus>) -> Events {
        Events(bus)
    }

    /// Hears events of these kinds. Dropping the handle does not end that: a handler that holds the instance keeps it
    /// alive until one of them is ended.
    pub fn subscribe(
        &self,
        kinds: impl Into<EventKinds>,
        handler: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        self.add(Closure { name: "a handler".into(), kinds: kinds.into(), handler })
    }

    /// Hears events of these kinds with an async handler, which is awaited before it gets the next one. It runs on the
    /// instance's I/O runtime, of one worker: it must not block.
    pub fn subscribe_async<F, L>(&self, kinds: impl Into<EventKinds>, handler: F) -> Subscription
    where
        F: FnMut(Event) -> L + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let lane = Lane::of_async("an async handler".into(), kinds.into(), handler, self.0.place());
        self.0.add(lane)
    }

    /// Adds a subscriber with a policy and an end of its own.
    pub fn add(&self, subscriber: impl Subscriber) -> Subscription {
        self.0.add_subscriber(Box::new(subscriber))
    }

    /// Takes these kinds from every subscriber of this instance, and leaves them the others. Handlers of the whole
    /// process keep theirs.
    pub fn unsubscribe_all(&self, kinds: impl Into<EventKinds>) {
        self.0.forget(kinds.into());
    }

    /// How many events were dropped because subscribers of this instance could not keep up.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Waits until every event so far has been handled. A handler that calls this is not waited for; two that do would
    /// wait for each other.
    pub async fn flush(&self) {
        self.0.flush().await;
    }

    /// The same for sync programs.
    pub fn flush_blocking(&self) {
        block_on(self.0.flush());
    }
}

/// A subscription. Dropping it changes nothing: what was subscribed stays so until [`unsubscribe`].
///
/// [`unsubscribe`]: Subscription::unsubscribe
pub struct Subscription {
    lane: Arc<Lane>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("kinds", &self.kinds()).field("dropped", &self.dropped()).finish()
    }
}

impl Subscription {
    /// Ends it. When this returns, the handler gets nothing more; an event that it is handling may end. What waits in
    /// the queue is dropped.
    pub fn unsubscribe(&self) {
        self.lane.cut();
        notice::removed(&self.lane);
    }

    /// What it still hears.
    pub fn kinds(&self) -> EventKinds {
        if self.lane.is_over() { EventKinds::NONE } else { self.lane.kinds() }
    }

    /// How many events it lost because it could not keep up.
    pub fn dropped(&self) -> u64 {
        self.lane.dropped()
    }
}

/// A function as a subscriber.
struct Closure<F> {
    name: Box<str>,
    kinds: EventKinds,
    handler: F,
}

impl<F: FnMut(&Event) + Send + 'static> Closure<F> {
    fn boxed(name: Box<str>, kinds: EventKinds, handler: F) -> Box<dyn Subscriber> {
        Box::new(Closure { name, kinds, handler })
    }
}

impl<F> fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closure").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Event) + Send + 'static> Subscriber for Closure<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn kinds(&self) -> EventKinds {
        self.kinds
    }

    fn handle(&mut self, event: &Event) -> Result<()> {
        (self.handler)(event);
        Ok(())
    }
}
