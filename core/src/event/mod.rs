//! Events of an instance, delivered to its subscribers.
//!
//! A subscriber has a queue of bounded length, and a thread or task that hands its events to the handler one after the
//! other. Emitting an event reads one word of the [`Bus`]; only if its kind has a subscriber is the event made, once,
//! and put into the queues.

mod bus;
mod dispatch;
mod notice;
mod on;
mod print;
mod queue;
mod sparse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use retainit_plugin::{Event, EventKinds, Result, Subscriber};

pub(crate) use bus::Bus;
pub(crate) use dispatch::{Handling, handling};
pub use on::{OnCall, OnHandler, on};

use crate::runtime::block_on;
use queue::SubscriberQueue;
pub(crate) use sparse::held_back;

/// Events of one instance; made by [`Retainit::events`](crate::Retainit::events).
///
/// A handler runs off the callers' path, on a thread of its own or as a task, and receives its events in the order in
/// which they happened. Up to 4 096 wait for it; then the oldest are dropped, counted and reported as `events_dropped`.
/// A panic is caught; after three in a row the handler receives nothing more. Cache calls that a handler makes raise no
/// events for itself.
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::{Event, EventKind};
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

    /// Subscribes a handler to events of these kinds. Dropping the handle does not unsubscribe: a handler that holds
    /// the instance keeps it alive until one of the two is ended.
    pub fn subscribe(
        &self,
        kinds: impl Into<EventKinds>,
        handler: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        self.add(Closure { name: "a handler".into(), kinds: kinds.into(), handler })
    }

    /// Subscribes an async handler, which is awaited before it receives the next event. It runs on the instance's I/O
    /// runtime, of one worker: it must not block.
    pub fn subscribe_async<F, L>(&self, kinds: impl Into<EventKinds>, handler: F) -> Subscription
    where
        F: FnMut(Event) -> L + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let queue = SubscriberQueue::of_async("an async handler".into(), kinds.into(), handler, self.0.place());
        self.0.add(queue)
    }

    /// Adds a subscriber with its own queue policy and end.
    pub fn add(&self, subscriber: impl Subscriber) -> Subscription {
        self.0.add_subscriber(Box::new(subscriber))
    }

    /// Removes these kinds from every subscriber of this instance, which keep their others. Handlers of the whole
    /// process keep all.
    pub fn unsubscribe_all(&self, kinds: impl Into<EventKinds>) {
        self.0.forget(kinds.into());
    }

    /// Returns the number of events dropped because subscribers of this instance could not keep up.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Waits until every event so far has been handled. A handler that calls this is not waited for; two that do would
    /// wait for each other.
    pub async fn flush(&self) {
        self.0.flush().await;
    }

    /// Waits, as a blocking call, until every event so far has been handled.
    pub fn flush_blocking(&self) {
        block_on(self.0.flush());
    }
}

/// Handle of a subscription. Dropping it keeps the subscription, which ends by [`unsubscribe`].
///
/// [`unsubscribe`]: Subscription::unsubscribe
pub struct Subscription {
    queue: Arc<SubscriberQueue>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("kinds", &self.kinds()).field("dropped", &self.dropped()).finish()
    }
}

impl Subscription {
    /// Ends the subscription. When this returns, the handler receives nothing more; an event that it is handling may
    /// end. Queued events are dropped.
    pub fn unsubscribe(&self) {
        self.queue.cut();
        notice::removed(&self.queue);
    }

    /// Returns the kinds that it still receives.
    pub fn kinds(&self) -> EventKinds {
        if self.queue.is_over() { EventKinds::NONE } else { self.queue.kinds() }
    }

    /// Returns the number of events it lost because it could not keep up.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

/// Adapter of a closure as a subscriber.
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
