//! Queue of one subscriber: bounded and in order, with a policy for a full queue.

mod closing;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retainit_plugin::lock::{Condvar, Mutex, MutexGuard};
use retainit_plugin::{
    Clock, Error, ErrorKind, Event, EventKind, EventKinds, Moment, QueuePolicy, Spill, Subscriber, caught,
};

use super::Bus;
use super::dispatch::start;
use crate::runtime::Boxed;
use crate::runtime::{Io, quietly, wake_all};

/// Limit on the events that wait for one subscriber.
pub(crate) const CAPACITY: usize = 4_096;

/// Interval at which drops of a slow subscriber are reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Handler of events.
pub(super) enum Handler {
    Sync(Box<dyn Subscriber>),
    Async(AsyncHandler),
}

type AsyncHandler = Box<dyn FnMut(Event) -> Boxed<()> + Send>;

/// Owner of a queue.
pub(super) struct QueueHome {
    /// The instance's bus; none for a queue of the whole process.
    pub(super) bus: Weak<Bus>,
    pub(super) clock: Arc<dyn Clock>,
    /// Runtime for async handlers.
    pub(super) io: Weak<Io>,
}

/// A subscriber with its queue.
pub(super) struct SubscriberQueue {
    pub(super) id: u64,
    pub(super) name: Box<str>,
    kinds: AtomicU32,
    policy: QueuePolicy,
    pub(super) wants_actor: bool,
    pub(super) writes_log: bool,
    /// True if its records reach subscribers of `tracing` only.
    pub(super) needs_tracing: bool,
    spill: Option<Arc<dyn Spill>>,
    pub(super) place: QueueHome,
    state: Mutex<QueueState>,
    /// Signals room in the queue to waiting callers, and the end of the queue to a pausing dispatcher.
    changed: Condvar,
}

struct QueueState {
    queue: VecDeque<Event>,
    /// Handler until the first event starts the dispatcher.
    handler: Option<Handler>,
    /// Waker of a dispatcher that waits for events.
    dispatcher: Option<Waker>,
    waiting: Vec<Waker>,
    /// True after a caller has waited for room in vain, until an event is handled: other callers do not wait meanwhile.
    is_stuck: bool,
    /// Event that the subscriber failed to handle and is to receive again.
    to_repeat: Option<Event>,
    /// True while events go past the queue to the spill.
    spilling: bool,
    /// True once new events are refused; queued ones are still handled.
    ending: bool,
    /// True once nothing more is handled.
    cut: bool,
    /// True once the handler has ended.
    done: bool,
    /// Number of accepted events, and of those that have been handled, spilled or dropped.
    taken: u64,
    settled: u64,
    /// Number of events offered, for samples.
    seen: u64,
    drops: Drops,
    /// Error of the subscriber's `close`.
    closed_badly: Option<Error>,
}

#[derive(Default)]
struct Drops {
    all: u64,
    /// Drops not yet reported to others, and to the subscriber itself.
    unreported: u64,
    unreported_here: u64,
    reported_at: Option<Moment>,
    /// First error of the spill.
    why: Option<Error>,
}

impl fmt::Debug for SubscriberQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberQueue")
            .field("name", &self.name)
            .field("kinds", &self.kinds())
            .finish_non_exhaustive()
    }
}

/// Next step of the dispatcher.
pub(super) enum DispatchStep {
    Handle(Event),
    TakeSpilled,
    End,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl SubscriberQueue {
    pub(super) fn of(subscriber: Box<dyn Subscriber>, place: QueueHome) -> Arc<SubscriberQueue> {
        let (kinds, policy) = (subscriber.kinds(), subscriber.policy());
        let (wants_actor, writes_log) = (subscriber.wants_actor(), subscriber.writes_log());
        let needs_tracing = subscriber.needs_tracing();
        let (name, spill) = (subscriber.name().into(), subscriber.spill());
        let queue = SubscriberQueue {
            policy,
            wants_actor,
            writes_log,
            needs_tracing,
            spill,
            ..SubscriberQueue::empty(name, kinds, place)
        };
        queue.state.lock().handler = Some(Handler::Sync(subscriber));
        Arc::new(queue)
    }

    pub(super) fn of_async<F, L>(
        name: Box<str>,
        kinds: EventKinds,
        mut handler: F,
        place: QueueHome,
    ) -> Arc<SubscriberQueue>
    where
        F: FnMut(Event) -> L + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let queue = SubscriberQueue::empty(name, kinds, place);
        queue.state.lock().handler = Some(Handler::Async(Box::new(move |event| Box::pin(handler(event)))));
        Arc::new(queue)
    }

    fn empty(name: Box<str>, kinds: EventKinds, place: QueueHome) -> SubscriberQueue {
        let state = QueueState {
            queue: VecDeque::new(),
            handler: None,
            dispatcher: None,
            waiting: Vec::new(),
            is_stuck: false,
            to_repeat: None,
            spilling: false,
            ending: false,
            cut: false,
            done: false,
            taken: 0,
            settled: 0,
            seen: 0,
            drops: Drops::default(),
            closed_badly: None,
        };
        SubscriberQueue {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            kinds: AtomicU32::new(kinds.bits()),
            policy: QueuePolicy::DropOldest,
            wants_actor: false,
            writes_log: false,
            needs_tracing: false,
            spill: None,
            place,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn kinds(&self) -> EventKinds {
        EventKinds::from_bits(self.kinds.load(Ordering::Relaxed))
    }

    pub(super) fn is_subscribed(&self, kind: EventKind) -> bool {
        self.kinds().contains(kind)
    }

    /// Returns true if an event that failed is handled again.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.policy, QueuePolicy::Keep(_))
    }

    // ------------------------------------------------------------------------------------------ the callers' side

    /// Puts an event into the queue. The policy decides when it is full; only a `patient` call may wait, and only one
    /// caller at a time where nothing is handled.
    ///
    /// Returns the number of drops to report to others now.
    pub(super) fn push(self: &Arc<Self>, event: Event, patient: bool) -> u64 {
        let mut state = self.state.lock();
        if state.ending || !self.is_subscribed(event.kind()) || self.is_left_out(&mut state) {
            return 0;
        }
        // Counted before the wait: a `flush` that starts meanwhile waits for this event too.
        state.taken += 1;
        if let QueuePolicy::Block(limit) | QueuePolicy::Keep(limit) = self.policy
            && patient
        {
            let full = |state: &QueueState| {
                state.queue.len() >= CAPACITY && !state.is_stuck && !state.spilling && !state.ending
            };
            let is_in_vain;
            (state, is_in_vain) = self.changed.wait_while_for(state, full, limit);
            state.is_stuck |= is_in_vain;
        }
        // The queue may have ended during the wait, and its dispatcher would not see the event any more.
        if state.ending {
            state.settled += 1;
            return 0;
        }
        // Once events are spilled, newer ones go behind them even if there is room again: the order stays.
        if state.spilling || state.queue.len() >= CAPACITY {
            let to_report = self.overflow(&mut state, event);
            // A dispatcher that waits has to take the spilled events.
            self.wake(state);
            return to_report;
        }
        state.queue.push_back(event);
        self.wake(state);
        0
    }

    fn is_left_out(&self, state: &mut QueueState) -> bool {
        let QueuePolicy::Sample(n) = self.policy else {
            return false;
        };
        state.seen += 1;
        n > 1 && state.seen % u64::from(n) != 1
    }

    /// Spills or drops an event for which the queue has no room, and returns the number of drops to report now.
    fn overflow(&self, state: &mut QueueState, event: Event) -> u64 {
        state.settled += 1;
        match self.policy {
            QueuePolicy::Keep(_) if self.spilled(state, &event) => {
                state.spilling = true;
                return 0;
            }
            QueuePolicy::DropOldest | QueuePolicy::Sample(_) => {
                state.queue.pop_front();
                state.queue.push_back(event);
            }
            _ => {}
        }
        // A full queue drops events with every call: reports are limited to one in `REPORT_EVERY`, with the sum of the
        // drops.
        state.drops.all += 1;
        state.drops.unreported += 1;
        state.drops.unreported_here += 1;
        let now = self.place.clock.now();
        if state.drops.reported_at.is_some_and(|reported| now < reported.after(REPORT_EVERY)) {
            return 0;
        }
        state.drops.reported_at = Some(now);
        std::mem::take(&mut state.drops.unreported)
    }

    /// Hands an event to the spill; `false` if it failed, which is logged once in a row of failures.
    fn spilled(&self, state: &mut QueueState, event: &Event) -> bool {
        let Some(spill) = &self.spill else { return false };
        let Err(error) = caught(ErrorKind::Backend, "the subscriber", || spill.put(event)).flatten() else {
            return true;
        };
        if state.drops.unreported == 0 {
            quietly(|| {
                tracing::error!(
                    target: "retainit", subscriber = %self.name, error = error.report(), "events could be neither queued nor spilled"
                )
            });
        }
        state.drops.why.get_or_insert(error);
        false
    }

    /// Starts the dispatcher, or wakes it. Releases the lock first, since both may lock the queue again.
    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, QueueState>) {
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

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<DispatchStep> {
        // A cut queue hands out nothing more. Queued events are older than spilled ones, and spilled ones are taken
        // before a graceful end. The waker is stored under the lock under which `push` looks for it, so no event is
        // missed.
        let mut state = self.state.lock();
        if state.cut {
            return Poll::Ready(DispatchStep::End);
        }
        if let Some(event) = state.queue.pop_front() {
            self.changed.notify_one();
            return Poll::Ready(DispatchStep::Handle(event));
        }
        if state.spilling {
            return Poll::Ready(DispatchStep::TakeSpilled);
        }
        if state.ending {
            return Poll::Ready(DispatchStep::End);
        }
        state.dispatcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Counts an event as handled, with all notices that follow from it.
    pub(super) fn settled(&self) {
        let mut state = self.state.lock();
        state.settled += 1;
        state.is_stuck = false;
        self.wake_waiting(&mut state);
    }

    /// Returns the drops to report now that there is room: to others, and to this subscriber.
    pub(super) fn unreported(&self) -> (u64, u64) {
        let mut state = self.state.lock();
        let drops = &state.drops;
        if drops.unreported + drops.unreported_here == 0 {
            return (0, 0);
        }
        let now = self.place.clock.now();
        let is_due = drops.reported_at.is_none_or(|reported| now >= reported.after(REPORT_EVERY));
        if !state.queue.is_empty() && !is_due {
            return (0, 0);
        }
        state.drops.reported_at = Some(now);
        (std::mem::take(&mut state.drops.unreported), std::mem::take(&mut state.drops.unreported_here))
    }

    /// Takes the last spilled events with the lock held, so that no caller can spill one behind them that
    /// would never be taken. Events go through the queue again afterwards.
    pub(super) fn end_spilling(&self, take: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut state = self.state.lock();
        take()?;
        state.spilling = false;
        self.wake_waiting(&mut state);
        Ok(())
    }

    /// Waits before a retry, of an event perhaps; the end of the queue ends the wait. Returns `false` if the queue has
    /// ended, and the event is spilled or counted as lost then.
    pub(super) fn pause(&self, pause: Duration, event: Option<&Event>) -> bool {
        let mut state = self.state.lock();
        // While the dispatcher waits, `end` may take the event from here and spill it before the newer ones of the
        // queue. If it is still here after a cut, that came before the wait.
        state.to_repeat = event.cloned();
        if !state.cut {
            (state, _) = self.changed.wait_while_for(state, |state| !state.cut, pause);
        }
        match state.to_repeat.take() {
            Some(event) if state.cut => drop(self.abandon(&mut state, &event)),
            _ => {}
        }
        !state.cut
    }

    /// Spills an event that will not be handled; `true` if it is lost.
    fn abandon(&self, state: &mut QueueState, event: &Event) -> bool {
        let is_lost = !(self.keeps() && self.spilled(state, event));
        state.drops.all += u64::from(is_lost && self.keeps());
        is_lost
    }

    /// Marks the handler as ended.
    pub(super) fn finished(&self) {
        let mut state = self.state.lock();
        state.done = true;
        self.wake_waiting(&mut state);
    }

    fn wake_waiting(&self, state: &mut QueueState) {
        wake_all(state.waiting.drain(..));
    }
}
