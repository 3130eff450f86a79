use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, Event, EventKinds, Result, Section};

/// Something that hears events: a log, a metrics exporter, an audit trail.
///
/// It is called on a thread of its own, one event after the other in the order in which they happened, never on the
/// caller's path. A panic is caught; after three in a row it hears nothing more. Cache calls that it makes raise no
/// events for itself.
pub trait Subscriber: Send + fmt::Debug + 'static {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// What it wants to hear.
    fn kinds(&self) -> EventKinds;

    /// What happens to events that its queue of 4 096 cannot take. Default: the oldest are dropped.
    fn policy(&self) -> QueuePolicy {
        QueuePolicy::DropOldest
    }

    /// Takes one event.
    ///
    /// # Errors
    ///
    /// Why it could not. That is told through `tracing`, not once per event; under [`QueuePolicy::Keep`] the same event
    /// comes again after a pause, under the others it is gone.
    fn handle(&mut self, event: &Event) -> Result<()>;

    /// For [`QueuePolicy::Keep`]: where events go that the queue cannot take.
    fn spill(&self) -> Option<Arc<dyn Spill>> {
        None
    }

    /// For [`QueuePolicy::Keep`]: takes what was spilled. Called when the queue is empty; once more, while nothing can be
    /// spilled, before newer events go through the queue again.
    ///
    /// # Errors
    ///
    /// Why it could not; it is asked again after a pause.
    fn take_spilled(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether events are to carry the actor of [`set_actor`](crate::set_actor).
    fn wants_actor(&self) -> bool {
        false
    }

    /// Whether it writes failures and notices to the log, so that the engine does not write them too.
    fn writes_log(&self) -> bool {
        false
    }

    /// Ends: the last call, when its instance is closed or it was unsubscribed.
    ///
    /// # Errors
    ///
    /// What could not be written; it is told through `tracing`.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Takes events on the caller's side that a subscriber's queue cannot take.
pub trait Spill: Send + Sync + fmt::Debug + 'static {
    /// Keeps one event. Calls come one at a time, in the order of the events.
    ///
    /// # Errors
    ///
    /// Why it could not. The event is dropped and counted.
    fn put(&self, event: &Event) -> Result<()>;
}

/// What happens to events that a subscriber's queue cannot take. Whatever is dropped is counted, and told as
/// `events_dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueuePolicy {
    /// The oldest in the queue is dropped.
    #[default]
    DropOldest,
    /// The new one is dropped.
    DropNewest,
    /// The caller waits so long for room, then the new one is dropped.
    Block(Duration),
    /// One in so many is taken at all, and the oldest dropped if there is no room for it. The others do not count as
    /// dropped.
    Sample(u32),
    /// The caller waits so long for room, then the event goes to [`Subscriber::spill`], and so do all that come after
    /// it, until the subscriber has taken them.
    Keep(Duration),
}

/// What the engine hands to a subscriber that is being built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriberContext {
    /// The instance's namespace.
    pub namespace: Arc<str>,
    /// The instance's clock.
    pub clock: Arc<dyn Clock>,
}

impl SubscriberContext {
    /// The context of a subscriber.
    pub fn new(namespace: impl Into<Arc<str>>, clock: Arc<dyn Clock>) -> SubscriberContext {
        SubscriberContext { namespace: namespace.into(), clock }
    }
}

/// The typed configuration of a subscriber.
pub trait SubscriberConfig: Section {
    /// Builds the subscriber. Files may be opened; nothing is waited for.
    ///
    /// # Errors
    ///
    /// Every problem of this configuration at once, as one [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn build(&self, context: SubscriberContext) -> Result<Box<dyn Subscriber>>;

    /// A copy, which a reload lays over what the files say then.
    fn to_box(&self) -> Box<dyn SubscriberConfig>;
}
