//! Notices of dropped events.

use retainit_plugin::{Event, EventKind, EventParts};

use super::on;
use super::queue::SubscriberQueue;

/// Reports drops of a queue to all other subscribers. It never waits for room.
pub(super) fn report(queue: &SubscriberQueue, count: u64) {
    if count == 0 {
        return;
    }
    let queues = match queue.place.bus.upgrade() {
        Some(bus) => bus.queues(),
        None => on::queues(),
    };
    let mut event = None;
    for other in queues.iter().filter(|other| other.id != queue.id && other.is_subscribed(EventKind::EventsDropped)) {
        let event = event.get_or_insert_with(|| dropped(queue, count));
        other.push(event.clone(), false);
    }
}

/// Makes the notice about a queue's drops for its own handler. It goes past the queue, where it could be dropped too.
pub(super) fn to_itself(queue: &SubscriberQueue, count: u64) -> Option<Event> {
    (count > 0 && queue.is_subscribed(EventKind::EventsDropped)).then(|| dropped(queue, count))
}

fn dropped(queue: &SubscriberQueue, count: u64) -> Event {
    let mut parts = match queue.place.bus.upgrade() {
        Some(bus) => bus.parts(EventKind::EventsDropped),
        None => EventParts::new(EventKind::EventsDropped, queue.place.clock.wall()),
    };
    parts.count = Some(count);
    parts.detail = Some(queue.name.clone());
    parts.into()
}

/// Removes a queue that has ended by itself.
pub(super) fn removed(queue: &SubscriberQueue) {
    match queue.place.bus.upgrade() {
        Some(bus) => bus.refresh(),
        None => on::refresh(),
    }
}
