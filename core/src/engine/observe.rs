//! The function itself, told of: that it begins, that it has run, that it failed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use retainit_plugin::{ErrorKind, EventKind, EventParts, caught};

use super::load::Job;
use crate::rt::{Facts, Shape};
use crate::runtime::Stopwatch;

pin_project_lite::pin_project! {
    /// A loader whose runs are told of. Whether anybody listens is asked when it begins.
    pub(super) struct Observed<'a, R, P: Shape<R>, L> {
        #[pin]
        loader: L,
        shown: fn(&P::Error) -> String,
        job: &'a Job,
        state: State,
        result: std::marker::PhantomData<fn() -> R>,
    }

    impl<'a, R, P: Shape<R>, L> PinnedDrop for Observed<'a, R, P, L> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match std::mem::replace(this.state, State::Over) {
                State::Waiting(watch) => tell(this.job, EventKind::FunctionCallEnd, watch.elapsed(), Some("cancelled")),
                State::Running(watch) => tell(this.job, EventKind::FunctionError, watch.elapsed(), Some("panicked")),
                State::Before | State::Unheard | State::Over => {}
            }
        }
    }
}

enum State {
    Before,
    /// Nobody listened when it began.
    Unheard,
    /// It is being polled: if this is how it is dropped, it has panicked.
    Running(Stopwatch),
    /// Between two polls.
    Waiting(Stopwatch),
    Over,
}

impl<'a, R, P: Shape<R>, L> Observed<'a, R, P, L> {
    pub(super) fn new<S>(loader: L, facts: &Facts<R, P, S>, job: &'a Job) -> Self {
        Observed { loader, shown: facts.shown, job, state: State::Before, result: std::marker::PhantomData }
    }
}

impl<R, P: Shape<R>, L: Future<Output = R>> Future for Observed<'_, R, P, L> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = self.project();
        *this.state = match std::mem::replace(this.state, State::Over) {
            State::Before => begin(this.job),
            State::Waiting(watch) => State::Running(watch),
            other => other,
        };
        let polled = this.loader.poll(cx);
        if let State::Running(watch) = std::mem::replace(this.state, State::Unheard) {
            match &polled {
                Poll::Pending => *this.state = State::Waiting(watch),
                Poll::Ready(result) => ended::<R, P>(this.job, watch.elapsed(), result, *this.shown),
            }
        }
        polled
    }
}

fn begin(job: &Job) -> State {
    const KINDS: u32 = 1 << EventKind::FunctionCallStart as u32
        | 1 << EventKind::FunctionCallEnd as u32
        | 1 << EventKind::FunctionError as u32;
    if !job.plan.function.bus.hears_any(KINDS) {
        return State::Unheard;
    }
    job.plan.emit(EventKind::FunctionCallStart, Some(&job.key), |_| {});
    State::Running(Stopwatch::start())
}

#[cold]
fn ended<R, P: Shape<R>>(job: &Job, time: Duration, result: &R, shown: fn(&P::Error) -> String) {
    match P::split(result) {
        Ok(_) => tell(job, EventKind::FunctionCallEnd, time, None),
        Err(_) if job.plan.function.pii => {
            tell(job, EventKind::FunctionError, time, Some(std::any::type_name::<P::Error>()));
        }
        Err(error) => tell_with(job, EventKind::FunctionError, time, || {
            // A `Display` that panics is no reason for the call to.
            let shown = caught(ErrorKind::Codec, "showing an error", || shown(error));
            Some(shown.unwrap_or_else(|_| std::any::type_name::<P::Error>().to_owned()).into())
        }),
    }
}

fn tell(job: &Job, kind: EventKind, time: Duration, error: Option<&str>) {
    tell_with(job, kind, time, || error.map(Into::into));
}

#[cold]
fn tell_with(job: &Job, kind: EventKind, time: Duration, error: impl FnOnce() -> Option<Box<str>>) {
    job.plan.emit(kind, Some(&job.key), |parts: &mut EventParts| {
        parts.duration = Some(time);
        parts.error = error();
    });
}
