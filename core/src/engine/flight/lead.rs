use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, ErrorKind, Moment, caught};

use super::shared::{Flight, Phase, STARVED};
use super::{At, FlightResult, Flights, Id, LoadStack, NOT_BEGUN, Ticket};
use crate::runtime::{Inside, wake_all};

/// A [`Lead`] without the borrow of its table, for a call that owns its plan.
///
/// Dropping it does nothing: its holder has to turn it into a lead again, see [`Lead::from_parts`].
#[derive(Debug)]
pub(crate) struct LeadParts {
    at: At,
    number: u64,
    watch: Option<Arc<Watch>>,
    waker: Option<Waker>,
}

impl LeadParts {
    /// Returns the identity of the load, of which everything that runs during the load is a part.
    pub(crate) fn id(&self) -> Id {
        self.at.id
    }

    /// Returns the waker for a poll of the load, and notes that the leader's task is polled. Without a watch it is the
    /// task's own waker.
    pub(crate) fn waker<'w>(&'w self, task: &'w Waker) -> &'w Waker {
        match (&self.watch, &self.waker) {
            (Some(watch), Some(waker)) => {
                watch.is_polled_by(task);
                waker
            }
            _ => task,
        }
    }

    /// Returns whether the load has begun: until then, whoever comes follows it.
    pub(crate) fn has_begun(&self, flights: &Flights) -> bool {
        let mut table = flights.shard(self.at.hash).table.lock();
        table.of(self.at).is_none_or(|entry| entry.begun != NOT_BEGUN)
    }

    /// Renews the ticket that new callers are compared with: the load begins now.
    ///
    /// A leader that has lost the lead changes nothing: new callers would join the load of another leader, which may
    /// have begun before an invalidation that this ticket has seen.
    pub(crate) fn renew(&self, flights: &Flights, ticket: &Ticket) {
        if !flights.process.is_current() {
            return;
        }
        let shard = flights.shard(self.at.hash);
        let mut table = shard.table.lock();
        if let Some(entry) = table.of(self.at)
            && entry.flight.as_ref().is_none_or(|flight| flight.state.lock().lead == self.number)
        {
            (entry.ticket, entry.begun) = (ticket.clone(), shard.begin());
        }
    }

    /// Runs a part of the load in place, watched for starvation and for cycles. A future that is dropped early is
    /// dropped as a part of the load too: a destructor that calls for the same key must not wait for this load.
    pub(crate) async fn run<F: Future>(&self, part: F) -> F::Output {
        let mut part = std::pin::pin!(Inside::new(part, || LoadStack::enter(&[self.at.id])));
        std::future::poll_fn(|cx| part.as_mut().poll(&mut Context::from_waker(self.waker(cx.waker())))).await
    }
}

/// The lead of a load: its holder has to run the loader. Dropped before [`Lead::complete`], it passes to a follower.
#[derive(Debug)]
pub(crate) struct Lead<'f> {
    flights: &'f Flights,
    at: At,
    number: u64,
    watch: Option<Arc<Watch>>,
    abandoned: &'f AtomicUsize,
    over: bool,
}

impl<'f> Lead<'f> {
    pub(super) fn new(
        flights: &'f Flights,
        at: At,
        number: u64,
        watch: Option<Arc<Watch>>,
        abandoned: &'f AtomicUsize,
    ) -> Lead<'f> {
        Lead { flights, at, number, watch, abandoned, over: false }
    }

    /// Takes the lead out of its table's lifetime.
    pub(crate) fn into_parts(mut self) -> LeadParts {
        self.over = true;
        let watch = self.watch.take();
        let waker = watch.as_ref().map(|watch| Waker::from(Arc::clone(watch)));
        LeadParts { at: self.at, number: self.number, watch, waker }
    }

    /// Puts the parts back together, with the table and the count that they came from.
    pub(crate) fn from_parts(parts: LeadParts, flights: &'f Flights, abandoned: &'f AtomicUsize) -> Lead<'f> {
        Lead::new(flights, parts.at, parts.number, parts.watch, abandoned)
    }

    /// Runs a load in place, see [`LeadParts::run`].
    #[cfg(test)]
    pub(crate) async fn run<F: Future>(&self, load: F) -> F::Output {
        let waker = self.watch.as_ref().map(|watch| Waker::from(Arc::clone(watch)));
        let parts = LeadParts { at: self.at, number: self.number, watch: self.watch.clone(), waker };
        parts.run(load).await
    }

    /// Renews the ticket that newcomers are compared with, see [`LeadParts::renew`].
    #[cfg(test)]
    pub(crate) fn renew(&self, ticket: &Ticket) {
        LeadParts { at: self.at, number: self.number, watch: None, waker: None }.renew(self.flights, ticket);
    }

    /// Ends the load. `flight_result` is called only if there are followers.
    pub(crate) fn complete(mut self, flight_result: impl FnOnce() -> FlightResult) {
        self.over = true;
        // In a forked child the table may be locked for ever by a thread of the parent, where the load ends as well.
        if !self.flights.process.is_current() {
            return;
        }
        // First the entry leaves the table and the phase becomes `Ending`. From then on nobody can join, and no alarm
        // can take the lead from this leader while it copies the result.
        let Some(flight) = self.flights.end(self.at, self.number) else {
            // This leader had lost the lead and went on; its load has ended now.
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return;
        };
        let Some(flight) = flight.filter(|flight| flight.state.lock().waiting > 0) else {
            return;
        };
        // Made outside the locks, for it runs code of the value's type. If that panics, followers must not wait for
        // ever.
        let flight_result = caught(ErrorKind::Codec, "copying a result for those who wait", flight_result)
            .unwrap_or(FlightResult::Unshared);
        let wakers = {
            let mut state = flight.state.lock();
            state.phase = Phase::Done(flight_result);
            state.take_wakers()
        };
        wake_all(wakers);
    }

    /// Frees the lead for a follower. Returns the wakers to call outside the locks.
    fn pass_on(&self) -> Vec<Waker> {
        // The shard stays locked to the end: a caller that joined between the look at the flight and the removal of its
        // entry would follow a load that nobody leads.
        let mut table = self.flights.shard(self.at.hash).table.lock();
        let Some(entry) = table.of(self.at) else {
            // The entry is gone: this leader had lost the lead, and the load has ended without it.
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return Vec::new();
        };
        let Some(flight) = entry.flight.clone() else {
            table.remove(self.at);
            return Vec::new();
        };
        let mut state = flight.state.lock();
        // An alarm has taken the lead already: another leader may be at work, and must not be disturbed.
        if state.lead != self.number {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return Vec::new();
        }
        // Without followers nobody would ever take a vacant lead, and new callers would wait for it.
        if state.waiting == 0 {
            table.remove(self.at);
            return Vec::new();
        }
        // All followers are woken: the one that would be chosen may be about to be dropped.
        state.vacate()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.over && self.flights.process.is_current() {
            wake_all(self.pass_on());
        }
    }
}

/// Wakes a leader's task, and notes since when it has been woken and not polled.
///
/// Each lead has its own, so that a leader that has lost the lead is still woken by what it waits for.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    watched: Mutex<Watched>,
}

struct Watched {
    task: Option<Waker>,
    woken: Option<Moment>,
    /// The flight that is alarmed when the task starves.
    flight: Weak<Flight>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("woken", &self.woken()).finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(clock: &Arc<dyn Clock>, flight: Weak<Flight>) -> Arc<Watch> {
        let watched = Watched { task: None, woken: None, flight };
        Arc::new(Watch { clock: Arc::clone(clock), watched: Mutex::new(watched) })
    }

    pub(super) fn is_followed(&self, flight: &Arc<Flight>) {
        self.watched.lock().flight = Arc::downgrade(flight);
    }

    /// Returns since when the task has been woken and not polled.
    pub(super) fn woken(&self) -> Option<Moment> {
        self.watched.lock().woken
    }

    fn is_polled_by(&self, waker: &Waker) {
        let mut watched = self.watched.lock();
        watched.woken = None;
        if watched.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            return;
        }
        // Dropped outside the lock: the last waker of a task drops it, and its destructor may end this load.
        let before = watched.task.replace(waker.clone());
        drop(watched);
        drop(before);
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now = self.clock.now();
        let (task, flight) = {
            let mut watched = self.watched.lock();
            // Only the first wake since the last poll sets an alarm: later ones do not make the leader later.
            let first = watched.woken.is_none();
            watched.woken.get_or_insert(now);
            (watched.task.clone(), first.then(|| watched.flight.upgrade()).flatten())
        };
        if let Some(flight) = flight {
            flight.check_at(now.after(STARVED));
        }
        if let Some(task) = task {
            task.wake();
        }
    }
}
