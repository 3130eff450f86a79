use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::cycles::Edges;
use super::lead::Watch;
use super::shared::{Flight, Phase};
use super::{At, FlightEntry, Flights, Got, Lead, LoadLimits};
use crate::runtime::wake_all;

/// Waits for another caller's load.
#[derive(Debug)]
pub(crate) struct Follow<'f> {
    flights: &'f Flights,
    abandoned: &'f AtomicUsize,
    flight: Arc<Flight>,
    at: At,
    token: Option<usize>,
    edges: Edges,
}

/// A [`Follow`] without the borrow of its table, for a call that owns its plan.
///
/// Dropping it does nothing: its holder has to turn it into a [`Follow`] again, like [`LeadParts`](super::LeadParts).
#[derive(Debug)]
pub(crate) struct FollowParts {
    flight: Arc<Flight>,
    at: At,
    token: Option<usize>,
    edges: Edges,
}

impl<'f> Follow<'f> {
    /// Takes the follower out of its table's lifetime.
    pub(crate) fn into_parts(mut self) -> FollowParts {
        let (token, edges) = (self.token.take(), std::mem::take(&mut self.edges));
        FollowParts { flight: Arc::clone(&self.flight), at: self.at, token, edges }
    }

    /// Puts the parts back together, with the table and the count that they came from.
    pub(crate) fn from_parts(parts: FollowParts, flights: &'f Flights, abandoned: &'f AtomicUsize) -> Follow<'f> {
        let FollowParts { flight, at, token, edges } = parts;
        Follow { flights, abandoned, flight, at, token, edges }
    }

    pub(super) fn new(
        flights: &'f Flights,
        entry: &mut FlightEntry,
        limits: &LoadLimits<'f>,
        edges: Edges,
    ) -> Follow<'f> {
        let at = At { id: entry.id, hash: entry.hash };
        let flight = Arc::clone(Flight::of(entry, &flights.clock, limits));
        // Entered under the lock of the table: a leader that completes now finds this follower and makes a result for
        // it.
        let token = Some(flight.state.lock().enter());
        Follow { flights, abandoned: limits.abandoned, flight, at, token, edges }
    }

    /// Takes a vacant lead, and waits for nobody any more.
    fn take_over(&mut self, number: u64, watch: Arc<Watch>) -> Lead<'f> {
        self.edges = Edges::default();
        Lead::new(self.flights, self.at, number, Some(watch), self.abandoned)
    }
}

impl<'f> Future for Follow<'f> {
    type Output = Got<'f>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Got<'f>> {
        let flight = Arc::clone(&self.flight);
        let Some(token) = self.token else {
            return Poll::Pending;
        };
        let mut state = flight.state.lock();
        match &state.phase {
            Phase::Loading | Phase::Ending => {
                let before = state.wait(token, cx.waker());
                // One alarm per lead is enough, whichever follower sets it. A load that is ending needs none: its
                // leader cannot lose the lead any more.
                let watched = matches!(state.phase, Phase::Ending) || state.watched == Some(state.lead);
                state.watched = Some(state.lead);
                let (lead, started, watch) = (state.lead, state.started, Weak::clone(&state.watch));
                // Setting an alarm and dropping a waker take other locks or run code of tasks.
                drop(state);
                drop(before);
                flight.set_alarms((!watched).then_some((lead, started)), &watch);
                Poll::Pending
            }
            Phase::Done(flight_result) => {
                let flight_result = flight_result.clone();
                // The token goes back now, and is cleared below so that the drop does not give it back again.
                let waker = state.leave(token);
                drop(state);
                drop(waker);
                self.token = None;
                Poll::Ready(Got::FlightResult(flight_result))
            }
            Phase::Vacant => {
                // The number rises under the lock of the flight: the leader before this one, and alarms that were set
                // for it, see from then on that they have lost the lead.
                let watch = Watch::new(&flight.clock, Arc::downgrade(&flight));
                state.phase = Phase::Loading;
                state.lead += 1;
                state.started = flight.clock.now();
                state.watch = Arc::downgrade(&watch);
                let (number, waker) = (state.lead, state.leave(token));
                drop(state);
                drop(waker);
                self.token = None;
                Poll::Ready(Got::Lead(self.take_over(number, watch)))
            }
        }
    }
}

impl Drop for Follow<'_> {
    fn drop(&mut self) {
        let Some(token) = self.token else { return };
        let (own, wakers) = self.leave(token);
        drop(own);
        wake_all(wakers);
    }
}

impl Follow<'_> {
    /// Stops waiting. Returns the own waker, and those of followers that have to look again, since this one may have
    /// been the one that was woken to lead.
    fn leave(&self, token: usize) -> (Option<Waker>, Vec<Waker>) {
        // The table first, for the order of locks, and held: a caller that joined before the entry is removed would
        // wait for a vacant lead without being woken.
        let mut table = self.flights.shard(self.at.hash).table.lock();
        let mut state = self.flight.state.lock();
        let own = state.leave(token);
        if !matches!(state.phase, Phase::Vacant) {
            return (own, Vec::new());
        }
        if state.waiting > 0 {
            return (own, state.take_wakers());
        }
        table.remove(self.at);
        (own, Vec::new())
    }

    /// Returns the number of places that the flight has for followers.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.flight.state.lock().places()
    }
}
