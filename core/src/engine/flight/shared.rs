use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Moment};

use super::lead::Watch;
use super::{FlightEntry, FlightResult, LoadLimits};
use crate::runtime::{Alarm, Timers, wake_all};

/// The time after which a leader that was woken and not polled loses the lead.
pub(super) const STARVED: Duration = Duration::from_millis(50);

/// The number of leaders of one function that may have lost the lead and go on.
pub(super) const MOST_ABANDONED: usize = 8;

/// The time after which a leader is checked again that keeps the lead only because too many others have lost theirs.
const AGAIN: Duration = Duration::from_secs(1);

/// The shared part of a load that has followers.
pub(crate) struct Flight {
    pub(super) state: Mutex<FlightState>,
    pub(super) clock: Arc<dyn Clock>,
    max_load_time: Duration,
    /// Number of leaders of this function that have lost the lead and go on.
    pub(super) abandoned: Arc<AtomicUsize>,
    timers: Weak<Timers>,
}

#[derive(Debug)]
pub(super) struct FlightState {
    pub(super) phase: Phase,
    /// Number of the present lead; a leader with an earlier number has lost the lead.
    pub(super) lead: u64,
    /// Time when the present lead began.
    pub(super) started: Moment,
    /// Watch of the present leader's task, if it is async.
    pub(super) watch: Weak<Watch>,
    /// Number of the lead whose `max_load_time` has an alarm.
    pub(super) watched: Option<u64>,
    /// True while an alarm for a starving leader is set.
    alarmed: bool,
    pub(super) waiting: usize,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Phase {
    Loading,
    /// The load is over, and its result for followers is being made.
    Ending,
    /// Nobody leads.
    Vacant,
    Done(FlightResult),
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("state", &self.state).finish_non_exhaustive()
    }
}

impl FlightState {
    /// Adds a follower and returns its token.
    pub(super) fn enter(&mut self) -> usize {
        self.waiting += 1;
        self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        })
    }

    /// Removes a follower. Returns its waker, to drop outside the lock.
    #[must_use]
    pub(super) fn leave(&mut self, token: usize) -> Option<Waker> {
        self.waiting -= 1;
        self.free.push(token);
        self.wakers[token].take()
    }

    /// Sets the waker of a follower. Returns the one it replaces, to drop outside the lock.
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

    /// Makes the lead vacant. Returns the wakers to call outside the lock.
    #[must_use]
    pub(super) fn vacate(&mut self) -> Vec<Waker> {
        self.phase = Phase::Vacant;
        self.take_wakers()
    }
}

impl Flight {
    /// Returns the shared part of a load in the table, and makes it for the first follower.
    pub(super) fn of<'a>(
        entry: &'a mut FlightEntry,
        clock: &Arc<dyn Clock>,
        limits: &LoadLimits<'_>,
    ) -> &'a Arc<Flight> {
        let (started, watch) = (entry.started, &entry.watch);
        entry.flight.get_or_insert_with(|| {
            let flight = Arc::new(Flight::new(started, Weak::clone(watch), clock, limits));
            // The first leader holds its watch until its entry has left the table, so this reference is never the last:
            // dropping it under the lock of the table runs no destructor of a task.
            if let Some(watch) = watch.upgrade() {
                watch.is_followed(&flight);
            }
            flight
        })
    }

    fn new(started: Moment, watch: Weak<Watch>, clock: &Arc<dyn Clock>, limits: &LoadLimits<'_>) -> Flight {
        let state = FlightState {
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
            max_load_time: limits.max_load_time,
            abandoned: Arc::clone(limits.abandoned),
            timers: Arc::downgrade(limits.timers),
        }
    }

    /// Ends the load if `number` still has the lead, which nobody can take from then on. Returns whether it has.
    pub(super) fn is_ended_by(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let has_lead = state.lead == number;
        if has_lead {
            state.phase = Phase::Ending;
        }
        has_lead
    }

    /// Sets the alarm for the end of `max_load_time`, and one for a leader that has been woken and not polled.
    pub(super) fn set_alarms(self: &Arc<Self>, ends: Option<(u64, Moment)>, watch: &Weak<Watch>) {
        if let Some((lead, started)) = ends {
            self.ring_at(started.after(self.max_load_time), FlightAlarm::TooLong(Arc::downgrade(self), lead));
        }
        if let Some(woken) = watch.upgrade().and_then(|watch| watch.woken()) {
            self.check_at(woken.after(STARVED));
        }
    }

    /// Sets an alarm to check the leader at `due`, if it has followers. At most one such alarm is set at a time.
    pub(super) fn check_at(self: &Arc<Self>, due: Moment) {
        {
            let mut state = self.state.lock();
            if state.waiting == 0 || state.alarmed {
                return;
            }
            // Set before the alarm is, under the lock: two wakes at once set one alarm.
            state.alarmed = true;
        }
        self.ring_at(due, FlightAlarm::Starved(Arc::downgrade(self)));
    }

    fn ring_at(&self, due: Moment, alarm: FlightAlarm) {
        if let Some(timers) = self.timers.upgrade() {
            timers.at(due, alarm);
        }
    }

    /// Frees the lead, unless it has no followers or another leads by now. Returns false if it should be freed, but too
    /// many leaders of this function have lost theirs and go on.
    fn take_from_leader(&self, lead: u64) -> bool {
        let wakers = {
            let mut state = self.state.lock();
            // The alarm is late: the load is over, or the lead has passed on since it was set.
            if !matches!(state.phase, Phase::Loading) || state.lead != lead {
                return true;
            }
            if state.waiting == 0 {
                // A leader without followers keeps the lead. The next follower sets the alarm again.
                state.watched = None;
                return true;
            }
            // Each lost leader goes on beside the new one. The bound keeps a slow function from running ever more often
            // at the same time.
            let room = |n: usize| (n < MOST_ABANDONED).then_some(n + 1);
            if self.abandoned.fetch_update(Ordering::AcqRel, Ordering::Relaxed, room).is_err() {
                return false;
            }
            // The number rises here already, not when a follower takes over: a leader that completes in between must
            // see that its result is too late.
            state.lead += 1;
            state.vacate()
        };
        wake_all(wakers);
        true
    }

    fn is_starving(self: &Arc<Self>, now: Moment) {
        let (lead, watch) = {
            let mut state = self.state.lock();
            // Cleared before the look at the watch: a wake that comes after the look sets an alarm of its own.
            state.alarmed = false;
            (state.lead, Weak::clone(&state.watch))
        };
        let Some(woken) = watch.upgrade().and_then(|watch| watch.woken()) else { return };
        let due = woken.after(STARVED);
        if now < due {
            // The leader was polled and woken again since the alarm was set.
            self.check_at(due);
        } else if !self.take_from_leader(lead) {
            self.check_at(now.after(AGAIN));
        }
    }
}

/// Alarms of the timer thread about a flight.
#[derive(Debug)]
enum FlightAlarm {
    /// A leader was woken a while ago: if it was not polled since, it loses the lead.
    Starved(Weak<Flight>),
    /// A load has taken as long as it may: a follower takes the lead.
    TooLong(Weak<Flight>, u64),
}

impl Alarm for FlightAlarm {
    fn is_live(&self) -> bool {
        let (FlightAlarm::Starved(flight) | FlightAlarm::TooLong(flight, _)) = self;
        flight.strong_count() > 0
    }

    fn ring(&self, now: Moment) {
        match self {
            FlightAlarm::Starved(flight) => {
                if let Some(flight) = flight.upgrade() {
                    flight.is_starving(now);
                }
            }
            FlightAlarm::TooLong(weak, lead) => {
                if let Some(flight) = weak.upgrade()
                    && !flight.take_from_leader(*lead)
                {
                    flight.ring_at(now.after(AGAIN), FlightAlarm::TooLong(Weak::clone(weak), *lead));
                }
            }
        }
    }
}
