use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;
use retainit_plugin::{Clock, ErrorKind, Moment, caught};

use super::shared::{Flight, Phase, STARVED};
use super::{At, Chain, Flights, Fruit, Ticket};
use crate::runtime::{Inside, wake_all};

/// The right and duty to load. Dropped before [`Lead::complete`], it passes to a follower.
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

    /// Runs a load in place, watched for starvation and for circles. A load that is given up ends as a part of itself
    /// too: a destructor that asks for its key must not wait for it.
    pub(crate) async fn run<F: Future>(&self, load: F) -> F::Output {
        let mut load = std::pin::pin!(Inside::new(load, || Chain::enter(&[self.at.id])));
        let waker = self.watch.as_ref().map(|watch| Waker::from(Arc::clone(watch)));
        std::future::poll_fn(|cx| match (&self.watch, &waker) {
            (Some(watch), Some(waker)) => {
                watch.is_polled_by(cx.waker());
                load.as_mut().poll(&mut Context::from_waker(waker))
            }
            _ => load.as_mut().poll(cx),
        })
        .await
    }

    /// Renews the ticket that newcomers are compared with: the load begins now.
    ///
    /// A leader that has lost its place changes nothing: the load newcomers would join is another's, and may have begun
    /// before what this ticket has seen.
    pub(crate) fn renew(&self, ticket: &Ticket) {
        let mut table = self.flights.shard(self.at.hash).table.lock();
        if let Some(entry) = table.find_mut(self.at.hash, |e| e.id == self.at.id)
            && entry.flight.as_ref().is_none_or(|flight| flight.state.lock().lead == self.number)
        {
            entry.ticket = ticket.clone();
        }
    }

    /// Ends the load. `fruit` is only made if somebody waits.
    pub(crate) fn complete(mut self, fruit: impl FnOnce() -> Fruit) {
        self.over = true;
        let Some(flight) = self.flights.end(self.at, self.number) else {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return;
        };
        let Some(flight) = flight.filter(|flight| flight.state.lock().waiting > 0) else {
            return;
        };
        // Making it runs code of the value's type. Should that panic, the others must not wait for ever.
        let fruit = caught(ErrorKind::Codec, "copying a result for those who wait", fruit).unwrap_or(Fruit::Unshared);
        let wakers = {
            let mut state = flight.state.lock();
            state.phase = Phase::Done(fruit);
            state.take_wakers()
        };
        wake_all(wakers);
    }

    /// Gives the lead away, to the wakers returned.
    fn pass_on(&self) -> Vec<Waker> {
        let mut table = self.flights.shard(self.at.hash).table.lock();
        let Ok(entry) = table.find_entry(self.at.hash, |e| e.id == self.at.id) else {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return Vec::new();
        };
        let Some(flight) = entry.get().flight.clone() else {
            entry.remove();
            return Vec::new();
        };
        let mut state = flight.state.lock();
        if state.lead != self.number {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return Vec::new();
        }
        if state.waiting == 0 {
            entry.remove();
            return Vec::new();
        }
        state.vacate()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.over {
            wake_all(self.pass_on());
        }
    }
}

/// A leader's task as its load wakes it: notes since when it has been woken and not polled.
///
/// Each lead has its own, so that a leader that has lost its place is still woken by what it waits for.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    watched: Mutex<Watched>,
}

struct Watched {
    task: Option<Waker>,
    woken: Option<Moment>,
    /// Whom it matters to.
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

    /// Since when the task has been woken and not polled.
    pub(super) fn woken(&self) -> Option<Moment> {
        self.watched.lock().woken
    }

    fn is_polled_by(&self, waker: &Waker) {
        let mut watched = self.watched.lock();
        watched.woken = None;
        if watched.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            return;
        }
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
            let first = watched.woken.is_none();
            watched.woken.get_or_insert(now);
            (watched.task.clone(), first.then(|| watched.flight.upgrade()).flatten())
        };
        if let Some(flight) = flight {
            flight.mind(now.after(STARVED));
        }
        if let Some(task) = task {
            task.wake();
        }
    }
}
