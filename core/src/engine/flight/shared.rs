use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use retainit_plugin::{Clock, Moment};

use super::lead::Watch;
use super::{Entry, Fruit, Terms};
use crate::runtime::{Timers, wake_all};

/// A leader that was woken and not polled for this long has lost its place.
pub(super) const STARVED: Duration = Duration::from_millis(50);

/// Leaders of one function that may have lost their place and go on.
pub(super) const MOST_ABANDONED: usize = 8;

/// How soon a leader is looked at again that kept its place only because too many others had lost theirs.
const AGAIN: Duration = Duration::from_secs(1);

/// The shared side of a load that others wait for.
pub(crate) struct Flight {
    pub(super) state: Mutex<State>,
    pub(super) clock: Arc<dyn Clock>,
    max_load_time: Duration,
    /// Leaders of this function that have lost their place and are still at it.
    pub(super) abandoned: Arc<AtomicUsize>,
    timers: Weak<Timers>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Leads handed out; a leader of an earlier one has lost its place.
    pub(super) lead: u64,
    /// When the present lead began.
    pub(super) started: Moment,
    /// The present leader's task, if it is watched.
    pub(super) watch: Weak<Watch>,
    /// The lead whose end is watched for.
    pub(super) watched: Option<u64>,
    /// An alarm for a starving leader is set.
    alarmed: bool,
    pub(super) waiting: usize,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Phase {
    Loading,
    /// The load is over, and what is left of it for the others is being made.
    Ending,
    /// Nobody leads.
    Vacant,
    Done(Fruit),
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("state", &self.state).finish_non_exhaustive()
    }
}

impl State {
    /// A place to wait at.
    pub(super) fn enter(&mut self) -> usize {
        self.waiting += 1;
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }

    /// Gives a place back. The waker is the caller's to drop, without the lock.
    #[must_use]
    pub(super) fn leave(&mut self, token: usize) -> Option<Waker> {
        self.waiting -= 1;
        self.free.push(token);
        self.wakers[token].take()
    }

    /// Notes whom to wake. The waker that was there is the caller's to drop, without the lock.
    #[must_use]
    pub(super) fn wait(&mut self, token: usize, waker: &Waker) -> Option<Waker> {
        let place = &mut self.wakers[token];
        if place.as_ref().is_some_and(|known| known.will_wake(waker)) { None } else { place.replace(waker.clone()) }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.wakers.iter_mut().filter_map(Option::take).collect()
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.wakers.len()
    }

    /// Gives the lead away. The wakers are to be called without the lock.
    #[must_use]
    pub(super) fn vacate(&mut self) -> Vec<Waker> {
        self.phase = Phase::Vacant;
        self.take_wakers()
    }
}

impl Flight {
    /// The shared side of a load in the table; made when its first follower comes.
    pub(super) fn of<'a>(entry: &'a mut Entry, clock: &Arc<dyn Clock>, terms: &Terms<'_>) -> &'a Arc<Flight> {
        let (started, watch) = (entry.started, &entry.watch);
        entry.flight.get_or_insert_with(|| {
            let flight = Arc::new(Flight::new(started, Weak::clone(watch), clock, terms));
            // The first leader holds its watch until its entry has left the table, so this is never the last hold.
            if let Some(watch) = watch.upgrade() {
                watch.is_followed(&flight);
            }
            flight
        })
    }

    fn new(started: Moment, watch: Weak<Watch>, clock: &Arc<dyn Clock>, terms: &Terms<'_>) -> Flight {
        let state = State {
            phase: Phase::Loading,
            lead: 0,
            started,
            watch,
            watched: None,
            alarmed: false,
            waiting: 0,
            wakers: Vec::new(),
            free: Vec::new(),
        };
        Flight {
            state: Mutex::new(state),
            clock: Arc::clone(clock),
            max_load_time: terms.max_load_time,
            abandoned: Arc::clone(terms.abandoned),
            timers: Arc::downgrade(terms.timers),
        }
    }

    /// Ends the load for a leader that has kept its place: nobody can take it any more.
    pub(super) fn is_ended_by(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let kept = state.lead == number;
        if kept {
            state.phase = Phase::Ending;
        }
        kept
    }

    /// The end of the load is watched for, and whether its leader is polled.
    pub(super) fn attend(self: &Arc<Self>, ends: Option<(u64, Moment)>, watch: &Weak<Watch>) {
        if let Some((lead, started)) = ends {
            self.ring_at(started.after(self.max_load_time), Alarm::TooLong(Arc::downgrade(self), lead));
        }
        if let Some(woken) = watch.upgrade().and_then(|watch| watch.woken()) {
            self.mind(woken.after(STARVED));
        }
    }

    /// Looks at the leader again at `due`, if anybody waits for it. One such alarm is set at a time.
    pub(super) fn mind(self: &Arc<Self>, due: Moment) {
        {
            let mut state = self.state.lock();
            if state.waiting == 0 || state.alarmed {
                return;
            }
            state.alarmed = true;
        }
        self.ring_at(due, Alarm::Starved(Arc::downgrade(self)));
    }

    fn ring_at(&self, due: Moment, alarm: Alarm) {
        if let Some(timers) = self.timers.upgrade() {
            timers.at(due, alarm);
        }
    }

    /// Frees the lead, unless nobody waits or another leads by now. False if it would have to be freed, and too many
    /// leaders of this function have lost theirs.
    fn take_from_leader(&self, lead: u64) -> bool {
        let wakers = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Loading) || state.lead != lead {
                return true;
            }
            if state.waiting == 0 {
                // The next follower sets the alarm again.
                state.watched = None;
                return true;
            }
            let room = |n: usize| (n < MOST_ABANDONED).then_some(n + 1);
            if self.abandoned.fetch_update(Ordering::AcqRel, Ordering::Relaxed, room).is_err() {
                return false;
            }
            state.lead += 1;
            state.vacate()
        };
        wake_all(wakers);
        true
    }

    fn is_starving(self: &Arc<Self>, now: Moment) {
        let (lead, watch) = {
            let mut state = self.state.lock();
            state.alarmed = false;
            (state.lead, Weak::clone(&state.watch))
        };
        let Some(woken) = watch.upgrade().and_then(|watch| watch.woken()) else { return };
        let due = woken.after(STARVED);
        if now < due {
            self.mind(due);
        } else if !self.take_from_leader(lead) {
            self.mind(now.after(AGAIN));
        }
    }
}

/// What the timer thread looks at.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// A leader was woken a while ago: if it was not polled since, it has lost its place.
    Starved(Weak<Flight>),
    /// A load has taken as long as it may: a follower leads.
    TooLong(Weak<Flight>, u64),
}

impl Alarm {
    /// Whether there is still something to look at.
    pub(crate) fn is_live(&self) -> bool {
        let (Alarm::Starved(flight) | Alarm::TooLong(flight, _)) = self;
        flight.strong_count() > 0
    }

    pub(crate) fn ring(&self, now: Moment) {
        match self {
            Alarm::Starved(flight) => {
                if let Some(flight) = flight.upgrade() {
                    flight.is_starving(now);
                }
            }
            Alarm::TooLong(weak, lead) => {
                if let Some(flight) = weak.upgrade()
                    && !flight.take_from_leader(*lead)
                {
                    flight.ring_at(now.after(AGAIN), Alarm::TooLong(Weak::clone(weak), *lead));
                }
            }
        }
    }
}
