mod ends;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit_plugin::{Clock, Error, ErrorKind, Event, EventKind, EventKinds, QueuePolicy, Result, Spill, Subscriber};
use retainit_testkit::ManualClock;

use super::lane::CAPACITY;
use super::{Bus, Events, Subscription};
use crate::runtime::{Io, block_on};

fn bus() -> (Arc<Bus>, Events, ManualClock) {
    let clock = ManualClock::new();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let bus = Bus::new("tests", false, &[7; 32], &shared, &Arc::new(Io::default()));
    (Arc::clone(&bus), Events::new(bus), clock)
}

/// Tells a miss with a number.
fn tell(bus: &Bus, number: u64) {
    bus.emit(EventKind::CacheMiss, |parts| parts.count = Some(number));
}

fn number(event: &Event) -> u64 {
    event.count().unwrap_or(u64::MAX)
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(Duration::from_secs(20)).expect("it has to come within 20 s")
}

/// A subscriber that the test lets through event by event, if it wants to.
#[derive(Debug)]
struct Slow {
    kinds: EventKinds,
    policy: QueuePolicy,
    entered: Sender<u64>,
    go: Receiver<()>,
    heard: Arc<Mutex<Vec<Event>>>,
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
        // Without a test that holds the other end, it does not wait.
        self.go.recv().ok();
        self.heard.lock().expect("no panic").push(event.clone());
        Ok(())
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        Some(Arc::clone(&self.spilled) as Arc<dyn Spill>)
    }

    fn take_spilled(&mut self) -> Result<()> {
        let spilled = std::mem::take(&mut *self.spilled.events.lock().expect("no panic"));
        self.heard.lock().expect("no panic").extend(spilled);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.closed.send(()).ok();
        Ok(())
    }
}

/// The test's side of it.
struct Held {
    sub: Subscription,
    entered: Receiver<u64>,
    go: Option<Sender<()>>,
    heard: Arc<Mutex<Vec<Event>>>,
    spilled: Arc<Spilled>,
    closed: Receiver<()>,
}

impl Held {
    fn new(events: &Events, policy: QueuePolicy) -> Held {
        let ((entered, entered_here), (go_here, go)) = (channel(), channel());
        let (closed, closed_here) = channel();
        let (heard, spilled) = (Arc::default(), Arc::<Spilled>::default());
        let kinds = [EventKind::CacheMiss, EventKind::EventsDropped].into();
        let (heard_here, spilled_here) = (Arc::clone(&heard), Arc::clone(&spilled));
        let sub = events.add(Slow { kinds, policy, entered, go, heard, spilled, closed });
        Held {
            sub,
            entered: entered_here,
            go: Some(go_here),
            heard: heard_here,
            spilled: spilled_here,
            closed: closed_here,
        }
    }

    /// It handles the first event, and the queue is full behind it.
    fn fill(&self, bus: &Bus) {
        tell(bus, 0);
        next(&self.entered);
        (1..=CAPACITY as u64).for_each(|number| tell(bus, number));
    }

    /// Lets everything through and gives what it has heard, drops apart.
    fn release(&mut self, events: &Events) -> (Vec<u64>, Vec<u64>) {
        self.go = None;
        block_on(events.flush());
        block_on(events.flush());
        let heard = self.heard.lock().expect("no panic");
        let of = |kind| heard.iter().filter(|event| event.kind() == kind).map(number).collect();
        (of(EventKind::CacheMiss), of(EventKind::EventsDropped))
    }
}

const FULL: u64 = CAPACITY as u64;

#[test]
fn the_oldest_are_dropped_and_every_drop_is_told() {
    let (bus, events, clock) = bus();
    let mut slow = Held::new(&events, QueuePolicy::default());
    let (told, notices) = channel();
    events.subscribe(EventKind::EventsDropped, move |event| told.send(number(event)).expect("the test listens"));
    slow.fill(&bus);
    tell(&bus, FULL + 1);
    assert_eq!(next(&notices), 1);
    // Within the same second drops are counted and not told.
    (2..=10).for_each(|more| tell(&bus, FULL + more));
    clock.advance(Duration::from_secs(1));
    tell(&bus, FULL + 11);
    assert_eq!(next(&notices), 10);
    tell(&bus, FULL + 12);
    assert_eq!((slow.sub.dropped(), events.dropped()), (12, 12));
    let (heard, told_itself) = slow.release(&events);
    assert_eq!(heard, [0].into_iter().chain(13..=FULL + 12).collect::<Vec<_>>());
    assert_eq!((told_itself.iter().sum::<u64>(), next(&notices)), (12, 1));
}

#[test]
fn the_newest_are_dropped() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::DropNewest);
    slow.fill(&bus);
    tell(&bus, FULL + 1);
    tell(&bus, FULL + 2);
    assert_eq!(slow.sub.dropped(), 2);
    let (heard, told_itself) = slow.release(&events);
    assert_eq!(heard, (0..=FULL).collect::<Vec<_>>());
    assert_eq!(told_itself.iter().sum::<u64>(), 2);
}

#[test]
fn a_caller_waits_for_room_and_then_drops() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Block(Duration::from_millis(1)));
    slow.fill(&bus);
    tell(&bus, FULL + 1);
    assert_eq!((slow.sub.dropped(), slow.release(&events).0.len() as u64), (1, FULL + 1));

    let (bus, events, _) = self::bus();
    let mut slow = Held::new(&events, QueuePolicy::Block(Duration::from_secs(60)));
    slow.fill(&bus);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tell(&bus, FULL + 1));
        slow.go.as_ref().expect("it is held").send(()).expect("it waits");
        waiting.join().expect("it got room");
    });
    assert_eq!((slow.sub.dropped(), slow.release(&events).0.len() as u64), (0, FULL + 2));
}

#[test]
fn a_sample_is_one_in_so_many() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Sample(10));
    (0..100).for_each(|number| tell(&bus, number));
    let (heard, told_itself) = slow.release(&events);
    assert_eq!(heard, (0..100).step_by(10).collect::<Vec<_>>());
    assert_eq!((slow.sub.dropped(), told_itself), (0, vec![]));
}

// T-114
#[test]
fn what_must_not_be_lost_is_spilled_and_comes_back_in_order() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Keep(Duration::from_millis(1)));
    slow.fill(&bus);
    (1..=500).for_each(|more| tell(&bus, FULL + more));
    assert_eq!(slow.spilled.events.lock().expect("no panic").len(), 500);
    // There is room again, and yet newer ones have to go behind those that were spilled.
    for _ in 0..100 {
        slow.go.as_ref().expect("it is held").send(()).expect("it waits");
        next(&slow.entered);
    }
    (501..=600).for_each(|more| tell(&bus, FULL + more));
    let (heard, told_itself) = slow.release(&events);
    tell(&bus, FULL + 601);
    block_on(events.flush());
    assert_eq!(heard, (0..=FULL + 600).collect::<Vec<_>>());
    assert_eq!(slow.release(&events).0.last(), Some(&(FULL + 601)));
    assert_eq!((slow.sub.dropped(), told_itself), (0, vec![]));
}

#[test]
fn what_cannot_be_spilled_is_dropped_and_counted() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::Keep(Duration::ZERO));
    slow.spilled.is_broken.store(1, Ordering::SeqCst);
    slow.fill(&bus);
    tell(&bus, FULL + 1);
    tell(&bus, FULL + 2);
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
    let (heard, hear) = channel();
    events.add(Fails(0, heard));
    tell(&bus, 1);
    tell(&bus, 2);
    assert_eq!((next(&hear), next(&hear)), (1, 2));
}

#[test]
fn every_event_of_many_threads_is_heard_or_counted() {
    for policy in [QueuePolicy::DropOldest, QueuePolicy::DropNewest, QueuePolicy::Keep(Duration::ZERO)] {
        let (bus, events, _) = bus();
        let mut slow = Held::new(&events, policy);
        slow.go = None;
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let bus = &bus;
                scope.spawn(move || (0..20_000).for_each(|number| tell(bus, thread << 32 | number)));
            }
            // Who comes and goes meanwhile changes nothing for the others.
            (0..50).for_each(|_| events.subscribe(EventKind::CacheHit, |_| {}).unsubscribe());
        });
        let (heard, told_itself) = slow.release(&events);
        assert_eq!(heard.len() as u64 + slow.sub.dropped(), 80_000, "{policy:?}");
        assert_eq!(told_itself.iter().sum::<u64>(), slow.sub.dropped());
        for thread in 0..4 {
            let own: Vec<_> = heard.iter().filter(|number| *number >> 32 == thread).collect();
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
    tell(&bus, 1);
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.heard.lock().expect("no panic").len(), 1, "the one that was being handled");
    assert!(slow.sub.kinds().is_empty() && !bus.hears(EventKind::CacheMiss));
}

// T-08
#[test]
fn unsubscribe_all_takes_one_kind_from_everybody() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    let other = heard.clone();
    let kinds = [EventKind::CacheMiss, EventKind::CacheHit];
    events.subscribe(kinds, move |event| heard.send(event.kind()).expect("the test listens"));
    events.subscribe(EventKind::CacheMiss, move |event| other.send(event.kind()).expect("the test listens"));
    events.unsubscribe_all(EventKind::CacheMiss);
    assert!(!bus.hears(EventKind::CacheMiss) && bus.hears(EventKind::CacheHit));
    tell(&bus, 1);
    bus.emit(EventKind::CacheHit, |_| {});
    assert_eq!(next(&hear), EventKind::CacheHit);
}

// T-10
#[test]
fn an_async_handler_is_awaited_before_it_gets_the_next() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    let running = Arc::new(AtomicU64::new(0));
    events.subscribe_async(EventKind::CacheMiss, move |event| {
        let (heard, running) = (heard.clone(), Arc::clone(&running));
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            heard.send((number(&event), others)).expect("the test listens");
        }
    });
    (0..20).for_each(|number| tell(&bus, number));
    assert_eq!((0..20).map(|_| next(&hear)).collect::<Vec<_>>(), (0..20).map(|n| (n, 0)).collect::<Vec<_>>());
}

#[test]
fn a_panic_of_an_async_handler_is_isolated_too() {
    for in_its_future in [false, true] {
        let (bus, events, _) = bus();
        let (heard, hear) = channel();
        events.subscribe_async(EventKind::CacheMiss, move |event| {
            heard.send(number(&event)).expect("the test listens");
            assert!(in_its_future, "a bug of the handler");
            async { panic!("a bug of its future") }
        });
        (0..6).for_each(|number| tell(&bus, number));
        assert_eq!(hear.iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}

#[test]
fn closing_lets_handlers_end_and_then_ends_them() {
    let (bus, events, _) = bus();
    let mut slow = Held::new(&events, QueuePolicy::default());
    (0..100).for_each(|number| tell(&bus, number));
    slow.go = None;
    block_on(bus.close());
    next(&slow.closed);
    assert_eq!(slow.heard.lock().expect("no panic").len(), 100);
    tell(&bus, 100);
    let late = Held::new(&events, QueuePolicy::default());
    tell(&bus, 101);
    next(&late.closed);
    assert!(late.heard.lock().expect("no panic").is_empty());
    assert_eq!(slow.heard.lock().expect("no panic").len(), 100);
}

#[test]
fn closing_does_not_wait_for_ever() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    (0..100).for_each(|number| tell(&bus, number));
    next(&slow.entered);
    block_on(bus.close_within(Duration::from_millis(1)));
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.heard.lock().expect("no panic").len(), 1, "the one that was being handled");
}

#[test]
fn a_handler_may_end_what_it_is_part_of() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    let (own, whole) = (events.clone(), Arc::clone(&bus));
    events.subscribe(EventKind::CacheMiss, move |event| {
        own.flush_blocking();
        block_on(whole.close());
        heard.send(number(event)).expect("the test listens");
    });
    tell(&bus, 1);
    assert_eq!(next(&hear), 1);
    tell(&bus, 2);
    assert!(hear.recv().is_err(), "it has ended");
}

#[test]
fn a_subscriber_that_never_heard_anything_is_closed_too() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    block_on(bus.close());
    next(&slow.closed);
}

#[test]
fn a_bus_that_is_dropped_ends_its_handlers() {
    let (bus, events, _) = bus();
    let slow = Held::new(&events, QueuePolicy::default());
    tell(&bus, 1);
    drop((bus, events));
    drop(slow.go);
    next(&slow.closed);
    assert_eq!(slow.heard.lock().expect("no panic").len(), 1);
}

// T-03
#[test]
fn who_comes_later_hears_of_each_backend_once() {
    let (bus, events, _) = bus();
    let (heard, hear) = channel();
    bus.backend_is_there(&"one".into());
    let names = move |event: &Event| heard.send(event.backend().unwrap_or_default().to_owned()).expect("it listens");
    events.subscribe(EventKind::BackendInit, names);
    bus.backend_is_there(&"two".into());
    bus.backend_is_there(&"two".into());
    block_on(bus.close());
    assert_eq!(hear.iter().collect::<Vec<_>>(), ["one", "two"]);
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
fn a_handler_of_the_process_hears_instances_old_and_new() {
    let (old, _, _) = bus();
    let (heard, hear) = channel();
    // Other tests of this process tell things too.
    let sub = super::on(EventKind::VerifyMismatch, move |event| heard.send(event.instance()).expect("it listens"));
    let (new, _, _) = bus();
    for bus in [&old, &new] {
        bus.emit(EventKind::VerifyMismatch, |_| {});
    }
    let (first, second) = (next(&hear), next(&hear));
    assert!(first != 0 && second > first);
    sub.unsubscribe();
    assert!(!old.hears(EventKind::VerifyMismatch) && !new.hears(EventKind::VerifyMismatch));
}

#[test]
fn what_nobody_hears_is_not_made() {
    let (bus, events, _) = bus();
    bus.emit(EventKind::CacheMiss, |_| unreachable!("nobody listens"));
    let sub = events.subscribe(EventKind::CacheHit, |_| {});
    bus.emit(EventKind::CacheMiss, |_| unreachable!("nobody listens to this kind"));
    sub.unsubscribe();
    bus.emit(EventKind::CacheHit, |_| unreachable!("nobody listens any more"));
}
