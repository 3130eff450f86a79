//! Drives a call of an async function from poll to poll, with boxed futures for the steps that wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use retainit_plugin::{ErrorKind, caught};

use super::begin::{Arrival, Step};
use super::finish::{After, Rest};
use super::flight::LoadStack;
use super::miss_box::MissBox;
use super::verify::Verifying;
use super::{Outcome, Slot};

/// State of a call of an async function.
pub(crate) enum Turn {
    New(MissBox),
    /// It waits before the function can run or be served; the future owns the state of the call.
    Begins(Waits<Arrival>),
    /// The function runs as a call of the cache.
    Runs(MissBox),
    /// The function runs without the cache.
    Apart,
    Ends(Waits<After>),
    Over,
}

type Waits<T> = Pin<Box<dyn Future<Output = (MissBox, T)> + Send>>;

/// Outcome of a poll that did not have to wait.
pub(crate) enum Turned {
    /// The slot has the answer.
    Served(Outcome),
    /// The function has to be polled.
    Run,
}

/// Surroundings in which the function is polled, until dropped.
pub(crate) struct EnteredLoad {
    _load_stack: LoadStack,
    _verifying: Option<Verifying>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

impl Turn {
    /// Creates the state of a call. Without a call the function runs as if there were no cache.
    pub(crate) fn new(miss: Option<MissBox>) -> Turn {
        miss.map_or(Turn::Apart, Turn::New)
    }

    /// Advances the call until its function has to be polled, or until the slot has the answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, slot: &mut dyn Slot) -> Poll<Turned> {
        loop {
            // Each state is taken out and put back only when it waits: after a panic the call is over, and is not
            // polled in a state that is half done.
            match std::mem::replace(self, Turn::Over) {
                Turn::New(mut miss) => {
                    let next = miss.begin(slot);
                    match self.after(miss, next) {
                        Some(turned) => return Poll::Ready(turned),
                        None => continue,
                    }
                }
                Turn::Begins(mut waits) => {
                    let Poll::Ready((mut miss, event)) = waits.as_mut().poll(cx) else {
                        *self = Turn::Begins(waits);
                        return Poll::Pending;
                    };
                    let next = miss.go_on(event, slot);
                    match self.after(miss, next) {
                        Some(turned) => return Poll::Ready(turned),
                        None => continue,
                    }
                }
                Turn::Runs(mut miss) => match miss.finish(slot) {
                    Rest::Done(outcome) => {
                        let outcome = miss.over(After::Outcome(outcome), slot);
                        miss.end();
                        return Poll::Ready(Turned::Served(outcome));
                    }
                    rest => {
                        *self = Turn::Ends(Box::pin(async move {
                            let after = miss.rest(rest).await;
                            (miss, after)
                        }));
                    }
                },
                Turn::Apart => return Poll::Ready(Turned::Served(Outcome::Failed)),
                Turn::Ends(mut waits) => {
                    let Poll::Ready((mut miss, after)) = waits.as_mut().poll(cx) else {
                        *self = Turn::Ends(waits);
                        return Poll::Pending;
                    };
                    let outcome = miss.over(after, slot);
                    miss.end();
                    return Poll::Ready(Turned::Served(outcome));
                }
                Turn::Over => return Poll::Pending,
            }
        }
    }

    /// Enters the state for the next step. Returns `None` if that step waits.
    fn after(&mut self, miss: MissBox, next: Step) -> Option<Turned> {
        match next {
            Step::Served => {
                miss.end();
                Some(Turned::Served(Outcome::Present))
            }
            Step::Run => {
                *self = Turn::Runs(miss);
                Some(Turned::Run)
            }
            Step::Wait(wait) => {
                *self = Turn::Begins(Box::pin(async move {
                    let event = miss.wait(wait).await;
                    (miss, event)
                }));
                None
            }
        }
    }

    /// Returns true if the function has to be polled next.
    pub(crate) fn runs(&self) -> bool {
        matches!(self, Turn::Runs(_) | Turn::Apart)
    }

    /// Returns true if the function runs to verify a hit: its panic is not the caller's then.
    pub(crate) fn verifies(&self) -> bool {
        matches!(self, Turn::Runs(miss) if miss.verifies())
    }

    /// Makes one poll of the function a part of its load.
    #[inline(never)]
    pub(crate) fn enter(&mut self) -> EnteredLoad {
        match self {
            Turn::Runs(miss) => {
                EnteredLoad { _load_stack: miss.enter(), _verifying: miss.verifies().then(Verifying::enter) }
            }
            _ => EnteredLoad { _load_stack: LoadStack::enter(&[]), _verifying: None },
        }
    }

    /// Returns the waker for a poll of the function, which watches the wakes of a leader.
    #[inline(never)]
    pub(crate) fn waker<'w>(&'w self, task: &'w Waker) -> &'w Waker {
        match self {
            Turn::Runs(miss) => miss.lead.as_ref().map_or(task, |lead| lead.waker(task)),
            _ => task,
        }
    }

    /// Notes that the function has not returned yet.
    pub(crate) fn pause(&mut self) {
        if let Turn::Runs(miss) = self {
            miss.pause();
        }
    }

    /// Drops the function's future as a part of its load: destructors in it may make calls, which must not wait for it.
    pub(crate) fn drop_loader(&mut self, drop_it: &mut dyn FnMut()) {
        let _entered = self.enter();
        if self.verifies() {
            caught(ErrorKind::Backend, "the function", drop_it).ok();
        } else {
            drop_it();
        }
    }

    /// Drops the function's future before it has returned, and reports that.
    pub(crate) fn give_up(&mut self, drop_it: &mut dyn FnMut()) {
        if let Turn::Runs(miss) = self {
            miss.report_abandoned();
        }
        self.drop_loader(drop_it);
    }
}
