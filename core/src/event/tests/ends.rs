//! Handlers that hear no more.

use super::*;

/// Tells when it is dropped.
struct Dropped(std::sync::mpsc::Sender<EventKind>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(EventKind::CacheMiss).expect("the test listens");
    }
}

#[test]
fn unsubscribe_all_frees_who_hears_nothing_any_more() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    let dropped = Dropped(heard.clone());
    events.subscribe(EventKind::CacheMiss, move |event| {
        let Dropped(heard) = &dropped;
        heard.send(event.kind()).expect("the test listens");
    });
    tell(&bus, 1);
    assert_eq!(next(&hear), EventKind::CacheMiss, "it runs on a thread now");
    events.unsubscribe_all(EventKind::CacheMiss);
    assert_eq!(next(&hear), EventKind::CacheMiss, "and is dropped");
}

// T-09
#[test]
fn a_panic_is_isolated_and_the_third_in_a_row_is_the_last() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    let sub = events.subscribe(EventKind::CacheMiss, move |event| {
        heard.send(number(event)).expect("the test listens");
        assert!(number(event) == 2, "a bug of the handler");
    });
    (0..10).for_each(|number| tell(&bus, number));
    // Two panics, one that goes well, three panics.
    assert_eq!(hear.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert!(sub.kinds().is_empty());
}
