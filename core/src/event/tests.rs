mod ends;
mod losses;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit_plugin::{Clock, Error, ErrorKind, Event, EventKind, EventKinds, QueuePolicy, Result, Spill, Subscriber};
use retainit_testkit::ManualClock;

use super::queue::CAPACITY;
use super::{Bus, Events, Subscription};
use crate::runtime::{Io, block_on};

fn bus() -> (Arc<Bus>, Events, ManualClock) {
    let clock = ManualClock::new();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let bus = Bus::new("tests", false, &[7; 32], &shared, &Arc::new(Io::default()));
    (Arc::clone(&bus), Events::new(bus), clock)
}

/// Emits a miss with a number.
fn emit(bus: &Bus, number: u64) {
    bus.emit(EventKind::CacheMiss, |parts| parts.count = Some(number));
}

fn number(event: &Event) -> u64 {
    event.count().unwrap_or(u64::MAX)
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(Duration::from_secs(20)).expect("it has to come within 20 s")
}

/// A subscriber that handles an event only when the test lets it.
#[derive(Debug)]
struct Slow {
    kinds: EventKinds,
    policy: QueuePolicy,
    entered: Sender<u64>,
    go: Receiver<()>,
    received: Arc<Mutex<Vec<Event>>>,
    spilled: Arc<Spilled>,
    closed: Sender<()>,
}

#[derive(Debug, Default)]
struct Spilled {
    events: Mutex<Vec<Event>>,
    is_broken: AtomicU64,
}

impl Spill for Spilled {
    fn put(&self, event: &Event) -> Result<()> {
        if self.is_broken.load(Ordering::SeqCst) > 0 {
            return Err(Error::new(ErrorKind::Backend, "no space"));
        }
        self.events.lock().expect("no panic").push(event.clone());
        Ok(())
    }
}

impl Subscriber for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn kinds(&self) -> EventKinds {
        self.kinds
    }

    fn policy(&self) -> QueuePolicy {
        self.policy
    }

    fn handle(&mut self, event: &Event) -> Result<()> {
        self.entered.send(number(event)).ok();
        // It does not wait once the test has dropped the other end.
        self.go.recv().ok();
        self.received.lock().expect("no panic").push(event.clone());
        Ok(())
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        Some(Arc::clone(&self.spilled) as Arc<dyn Spill>)
    }

    fn take_spilled(&mut self) -> Result<()> {
        let spilled = std::mem::take(&mut *self.spilled.events.lock().expect("no panic"));
        self.received.lock().expect("no panic").extend(spilled);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.closed.send(()).ok();
        Ok(())
    }
}

/// The test's handles of a [`Slow`] subscriber.
struct Held {
    sub: Subscription,
    entered: Receiver<u64>,
    go: Option<Sender<()>>,
    received: Arc<Mutex<Vec<Event>>>,
    spilled: Arc<Spilled>,
    closed: Receiver<()>,
}

impl Held {
    fn new(events: &Events, policy: QueuePolicy) -> Held {
        let ((entered, entered_here), (go_here, go)) = (channel(), channel());
        let (closed, closed_here) = channel();
        let (received, spilled) = (Arc::default(), Arc::<Spilled>::default());
        let kinds = [EventKind::CacheMiss, EventKind::EventsDropped].into();
        let (received_here, spilled_here) = (Arc::clone(&received), Arc::clone(&spilled));
        let sub = events.add(Slow { kinds, policy, entered, go, received, spilled, closed });
        Held {
            sub,
            entered: entered_here,
            go: Some(go_here),
            received: received_here,
            spilled: spilled_here,
            closed: closed_here,
        }
    }

    /// Lets it begin with the first event, and fills the queue behind.
    fn fill(&self, bus: &Bus) {
        emit(bus, 0);
        next(&self.entered);
        (1..=CAPACITY as u64).for_each(|number| emit(bus, number));
    }

    /// Lets everything through and returns the received misses and notices of drops.
    fn release(&mut self, events: &Events) -> (Vec<u64>, Vec<u64>) {
        self.go = None;
        block_on(events.flush());
        block_on(events.flush());
        let received = self.received.lock().expect("no panic");
        let of = |kind| received.iter().filter(|event| event.kind() == kind).map(number).collect();
        (of(EventKind::CacheMiss), of(EventKind::EventsDropped))
    }
}

const FULL: u64 = CAPACITY as u64;

#[test]
fn the_oldest_are_dropped_and_every_drop_is_reported() {
    let (bus, events, clock) = bus();
    let mut slow = Held::new(&events, QueuePolicy::default());
    let (reported, notices) = channel();
    events.subscribe(EventKind::EventsDropped, move |event| reported.send(number(event)).expect("the test receives"));
    slow.fill(&bus);
    emit(&bus, FULL + 1);
    assert_eq!(next(&notices), 1);
    // Within the same second drops are counted and not reported.
    (2..=10).for_each(|more| emit(&bus, FULL + more));
    clock.advance(Duration::from_secs(1));
    emit(&bus, FULL + 11);
    assert_eq!(next(&notices), 10);
    emit(&bus, FULL + 12);
    assert_eq!((slow.sub.dropped(), events.dropped()), (12, 12));
    let (received, own_notices) = slow.release(&events);
    assert_eq!(received, [0].into_iter().chain(13..=FULL + 12).collect::<Vec<_>>());
    assert_eq!((own_notices.iter().sum::<u64>(), next(&notices)), (12, 1));
}

#[test]
fn the_newest_are_dropped() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::DropNewest);
    slow.fill(&bus);
    emit(&bus, FULL + 1);
    emit(&bus, FULL + 2);
    assert_eq!(slow.sub.dropped(), 2);
    let (received, own_notices) = slow.release(&events);
    assert_eq!(received, (0..=FULL).collect::<Vec<_>>());
    assert_eq!(own_notices.iter().sum::<u64>(), 2);
}

#[test]
fn a_caller_waits_for_room_and_then_drops() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Block(Duration::from_millis(1)));
    slow.fill(&bus);
    emit(&bus, FULL + 1);
    assert_eq!((slow.sub.dropped(), slow.release(&events).0.len() as u64), (1, FULL + 1));

    let (bus, events, _) = self::bus();
    let mut slow = Held::new(&events, QueuePolicy::Block(Duration::from_secs(60)));
    slow.fill(&bus);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| emit(&bus, FULL + 1));
        slow.go.as_ref().expect("it is held").send(()).expect("it waits");
        waiting.join().expect("it got room");
    });
    assert_eq!((slow.sub.dropped(), slow.release(&events).0.len() as u64), (0, FULL + 2));
}

#[test]
fn a_sample_is_one_in_so_many() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Sample(10));
    (0..100).for_each(|number| emit(&bus, number));
    let (received, own_notices) = slow.release(&events);
    assert_eq!(received, (0..100).step_by(10).collect::<Vec<_>>());
    assert_eq!((slow.sub.dropped(), own_notices), (0, vec![]));
}

// T-114
#[test]
fn what_must_not_be_lost_is_spilled_and_comes_back_in_order() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Keep(Duration::from_millis(1)));
    slow.fill(&bus);
    (1..=500).for_each(|more| emit(&bus, FULL + more));
    assert_eq!(slow.spilled.events.lock().expect("no panic").len(), 500);
    // There is room again, and yet newer ones have to go behind those that were spilled.
    for _ in 0..100 {
        slow.go.as_ref().expect("it is held").send(()).expect("it waits");
        next(&slow.entered);
    }
    (501..=600).for_each(|more| emit(&bus, FULL + more));
    let (received, own_notices) = slow.release(&events);
    emit(&bus, FULL + 601);
    block_on(events.flush());
    assert_eq!(received, (0..=FULL + 600).collect::<Vec<_>>());
    assert_eq!(slow.release(&events).0.last(), Some(&(FULL + 601)));
    assert_eq!((slow.sub.dropped(), own_notices), (0, vec![]));
}

#[test]
fn what_cannot_be_spilled_is_dropped_and_counted() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Keep(Duration::ZERO));
    slow.spilled.is_broken.store(1, Ordering::SeqCst);
    slow.fill(&bus);
    emit(&bus, FULL + 1);
    emit(&bus, FULL + 2);
    assert_eq!(slow.sub.dropped(), 2);
    assert_eq!(slow.release(&events).1.iter().sum::<u64>(), 2);
}

#[test]
fn an_event_that_could_not_be_kept_comes_again() {
    #[derive(Debug)]
    struct Fails(u32, Sender<u64>);
    impl Subscriber for Fails {
        fn name(&self) -> &str {
            "fails"
        }
        fn kinds(&self) -> EventKinds {
            EventKinds::ALL
        }
        fn policy(&self) -> QueuePolicy {
            QueuePolicy::Keep(Duration::ZERO)
        }
        fn handle(&mut self, event: &Event) -> Result<()> {
            self.0 += 1;
            if self.0 == 1 {
                return Err(Error::new(ErrorKind::Backend, "not now"));
            }
            self.1.send(number(event)).ok();
            Ok(())
        }
    }
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    events.add(Fails(0, received));
    emit(&bus, 1);
    emit(&bus, 2);
    assert_eq!((next(&receiver), next(&receiver)), (1, 2));
}

#[test]
fn every_event_of_many_threads_is_received_or_counted() {
    for policy in [QueuePolicy::DropOldest, QueuePolicy::DropNewest, QueuePolicy::Keep(Duration::ZERO)] {
        let (bus, events, _) = bus();
        let mut slow = Held::new(&events, policy);
        slow.go = None;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let bus = &bus;
                scope.spawn(move || (0..20_000).for_each(|number| emit(bus, thread << 32 | number)));
            }
            // Subscribers that come and go meanwhile change nothing for the others.
            (0..50).for_each(|_| events.subscribe(EventKind::CacheHit, |_| {}).unsubscribe());
        });
        let (received, own_notices) = slow.release(&events);
        assert_eq!(received.len() as u64 + slow.sub.dropped(), 80_000, "{policy:?}");
        assert_eq!(own_notices.iter().sum::<u64>(), slow.sub.dropped());
        for thread in 0..4 {
            let own: Vec<_> = received.iter().filter(|number| *number >> 32 == thread).collect();
            assert!(own.is_sorted(), "{policy:?}: one thread's events come in its order");
        }
        if matches!(policy, QueuePolicy::Keep(_)) {
            assert_eq!(slow.sub.dropped(), 0);
        }
    }
}

// T-07
#[test]
fn after_unsubscribe_nothing_more_is_handled() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    slow.fill(&bus);
    slow.sub.unsubscribe();
    emit(&bus, 1);
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.received.lock().expect("no panic").len(), 1, "the one that was being handled");
    assert!(slow.sub.kinds().is_empty() && !bus.is_subscribed(EventKind::CacheMiss));
}

// T-08
#[test]
fn unsubscribe_all_takes_one_kind_from_everybody() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    let other = received.clone();
    let kinds = [EventKind::CacheMiss, EventKind::CacheHit];
    events.subscribe(kinds, move |event| received.send(event.kind()).expect("the test receives"));
    events.subscribe(EventKind::CacheMiss, move |event| other.send(event.kind()).expect("the test receives"));
    events.unsubscribe_all(EventKind::CacheMiss);
    assert!(!bus.is_subscribed(EventKind::CacheMiss) && bus.is_subscribed(EventKind::CacheHit));
    emit(&bus, 1);
    bus.emit(EventKind::CacheHit, |_| {});
    assert_eq!(next(&receiver), EventKind::CacheHit);
}

// T-10
#[test]
fn an_async_handler_is_awaited_before_it_gets_the_next() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    let running = Arc::new(AtomicU64::new(0));
    events.subscribe_async(EventKind::CacheMiss, move |event| {
        let (received, running) = (received.clone(), Arc::clone(&running));
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            received.send((number(&event), others)).expect("the test receives");
        }
    });
    (0..20).for_each(|number| emit(&bus, number));
    assert_eq!((0..20).map(|_| next(&receiver)).collect::<Vec<_>>(), (0..20).map(|n| (n, 0)).collect::<Vec<_>>());
}

#[test]
fn a_panic_of_an_async_handler_is_isolated_too() {
    for in_its_future in [false, true] {
        let (bus, events, _) = bus();
        let (received, receiver) = channel();
        events.subscribe_async(EventKind::CacheMiss, move |event| {
            received.send(number(&event)).expect("the test receives");
            assert!(in_its_future, "a bug of the handler");
            async { panic!("a bug of its future") }
        });
        (0..6).for_each(|number| emit(&bus, number));
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}

#[test]
fn closing_lets_handlers_end_and_then_ends_them() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::default());
    (0..100).for_each(|number| emit(&bus, number));
    slow.go = None;
    block_on(bus.close()).expect("nothing is lost");
    next(&slow.closed);
    assert_eq!(slow.received.lock().expect("no panic").len(), 100);
    emit(&bus, 100);
    let late = Held::new(&events, QueuePolicy::default());
    emit(&bus, 101);
    next(&late.closed);
    assert!(late.received.lock().expect("no panic").is_empty());
    assert_eq!(slow.received.lock().expect("no panic").len(), 100);
}

#[test]
fn closing_does_not_wait_for_ever() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    (0..100).for_each(|number| emit(&bus, number));
    next(&slow.entered);
    block_on(bus.close_within(Duration::from_millis(1))).expect("this one may lose events");
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.received.lock().expect("no panic").len(), 1, "the one that was being handled");
}

#[test]
fn a_handler_may_end_what_it_is_part_of() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    let (own, whole) = (events.clone(), Arc::clone(&bus));
    events.subscribe(EventKind::CacheMiss, move |event| {
        own.flush_blocking();
        block_on(whole.close()).expect("nothing is lost");
        received.send(number(event)).expect("the test receives");
    });
    emit(&bus, 1);
    assert_eq!(next(&receiver), 1);
    emit(&bus, 2);
    assert!(receiver.recv().is_err(), "it has ended");
}

#[test]
fn a_subscriber_without_any_event_is_closed_too() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    block_on(bus.close()).expect("nothing is lost");
    next(&slow.closed);
}

#[test]
fn a_bus_that_is_dropped_ends_its_handlers() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    emit(&bus, 1);
    drop((bus, events));
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.received.lock().expect("no panic").len(), 1);
}

// T-03
#[test]
fn a_later_subscriber_receives_each_backend_once() {
    let (bus, events, _) = bus();
    let (received, receiver) = channel();
    bus.backend_is_there(&"one".into());
    let names =
        move |event: &Event| received.send(event.backend().unwrap_or_default().to_owned()).expect("the test receives");
    events.subscribe(EventKind::BackendInit, names);
    bus.backend_is_there(&"two".into());
    bus.backend_is_there(&"two".into());
    block_on(bus.close()).expect("nothing is lost");
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_key_is_hashed_with_the_secret_and_apart_for_each_function() {
    let (bus, _, _) = bus();
    let io = Arc::new(Io::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let other = Bus::new("tests", false, &[8; 32], &clock, &io);
    assert_eq!(bus.key("f", "42"), bus.key("f", "42"));
    for different in [bus.key("g", "42"), bus.key("f", "43"), other.key("f", "42"), "42".into()] {
        assert_ne!(bus.key("f", "42"), different);
    }
    assert_eq!(&*Bus::new("tests", true, &[8; 32], &clock, &io).key("f", "42"), "42");
}

#[test]
fn a_handler_of_the_process_receives_events_of_instances_old_and_new() {
    let (old, _, _) = bus();
    let (received, receiver) = channel();
    // Other tests of this process emit events too.
    let sub =
        super::on(EventKind::VerifyMismatch, move |event| received.send(event.instance()).expect("the test receives"));
    let (new, _, _) = bus();
    for bus in [&old, &new] {
        bus.emit(EventKind::VerifyMismatch, |_| {});
    }
    let (first, second) = (next(&receiver), next(&receiver));
    assert!(first != 0 && second > first);
    sub.unsubscribe();
    assert!(!old.is_subscribed(EventKind::VerifyMismatch) && !new.is_subscribed(EventKind::VerifyMismatch));
}

#[test]
fn an_event_without_a_subscriber_is_not_made() {
    let (bus, events, _) = bus();
    bus.emit(EventKind::CacheMiss, |_| unreachable!("there is no subscriber"));
    let sub = events.subscribe(EventKind::CacheHit, |_| {});
    bus.emit(EventKind::CacheMiss, |_| unreachable!("no subscriber of this kind"));
    sub.unsubscribe();
    bus.emit(EventKind::CacheHit, |_| unreachable!("no subscriber is left"));
}
