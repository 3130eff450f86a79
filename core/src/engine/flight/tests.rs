use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use retainit_testkit::ManualClock;

use super::{FlightResult, Flights, Follow, Got, Lead, LoadLimits, Look, Role, Ticket, shared};
use crate::runtime::Timers;

/// A table with a manual clock, whose alarms the tests ring themselves.
struct Bench {
    clock: ManualClock,
    flights: Arc<Flights>,
    timers: Arc<Timers>,
    abandoned: Arc<AtomicUsize>,
}

const LONG: Duration = Duration::from_secs(60);

fn ticket(removals: u64) -> Ticket {
    Ticket { epoch: 1, fence: None, versions: Box::default(), removals }
}

impl Bench {
    fn new() -> Bench {
        let clock = ManualClock::new();
        let shared: Arc<dyn retainit_plugin::Clock> = Arc::new(clock.clone());
        Bench {
            flights: Arc::new(Flights::new(Arc::clone(&shared))),
            timers: Timers::idle(shared),
            clock,
            abandoned: Arc::default(),
        }
    }

    fn join(&self, ticket: &Ticket) -> Role<'_> {
        self.join_after(Look::AT_ONCE, ticket)
    }

    fn join_after(&self, look: Look, ticket: &Ticket) -> Role<'_> {
        let key = super::FlightKey { hash: 7, plan: 1, key: b"key" };
        let terms = LoadLimits { watched: true, max_load_time: LONG, abandoned: &self.abandoned, timers: &self.timers };
        self.flights.join(key, ticket, look, &terms, |theirs| theirs.agrees(ticket))
    }

    fn lead(&self) -> Lead<'_> {
        match self.join(&ticket(0)) {
            Role::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    fn follow(&self) -> Follow<'_> {
        match self.join(&ticket(0)) {
            Role::Follow(follow) => follow,
            other => panic!("{other:?}"),
        }
    }

    /// Rings the alarms that are due after `time`, and returns their number.
    fn pass(&self, time: Duration) -> usize {
        self.clock.advance(time);
        self.timers.ring_due()
    }
}

/// Counts its wakes.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn task() -> (Arc<Task>, Waker) {
    let task = Arc::new(Task::default());
    (Arc::clone(&task), Waker::from(task))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn flight_result() -> FlightResult {
    FlightResult::Value(Arc::new(1u8))
}

/// A load that waits for its waker to be called from outside.
#[derive(Clone, Default)]
struct Event(Arc<Mutex<(bool, Option<Waker>)>>);

impl Event {
    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut event = self.0.lock().unwrap();
            event.1 = Some(cx.waker().clone());
            if event.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    fn happen(&self) {
        let waker = {
            let mut event = self.0.lock().unwrap();
            event.0 = true;
            event.1.take()
        };
        waker.unwrap().wake();
    }
}

#[test]
fn a_leader_that_lost_its_place_is_still_woken_by_what_it_waits_for() {
    let bench = Bench::new();
    let ((old, old_waker), (new, new_waker)) = (task(), task());
    let (lead, event) = (bench.lead(), Event::default());
    let mut first = pin!(lead.run(event.wait()));
    assert!(poll(&mut first, &old_waker).is_pending());
    let mut follow = bench.follow();
    assert!(poll(&mut follow, &new_waker).is_pending());
    assert_eq!(bench.pass(LONG), 1);
    let Poll::Ready(Got::Lead(second)) = poll(&mut follow, &new_waker) else { panic!("it may lead") };
    let elsewhere = Event::default();
    let mut running = pin!(second.run(elsewhere.wait()));
    assert!(poll(&mut running, &new_waker).is_pending());
    let before = new.0.load(Ordering::SeqCst);
    event.happen();
    assert_eq!(old.0.load(Ordering::SeqCst), 1, "the old leader is woken");
    assert_eq!(new.0.load(Ordering::SeqCst), before, "and nobody in its place");
    assert!(poll(&mut first, &old_waker).is_ready());
    elsewhere.happen();
    assert!(poll(&mut running, &new_waker).is_ready());
}

#[test]
fn wakes_of_a_lost_leader_do_not_starve_the_present_one() {
    let bench = Bench::new();
    let (_, waker) = task();
    let (lead, event) = (bench.lead(), Event::default());
    let mut first = pin!(lead.run(event.wait()));
    assert!(poll(&mut first, &waker).is_pending());
    let (mut follow, mut other) = (bench.follow(), bench.follow());
    assert!(poll(&mut follow, &waker).is_pending());
    assert_eq!(bench.pass(LONG), 1);
    let Poll::Ready(Got::Lead(second)) = poll(&mut follow, &waker) else { panic!("it may lead") };
    assert!(poll(&mut other, &waker).is_pending());
    let mut running = pin!(second.run(std::future::pending::<()>()));
    assert!(poll(&mut running, &waker).is_pending());
    event.happen();
    bench.pass(shared::STARVED * 2);
    assert!(poll(&mut other, &waker).is_pending(), "the second leader was not woken and keeps its place");
}

#[test]
fn a_late_ticket_of_a_lost_leader_is_not_the_present_load_s() {
    let bench = Bench::new();
    let (_, waker) = task();
    let lost = bench.lead();
    let (mut follow, mut other) = (bench.follow(), bench.follow());
    assert!(poll(&mut follow, &waker).is_pending());
    assert!(poll(&mut other, &waker).is_pending());
    assert_eq!(bench.pass(LONG), 1);
    let Poll::Ready(Got::Lead(lead)) = poll(&mut follow, &waker) else { panic!("it may lead") };
    lead.renew(&ticket(0));
    // Something was removed since, and only the lost leader has seen it.
    lost.renew(&ticket(1));
    assert!(matches!(bench.join(&ticket(1)), Role::Lead(_)), "a caller after the removal loads anew");
}

#[test]
fn a_follower_that_comes_after_the_time_is_up_leads() {
    let bench = Bench::new();
    let (_, waker) = task();
    let _lead = bench.lead();
    let mut early = bench.follow();
    assert!(poll(&mut early, &waker).is_pending());
    drop(early);
    assert_eq!(bench.pass(LONG), 1, "nobody waits: the leader keeps its place");
    let mut late = bench.follow();
    assert!(poll(&mut late, &waker).is_pending());
    assert_eq!(bench.pass(Duration::ZERO), 1);
    assert!(matches!(poll(&mut late, &waker), Poll::Ready(Got::Lead(_))));
}

#[test]
fn the_places_of_lost_leaders_are_bounded_and_come_back() {
    let bench = Bench::new();
    let (_, waker) = task();
    let mut lost = vec![bench.lead()];
    for _ in 0..shared::MOST_ABANDONED {
        let mut follow = bench.follow();
        assert!(poll(&mut follow, &waker).is_pending());
        bench.pass(LONG);
        let Poll::Ready(Got::Lead(lead)) = poll(&mut follow, &waker) else { panic!("there is room") };
        lost.push(lead);
    }
    let mut follow = bench.follow();
    assert!(poll(&mut follow, &waker).is_pending());
    bench.pass(LONG);
    assert!(poll(&mut follow, &waker).is_pending(), "no room");
    assert_eq!(bench.abandoned.load(Ordering::SeqCst), shared::MOST_ABANDONED);
    // One of them comes to an end, and the follower that waits is looked after again.
    lost.remove(0).complete(flight_result);
    bench.pass(Duration::from_secs(1));
    let Poll::Ready(Got::Lead(lead)) = poll(&mut follow, &waker) else { panic!("there is room again") };
    lost.push(lead);
    lost.into_iter().rev().for_each(|lead| lead.complete(flight_result));
    assert_eq!((bench.abandoned.load(Ordering::SeqCst), bench.flights.len()), (0, 0));
}

#[test]
fn nobody_takes_a_load_that_is_over() {
    let bench = Bench::new();
    let (_, waker) = task();
    let lead = bench.lead();
    let mut follow = bench.follow();
    assert!(poll(&mut follow, &waker).is_pending());
    lead.complete(|| {
        bench.pass(LONG);
        flight_result()
    });
    assert!(matches!(poll(&mut follow, &waker), Poll::Ready(Got::FlightResult(FlightResult::Value(_)))));
    assert_eq!(bench.abandoned.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_in_the_copy_for_the_others_strands_nobody() {
    let bench = Bench::new();
    let (woken, waker) = task();
    let lead = bench.lead();
    let mut follow = bench.follow();
    assert!(poll(&mut follow, &waker).is_pending());
    // The panic is caught: the leader's load has ended well.
    lead.complete(|| panic!("in a clone"));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll(&mut follow, &waker), Poll::Ready(Got::FlightResult(FlightResult::Unshared))));
}

#[test]
fn one_alarm_looks_after_a_leader_however_often_it_is_woken_or_its_followers_are_polled() {
    let bench = Bench::new();
    let (_, waker) = task();
    let lead = bench.lead();
    let event = Event::default();
    let mut running = pin!(lead.run(event.wait()));
    assert!(poll(&mut running, &waker).is_pending());
    let mut follows: Vec<_> = (0..1_000).map(|_| bench.follow()).collect();
    for _ in 0..50 {
        follows.iter_mut().for_each(|follow| assert!(poll(follow, &waker).is_pending()));
        assert!(poll(&mut running, &waker).is_pending());
    }
    assert_eq!(bench.timers.len(), 1, "for the end of the load");
    let watch = event.0.lock().unwrap().1.clone().unwrap();
    for _ in 0..1_000 {
        watch.wake_by_ref();
        follows.iter_mut().for_each(|follow| assert!(poll(follow, &waker).is_pending()));
    }
    assert_eq!(bench.timers.len(), 2, "and one for a leader that starves");
}

#[test]
fn alarms_of_ended_loads_do_not_pile_up() {
    let bench = Bench::new();
    let (_, waker) = task();
    for _ in 0..100_000 {
        let lead = bench.lead();
        let mut follow = bench.follow();
        assert!(poll(&mut follow, &waker).is_pending());
        lead.complete(flight_result);
    }
    assert!(bench.timers.len() <= 1_024, "{} alarms", bench.timers.len());
    assert_eq!(bench.flights.len(), 0);
}

#[test]
fn places_of_followers_that_left_are_used_again() {
    let bench = Bench::new();
    let (_, waker) = task();
    let _lead = bench.lead();
    let mut stays = bench.follow();
    assert!(poll(&mut stays, &waker).is_pending());
    for _ in 0..10_000 {
        let mut comes_and_goes = bench.follow();
        assert!(poll(&mut comes_and_goes, &waker).is_pending());
    }
    assert_eq!(stays.places(), 2);
}

/// A task that its wakers own: with the last of them its future goes.
struct Owned(Mutex<Option<Follow<'static>>>);

impl Wake for Owned {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_the_task_that_waits() {
    let bench: &'static Bench = Box::leak(Box::new(Bench::new()));
    let lead = bench.lead();
    let mut polled = bench.follow();
    let owned = Arc::new(Owned(Mutex::new(Some(bench.follow()))));
    let waker = Waker::from(Arc::clone(&owned));
    assert!(poll(owned.0.lock().unwrap().as_mut().unwrap(), &waker).is_pending());
    assert!(poll(&mut polled, &waker).is_pending());
    drop((owned, waker));
    // The waker of another task takes the place of one of the two that own the first task, and then the other goes.
    let (_, other) = task();
    assert!(poll(&mut polled, &other).is_pending());
    drop(polled);
    lead.complete(flight_result);
    assert_eq!(bench.flights.len(), 0);
}

#[test]
fn alarms_survive_a_waker_that_panics() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    let bench = Bench::new();
    let (_lead, mut follow) = (bench.lead(), bench.follow());
    assert!(poll(&mut follow, &Waker::from(Arc::new(Panics))).is_pending());
    assert_eq!(bench.pass(LONG), 1);
    assert!(matches!(poll(&mut follow, &task().1), Poll::Ready(Got::Lead(_))));
}

/// Begins to lead a load of a byte store whose fence has to be taken, and looks at who may follow.
#[test]
fn who_began_before_the_load_follows_it_whatever_was_seen() {
    let bench = Bench::new();
    let looks = |begun, takes| Look { begun, takes };
    let join = |look, ticket: &Ticket| bench.join_after(look, ticket);
    let now = || bench.flights.begun(7);
    let before = now();
    let Role::Lead(lead) = join(looks(before, true), &ticket(0)) else { panic!("nobody leads") };
    assert!(matches!(join(looks(before, true), &ticket(7)), Role::Follow(_)), "the load has not begun");
    lead.renew(&ticket(1));
    assert!(matches!(join(looks(before, true), &ticket(7)), Role::Follow(_)), "it looked before the load began");
    assert!(matches!(join(looks(now(), false), &ticket(1)), Role::Follow(_)), "it has seen the same");
    assert!(matches!(join(looks(now(), false), &ticket(2)), Role::Lead(_)), "it has seen another fence");
    lead.complete(|| FlightResult::Unshared);
}
