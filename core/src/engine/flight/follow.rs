use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::circles::Edges;
use super::lead::Watch;
use super::shared::{Flight, Phase};
use super::{At, Entry, Flights, Got, Lead, Terms};
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

impl<'f> Follow<'f> {
    pub(super) fn new(flights: &'f Flights, entry: &mut Entry, terms: &Terms<'f>, edges: Edges) -> Follow<'f> {
        let at = At { id: entry.id, hash: entry.hash };
        let flight = Arc::clone(Flight::of(entry, &flights.clock, terms));
        let token = Some(flight.state.lock().enter());
        Follow { flights, abandoned: terms.abandoned, flight, at, token, edges }
    }

    /// Takes a vacant lead.
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
                let watched = matches!(state.phase, Phase::Ending) || state.watched == Some(state.lead);
                state.watched = Some(state.lead);
                let (lead, started, watch) = (state.lead, state.started, Weak::clone(&state.watch));
                drop(state);
                drop(before);
                flight.attend((!watched).then_some((lead, started)), &watch);
                Poll::Pending
            }
            Phase::Done(fruit) => {
                let fruit = fruit.clone();
                let waker = state.leave(token);
                drop(state);
                drop(waker);
                self.token = None;
                Poll::Ready(Got::Fruit(fruit))
            }
            Phase::Vacant => {
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
    /// Stops waiting. Gives the own waker, and those of others who have to look again: the one that was to lead may be
    /// gone.
    fn leave(&self, token: usize) -> (Option<Waker>, Vec<Waker>) {
        let mut table = self.flights.shard(self.at.hash).table.lock();
        let mut state = self.flight.state.lock();
        let own = state.leave(token);
        if !matches!(state.phase, Phase::Vacant) {
            return (own, Vec::new());
        }
        if state.waiting > 0 {
            return (own, state.take_wakers());
        }
        if let Ok(entry) = table.find_entry(self.at.hash, |e| e.id == self.at.id) {
            entry.remove();
        }
        (own, Vec::new())
    }

    /// How many places the flight has for its followers.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.flight.state.lock().places()
    }
}
