//! Subscribers that must lose nothing and cannot take their events.

use super::*;

/// A disk that is full until it is not.
#[derive(Debug)]
struct Full {
    is_full: Arc<AtomicU64>,
    received: Sender<u64>,
    tried: Sender<u64>,
}

impl Subscriber for Full {
    fn name(&self) -> &str {
        "full"
    }

    fn kinds(&self) -> EventKinds {
        [EventKind::CacheMiss].into()
    }

    fn policy(&self) -> QueuePolicy {
        // With 2 s for each of the thousand events, the callers of the test would wait for half an hour.
        QueuePolicy::Keep(Duration::from_secs(2))
    }

    fn handle(&mut self, event: &Event) -> Result<()> {
        self.tried.send(number(event)).ok();
        if self.is_full.load(Ordering::SeqCst) > 0 {
            return Err(Error::new(ErrorKind::Backend, "no space"));
        }
        self.received.send(number(event)).ok();
        Ok(())
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        let spill = Spilled::default();
        spill.is_broken.store(1, Ordering::SeqCst);
        Some(Arc::new(spill))
    }
}

/// Adds a subscriber that fails with the first event, and fills the queue behind.
fn full(bus: &Bus, events: &Events) -> (Subscription, Receiver<u64>, Arc<AtomicU64>) {
    let ((received, receiver), (tried, try_)) = (channel(), channel());
    let is_full = Arc::new(AtomicU64::new(1));
    let sub = events.add(Full { is_full: Arc::clone(&is_full), received, tried });
    emit(bus, 0);
    next(&try_);
    (1..=CAPACITY as u64).for_each(|number| emit(bus, number));
    (sub, receiver, is_full)
}

// Section 11: audit blocks, then spills. Where it can do neither, one caller has waited for all.
#[test]
fn one_caller_waits_while_nothing_is_taken() {
    let (bus, events, _) = bus();
    let (sub, receiver, is_full) = full(&bus, &events);
    let (reported, drops) = channel();
    events.subscribe(EventKind::EventsDropped, move |event| reported.send(number(event)).expect("the test receives"));
    // A thousand waits would be half an hour.
    (0..1_000).for_each(|number| emit(&bus, FULL + number));
    assert_eq!(sub.dropped(), 1_000);
    assert_eq!(next(&drops), 1);
    is_full.store(0, Ordering::SeqCst);
    (0..FULL).for_each(|number| assert_eq!(next(&receiver), number));
    assert_eq!(next(&drops), 999, "the rest is reported when it goes on");
    let error = block_on(bus.close()).expect_err("records were lost");
    assert!(error.to_string().contains("1000 events of the subscriber `full` were lost"), "{error}");
}

#[test]
fn closing_reports_what_could_not_be_written() {
    let (bus, events, _) = bus();
    let (_sub, _hear, _is_full) = full(&bus, &events);
    let error = block_on(bus.close_within(Duration::from_millis(1))).expect_err("all records are lost");
    // The first event may be under way in that moment.
    let lost = |lost: u64| error.to_string().starts_with(&format!("{lost} events of the subscriber `full`"));
    assert!(lost(FULL) || lost(FULL + 1), "{error}");
    assert!(std::error::Error::source(&error).is_some_and(|why| why.to_string().contains("no space")), "{error:?}");
}

// Events that can be spilled are kept: the next process takes them up.
#[test]
fn what_is_left_at_the_end_is_spilled() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::Keep(Duration::ZERO));
    (0..100).for_each(|number| emit(&bus, number));
    next(&slow.entered);
    block_on(bus.close_within(Duration::from_millis(1))).expect("nothing is lost");
    let spilled: Vec<u64> = slow.spilled.events.lock().expect("no panic").iter().map(number).collect();
    assert_eq!(spilled, (1..100).collect::<Vec<_>>(), "but for the one that is being handled");
}
