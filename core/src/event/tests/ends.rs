//! Handlers that receive nothing more.

use super::*;

/// Sends an event when it is dropped.
struct Dropped(std::sync::mpsc::Sender<EventKind>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(EventKind::CacheMiss).expect("the test receives");
    }
}

#[test]
fn unsubscribe_all_frees_handlers_without_a_kind() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    let dropped = Dropped(received.clone());
    events.subscribe(EventKind::CacheMiss, move |event| {
        let Dropped(received) = &dropped;
        received.send(event.kind()).expect("the test receives");
    });
    emit(&bus, 1);
    assert_eq!(next(&receiver), EventKind::CacheMiss, "it runs on a thread now");
    events.unsubscribe_all(EventKind::CacheMiss);
    assert_eq!(next(&receiver), EventKind::CacheMiss, "and is dropped");
}

// T-09
#[test]
fn a_panic_is_isolated_and_the_third_in_a_row_is_the_last() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    let sub = events.subscribe(EventKind::CacheMiss, move |event| {
        received.send(number(event)).expect("the test receives");
        assert!(number(event) == 2, "a bug of the handler");
    });
    (0..10).for_each(|number| emit(&bus, number));
    // Two panics, one that goes well, three panics.
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(sub.kinds().is_empty());
}
