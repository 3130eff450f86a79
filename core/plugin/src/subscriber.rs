use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Clock, Event, EventKinds, Result, Section};

/// Receives events: a log, a metrics exporter, an audit trail.
///
/// It is called on a thread of its own, one event after the other in the order in which they happened, never on the
/// caller's path. A panic is caught; after three in a row it receives no more events. Its own cache calls raise no
/// events for it.
pub trait Subscriber: Send + fmt::Debug + 'static {
    /// Returns its name in messages.
    fn name(&self) -> &str;

    /// Returns the kinds of events it receives.
    fn kinds(&self) -> EventKinds;

    /// Returns the policy for events that its queue of 4 096 cannot take. Default: the oldest are dropped.
    fn policy(&self) -> QueuePolicy {
        QueuePolicy::DropOldest
    }

    /// Takes one event.
    ///
    /// # Errors
    ///
    /// The reason of a failure. It is reported through `tracing`, not once per event; under [`QueuePolicy::Keep`] the
    /// same event comes again after a pause, under the others it is gone.
    fn handle(&mut self, event: &Event) -> Result<()>;

    /// Returns the destination of events that the queue cannot take, for [`QueuePolicy::Keep`].
    fn spill(&self) -> Option<Arc<dyn Spill>> {
        None
    }

    /// Takes the spilled events, for [`QueuePolicy::Keep`]. Called when the queue is empty; once more, while nothing
    /// can be spilled, before newer events go through the queue again.
    ///
    /// # Errors
    ///
    /// The reason of a failure; it is called again after a pause.
    fn take_spilled(&mut self) -> Result<()> {
        Ok(())
    }

    /// Returns whether events are to carry the actor of [`set_actor`](crate::set_actor).
    fn wants_actor(&self) -> bool {
        false
    }

    /// Returns whether it writes failures and notices to the log, so that the engine does not write them too. It then
    /// receives equal failures (kind, function, operation, backend) once a minute, with the number of those in between
    /// as `detail`.
    fn writes_log(&self) -> bool {
        false
    }

    /// Returns whether it writes to `tracing`, and so nowhere in a program that has no `tracing` subscriber.
    fn needs_tracing(&self) -> bool {
        false
    }

    /// Ends: the last call, when its instance is closed or it was unsubscribed.
    ///
    /// # Errors
    ///
    /// The events that could not be written; the error is reported through `tracing`, and under [`QueuePolicy::Keep`]
    /// by the instance's `close()`.
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
    /// The reason of a failure. The event is dropped and counted.
    fn put(&self, event: &Event) -> Result<()>;
}

/// Policy for events that a subscriber's queue cannot take. Dropped events are counted and reported as
/// `events_dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueuePolicy {
    /// The oldest in the queue is dropped.
    #[default]
    DropOldest,
    /// The new one is dropped.
    DropNewest,
    /// The caller waits so long for room, then the new one is dropped. While nothing is handled, one caller waits for
    /// all.
    Block(Duration),
    /// One in so many is taken at all, and the oldest dropped if there is no room for it. The others do not count as
    /// dropped.
    Sample(u32),
    /// The caller waits so long for room, then the event goes to [`Subscriber::spill`], and so do all that come after
    /// it, until the subscriber has taken them. While nothing is handled, one caller waits for all. The instance's
    /// `close()` reports what was lost all the same.
    Keep(Duration),
}

/// Everything the engine gives to a subscriber that is being built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriberContext {
    /// The instance's namespace.
    pub namespace: Arc<str>,
    /// The instance's clock.
    pub clock: Arc<dyn Clock>,
}

impl SubscriberContext {
    /// Makes the context of a subscriber.
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

    /// Copies the configuration, which a reload merges with the new contents of the files.
    fn to_box(&self) -> Box<dyn SubscriberConfig>;
}
