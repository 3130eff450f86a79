//! End of a subscriber's queue.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use retainit_plugin::{Error, ErrorKind, EventKinds, caught};

use super::{Handler, QueueState, SubscriberQueue};
use crate::runtime::quietly;

impl SubscriberQueue {
    /// Removes these kinds, also from the queued events. Returns true if no kind is left.
    pub(in crate::event) fn forget(&self, kinds: EventKinds) -> bool {
        let mut state = self.state.lock();
        let left = self.kinds().without(kinds);
        self.kinds.store(left.bits(), Ordering::Relaxed);
        let before = state.queue.len();
        state.queue.retain(|event| left.contains(event.kind()));
        state.settled += (before - state.queue.len()) as u64;
        self.wake_waiting(&mut state);
        left.is_empty()
    }

    /// Refuses new events; the handler ends after the queued ones.
    pub(in crate::event) fn finish(&self) {
        self.end(false);
    }

    /// Handles nothing more; an event that is being handled may end. Queued events are spilled where the policy keeps
    /// them. Returns the number of lost ones.
    pub(in crate::event) fn cut(&self) -> u64 {
        self.end(true)
    }

    fn end(&self, cut: bool) -> u64 {
        let mut state = self.state.lock();
        state.ending = true;
        let mut left = 0;
        if cut {
            state.cut = true;
            // The event that was to be repeated is the oldest, so it is spilled first.
            let queued = std::mem::take(&mut state.queue);
            state.settled += queued.len() as u64;
            for event in state.to_repeat.take().into_iter().chain(queued) {
                left += u64::from(self.abandon(&mut state, &event));
            }
            self.wake_waiting(&mut state);
        }
        // Callers that wait for room, and a dispatcher in a pause.
        self.changed.notify_all();
        let (handler, dispatcher) = (state.handler.take(), state.dispatcher.take());
        // Without the lock: `close` runs the subscriber's code, which may emit events itself. A handler that no event
        // has started ends here.
        drop(state);
        if let Some(handler) = handler {
            self.close(handler);
            self.finished();
        }
        if let Some(dispatcher) = dispatcher {
            dispatcher.wake();
        }
        left
    }

    pub(in crate::event) fn is_over(&self) -> bool {
        self.state.lock().ending
    }

    pub(in crate::event) fn dropped(&self) -> u64 {
        self.state.lock().drops.all
    }

    /// Reports the events lost by a subscriber that must lose none, or its failure to close.
    pub(in crate::event) fn losses(&self) -> Result<(), Error> {
        if !self.keeps() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let (lost, closed_badly) = (state.drops.all, state.closed_badly.take());
        if lost == 0 {
            return closed_badly.map_or(Ok(()), |error| Err(error.with_context("subscriber", &*self.name)));
        }
        let text =
            format!("{lost} events of the subscriber `{}` were lost: it could neither write nor keep them", self.name);
        let error = Error::new(ErrorKind::Backend, text);
        Err(match state.drops.why.take().or(closed_badly) {
            Some(why) => error.with_source(why),
            None => error,
        })
    }

    pub(in crate::event) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// Waits until the first `taken` events are settled, or the handler has ended.
    pub(in crate::event) fn poll_settled(&self, taken: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.done || state.settled >= taken && !state.spilling)
    }

    /// Waits until the handler has ended.
    pub(in crate::event) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| state.done)
    }

    fn poll_until(&self, cx: &mut Context<'_>, reached: impl Fn(&QueueState) -> bool) -> Poll<()> {
        let mut state = self.state.lock();
        if reached(&state) {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Closes the handler and drops it.
    pub(in crate::event) fn close(&self, handler: Handler) {
        let closed = caught(ErrorKind::Backend, "the subscriber", || match handler {
            Handler::Sync(mut subscriber) => subscriber.close(),
            Handler::Async(handler) => {
                drop(handler);
                Ok(())
            }
        });
        if let Err(error) = closed.flatten() {
            quietly(|| {
                tracing::error!(
                    target: "retainit", subscriber = %self.name, error = error.report(), "a subscriber could not end as it should"
                );
            });
            self.state.lock().closed_badly = Some(error);
        }
    }
}
