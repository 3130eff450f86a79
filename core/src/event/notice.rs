//! What lanes have to say of themselves: drops.

use retainit_plugin::{Event, EventKind, EventParts};

use super::lane::Lane;
use super::on;

/// Tells others of drops. It never waits for room.
pub(super) fn tell(lane: &Lane, count: u64) {
    if count == 0 {
        return;
    }
    let lanes = match lane.place.bus.upgrade() {
        Some(bus) => bus.lanes(),
        None => on::lanes(),
    };
    let mut event = None;
    for other in lanes.iter().filter(|other| other.id != lane.id && other.hears(EventKind::EventsDropped)) {
        let event = event.get_or_insert_with(|| dropped(lane, count));
        other.push(event.clone(), false);
    }
}

/// What a lane hears of its own drops. It does not go through the queue, where it could be dropped too.
pub(super) fn to_itself(lane: &Lane, count: u64) -> Option<Event> {
    (count > 0 && lane.hears(EventKind::EventsDropped)).then(|| dropped(lane, count))
}

fn dropped(lane: &Lane, count: u64) -> Event {
    let mut parts = match lane.place.bus.upgrade() {
        Some(bus) => bus.parts(EventKind::EventsDropped),
        None => EventParts::new(EventKind::EventsDropped, lane.place.clock.wall()),
    };
    parts.count = Some(count);
    parts.detail = Some(lane.name.clone());
    parts.into()
}

/// A lane has ended by itself.
pub(super) fn removed(lane: &Lane) {
    match lane.place.bus.upgrade() {
        Some(bus) => bus.refresh(),
        None => on::refresh(),
    }
}
