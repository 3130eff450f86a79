//! One subscriber's queue: bounded, in order, with a policy for what it cannot take.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use retainit_plugin::{
    Clock, Error, ErrorKind, Event, EventKind, EventKinds, Moment, QueuePolicy, Spill, Subscriber, caught,
};

use super::Bus;
use super::dispatch::start;
use crate::rt::Boxed;
use crate::runtime::{Io, quietly, wake_all};

/// How many events wait for one subscriber at most.
pub(crate) const CAPACITY: usize = 4_096;

/// So often, drops of one subscriber are told while it does not get on.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What takes the events.
pub(super) enum Handler {
    Sync(Box<dyn Subscriber>),
    Async(AsyncHandler),
}

type AsyncHandler = Box<dyn FnMut(Event) -> Boxed<()> + Send>;

/// Where a lane belongs.
pub(super) struct Place {
    /// The instance's bus; none for what hears every instance.
    pub(super) bus: Weak<Bus>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where async handlers run.
    pub(super) io: Weak<Io>,
}

/// A subscriber with its queue.
pub(super) struct Lane {
    pub(super) id: u64,
    pub(super) name: Box<str>,
    kinds: AtomicU32,
    policy: QueuePolicy,
    pub(super) wants_actor: bool,
    pub(super) writes_log: bool,
    spill: Option<Arc<dyn Spill>>,
    pub(super) place: Place,
    state: Mutex<State>,
    /// Room in the queue for callers who wait for it, and an end for pauses of the dispatcher.
    changed: Condvar,
}

struct State {
    queue: VecDeque<Event>,
    /// Here until the first event starts the dispatcher.
    handler: Option<Handler>,
    /// The dispatcher waits for events.
    dispatcher: Option<Waker>,
    waiting: Vec<Waker>,
    /// Events go past the queue until the subscriber has taken what was spilled.
    spilling: bool,
    /// No new events; what is queued is still handled.
    ending: bool,
    /// Nothing more is handled.
    cut: bool,
    /// The handler has ended.
    done: bool,
    /// Events that were to be taken, and those that have been handled, spilled or dropped.
    taken: u64,
    settled: u64,
    /// Events seen, for samples.
    seen: u64,
    drops: Drops,
}

#[derive(Default)]
struct Drops {
    all: u64,
    /// Not told to others, and to the subscriber itself.
    untold: u64,
    untold_here: u64,
    told_at: Option<Moment>,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("name", &self.name).field("kinds", &self.kinds()).finish_non_exhaustive()
    }
}

/// What the dispatcher does next.
pub(super) enum Next {
    Handle(Event),
    TakeSpilled,
    End,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Lane {
    pub(super) fn of(subscriber: Box<dyn Subscriber>, place: Place) -> Arc<Lane> {
        let (kinds, policy) = (subscriber.kinds(), subscriber.policy());
        let (wants_actor, writes_log) = (subscriber.wants_actor(), subscriber.writes_log());
        let (name, spill) = (subscriber.name().into(), subscriber.spill());
        let lane = Lane { policy, wants_actor, writes_log, spill, ..Lane::empty(name, kinds, place) };
        lane.state.lock().handler = Some(Handler::Sync(subscriber));
        Arc::new(lane)
    }

    pub(super) fn of_async<F, L>(name: Box<str>, kinds: EventKinds, mut handler: F, place: Place) -> Arc<Lane>
    where
        F: FnMut(Event) -> L + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let lane = Lane::empty(name, kinds, place);
        lane.state.lock().handler = Some(Handler::Async(Box::new(move |event| Box::pin(handler(event)))));
        Arc::new(lane)
    }

    fn empty(name: Box<str>, kinds: EventKinds, place: Place) -> Lane {
        let state = State {
            queue: VecDeque::new(),
            handler: None,
            dispatcher: None,
            waiting: Vec::new(),
            spilling: false,
            ending: false,
            cut: false,
            done: false,
            taken: 0,
            settled: 0,
            seen: 0,
            drops: Drops::default(),
        };
        Lane {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            kinds: AtomicU32::new(kinds.bits()),
            policy: QueuePolicy::DropOldest,
            wants_actor: false,
            writes_log: false,
            spill: None,
            place,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn kinds(&self) -> EventKinds {
        EventKinds::from_bits(self.kinds.load(Ordering::Relaxed))
    }

    pub(super) fn hears(&self, kind: EventKind) -> bool {
        self.kinds().contains(kind)
    }

    /// Whether an event that could not be handled comes again.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.policy, QueuePolicy::Keep(_))
    }

    // ------------------------------------------------------------------------------------------ the callers' side

    /// Puts an event into the queue. The policy decides when it is full; only where `patient` may it wait.
    ///
    /// Gives the number of drops that are to be told to others now.
    pub(super) fn push(self: &Arc<Self>, event: Event, patient: bool) -> u64 {
        let mut state = self.state.lock();
        if state.ending || !self.hears(event.kind()) || self.is_left_out(&mut state) {
            return 0;
        }
        state.taken += 1;
        if state.queue.len() >= CAPACITY && !state.spilling {
            match self.policy {
                QueuePolicy::Block(limit) | QueuePolicy::Keep(limit) if patient => {
                    let full = |state: &mut State| state.queue.len() >= CAPACITY && !state.spilling && !state.ending;
                    self.changed.wait_while_for(&mut state, full, limit);
                }
                _ => {}
            }
        }
        if state.ending {
            state.settled += 1;
            return 0;
        }
        if state.spilling || state.queue.len() >= CAPACITY {
            let told = self.overflow(&mut state, event);
            self.wake(state);
            return told;
        }
        state.queue.push_back(event);
        self.wake(state);
        0
    }

    fn is_left_out(&self, state: &mut State) -> bool {
        let QueuePolicy::Sample(n) = self.policy else {
            return false;
        };
        state.seen += 1;
        n > 1 && state.seen % u64::from(n) != 1
    }

    /// The queue cannot take this event.
    fn overflow(&self, state: &mut State, event: Event) -> u64 {
        match (self.policy, &self.spill) {
            (QueuePolicy::Keep(_), Some(spill)) => {
                match caught(ErrorKind::Backend, "the subscriber", || spill.put(&event)).flatten() {
                    Ok(()) => {
                        state.spilling = true;
                        state.settled += 1;
                        return 0;
                    }
                    Err(error) if state.drops.untold == 0 => {
                        quietly(|| {
                            tracing::error!(
                                target: "retainit", subscriber = %self.name, %error, "events could be neither queued nor spilled"
                            )
                        });
                    }
                    Err(_) => {}
                }
            }
            (QueuePolicy::DropOldest | QueuePolicy::Sample(_), _) => {
                state.queue.pop_front();
                state.queue.push_back(event);
            }
            _ => {}
        }
        state.settled += 1;
        state.drops.all += 1;
        state.drops.untold += 1;
        state.drops.untold_here += 1;
        let now = self.place.clock.now();
        if state.drops.told_at.is_some_and(|told| now < told.after(TELL_EVERY)) {
            return 0;
        }
        state.drops.told_at = Some(now);
        std::mem::take(&mut state.drops.untold)
    }

    /// Starts the dispatcher, or wakes it.
    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if let Some(handler) = state.handler.take() {
            drop(state);
            start(self, handler);
            return;
        }
        let waker = state.dispatcher.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---------------------------------------------------------------------------------------- the dispatcher's side

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.cut {
            return Poll::Ready(Next::End);
        }
        if let Some(event) = state.queue.pop_front() {
            self.changed.notify_one();
            return Poll::Ready(Next::Handle(event));
        }
        if state.spilling {
            return Poll::Ready(Next::TakeSpilled);
        }
        if state.ending {
            return Poll::Ready(Next::End);
        }
        state.dispatcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// An event was handled, and everything told that follows from it.
    pub(super) fn settled(&self) {
        let mut state = self.state.lock();
        state.settled += 1;
        self.wake_waiting(&mut state);
    }

    /// What is to be told of drops now that there is room: to others, and to this subscriber.
    pub(super) fn untold(&self) -> (u64, u64) {
        let mut state = self.state.lock();
        let drops = &state.drops;
        if drops.untold + drops.untold_here == 0 {
            return (0, 0);
        }
        let now = self.place.clock.now();
        let is_due = drops.told_at.is_none_or(|told| now >= told.after(TELL_EVERY));
        if !state.queue.is_empty() && !is_due {
            return (0, 0);
        }
        state.drops.told_at = Some(now);
        (std::mem::take(&mut state.drops.untold), std::mem::take(&mut state.drops.untold_here))
    }

    /// Runs the last taking of what was spilled, while nothing more can be. Then events go through the queue again.
    pub(super) fn end_spilling(&self, take: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut state = self.state.lock();
        take()?;
        state.spilling = false;
        self.wake_waiting(&mut state);
        Ok(())
    }

    /// Sleeps before something is tried again; an end of the lane ends it.
    pub(super) fn pause(&self, pause: Duration) {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.cut, pause);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.state.lock().cut
    }

    /// The handler has ended.
    pub(super) fn finished(&self) {
        let mut state = self.state.lock();
        state.done = true;
        self.wake_waiting(&mut state);
    }

    fn wake_waiting(&self, state: &mut State) {
        wake_all(state.waiting.drain(..));
    }

    // ------------------------------------------------------------------------------------------------------ the end

    /// Hears no more of these kinds, of those in the queue neither. True if nothing is left to hear.
    pub(super) fn forget(&self, kinds: EventKinds) -> bool {
        let mut state = self.state.lock();
        let left = self.kinds().without(kinds);
        self.kinds.store(left.bits(), Ordering::Relaxed);
        let before = state.queue.len();
        state.queue.retain(|event| left.contains(event.kind()));
        state.settled += (before - state.queue.len()) as u64;
        self.wake_waiting(&mut state);
        left.is_empty()
    }

    /// Takes no more events; what is queued is handled, then the handler ends.
    pub(super) fn finish(&self) {
        self.end(false);
    }

    /// Handles nothing more; an event that is being handled may end. Gives the number of those that are not handled.
    pub(super) fn cut(&self) -> u64 {
        self.end(true)
    }

    fn end(&self, cut: bool) -> u64 {
        let mut state = self.state.lock();
        state.ending = true;
        let mut left = 0;
        if cut {
            state.cut = true;
            left = state.queue.len() as u64;
            state.settled += left;
            state.queue.clear();
            self.wake_waiting(&mut state);
        }
        self.changed.notify_all();
        let (handler, dispatcher) = (state.handler.take(), state.dispatcher.take());
        drop(state);
        if let Some(handler) = handler {
            handler.close(&self.name);
            self.finished();
        }
        if let Some(dispatcher) = dispatcher {
            dispatcher.wake();
        }
        left
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().ending
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().drops.all
    }

    pub(super) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// Ready when the first `taken` events are settled, or the handler has ended.
    pub(super) fn poll_settled(&self, taken: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.done || state.settled >= taken && !state.spilling)
    }

    /// Ready when the handler has ended.
    pub(super) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.done)
    }

    fn poll_until(&self, cx: &mut Context<'_>, reached: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.state.lock();
        if reached(&state) {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Handler {
    pub(super) fn close(self, name: &str) {
        let closed = caught(ErrorKind::Backend, "the subscriber", || match self {
            Handler::Sync(mut subscriber) => subscriber.close(),
            Handler::Async(handler) => {
                drop(handler);
                Ok(())
            }
        });
        if let Err(error) = closed.flatten() {
            quietly(|| {
                tracing::error!(target: "retainit", subscriber = name, %error, "a subscriber could not end as it should");
            });
        }
    }
}
