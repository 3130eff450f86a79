//! Runs calls that the hit path did not answer: the user's function runs between two calls of the engine. The code is
//! generic over the return type; only [`Running`] is generic over the function.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use retainit_plugin::{ErrorKind, caught};

use super::slots::{Results, Typed};
use super::{Call, CallRules};
use crate::engine::{MissBox, Outcome, Turn, Turned, Verifying};
use crate::value::Ops;

/// Next step of a call.
#[derive(Debug)]
#[must_use]
pub enum Begun<R> {
    /// The call has its answer.
    Served(Reloaded<R>),
    /// The function has to run.
    Run(Run),
    /// The function has to run too, to verify the answer.
    Verify(Box<Check<R>>),
}

/// Obliges its holder to run the function and to finish the call with its result. Dropped, it passes the load on to
/// another caller.
#[derive(Debug)]
#[must_use]
pub struct Run(Option<MissBox>);

// Out of line: the frame of each function, its hits included, would save a register for the steps of this drop.
impl Drop for Run {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// An answer that is being verified.
#[derive(Debug)]
pub struct Check<R> {
    miss: MissBox,
    results: Results<R>,
}

/// A result with the outcome of its call.
#[derive(Debug)]
pub struct Reloaded<R> {
    /// The result of the function, or of the cache.
    pub result: R,
    pub(crate) outcome: Outcome,
}

impl<R> Reloaded<R> {
    /// Wraps an answer that was cached.
    pub fn present(result: R) -> Reloaded<R> {
        Reloaded { result, outcome: Outcome::Present }
    }
}

/// Begins a call of a sync function.
#[inline(never)]
pub fn begin<O: Ops>(ops: &O, call: Call) -> Begun<O::Output> {
    let Some(mut miss) = call.into_miss() else { return Begun::Run(Run(None)) };
    let mut results = Results::new(None);
    let served = miss.begin_sync(&mut Typed::new(ops.ops(), CallRules::NONE, &mut results));
    match results.result.take() {
        Some(result) if served => {
            miss.end();
            Begun::Served(Reloaded::present(result))
        }
        _ if miss.verifies() => Begun::Verify(Box::new(Check { miss, results })),
        _ => Begun::Run(Run(Some(miss))),
    }
}

/// Finishes a call of a sync function with its result.
#[inline(never)]
pub fn finish<O: Ops>(ops: &O, mut run: Run, rules: CallRules<O::Output>, result: O::Output) -> Reloaded<O::Output> {
    let Some(mut miss) = run.0.take() else { return Reloaded { result, outcome: Outcome::Failed } };
    let mut results = Results::new(Some(result));
    let outcome = miss.finish_sync(&mut Typed::new(ops.ops(), rules, &mut results));
    miss.end();
    reloaded(results, outcome)
}

fn reloaded<R>(results: Results<R>, outcome: Outcome) -> Reloaded<R> {
    Reloaded { result: results.result.expect("the engine leaves the result where it was"), outcome }
}

/// Runs a sync function with its arguments to verify a hit. A pointer to a function, and not a closure over the
/// arguments: functions of the same types share this code.
#[cold]
#[inline(never)]
pub fn verify<O: Ops, A>(
    ops: &O,
    check: Box<Check<O::Output>>,
    load: fn(A) -> O::Output,
    args: A,
) -> Reloaded<O::Output> {
    let mut args = Some(args);
    verify_with(ops, check, &mut || args.take().map(load))
}

/// Runs a closure to verify a hit.
pub fn verify_closure<O: Ops>(
    ops: &O,
    check: Box<Check<O::Output>>,
    load: impl FnOnce() -> O::Output,
) -> Reloaded<O::Output> {
    verify(ops, check, |load| load(), load)
}

#[cold]
#[inline(never)]
#[expect(clippy::boxed_local, reason = "it came as one pointer")]
fn verify_with<O: Ops>(
    ops: &O,
    check: Box<Check<O::Output>>,
    load: &mut dyn FnMut() -> Option<O::Output>,
) -> Reloaded<O::Output> {
    let Check { mut miss, mut results } = *check;
    let verifying = Verifying::enter();
    results.result = caught(ErrorKind::Backend, "the function", load).ok().flatten();
    drop(verifying);
    let outcome = miss.finish_sync(&mut Typed::new(ops.ops(), CallRules::NONE, &mut results));
    reloaded(results, outcome)
}

/// Refreshes or warms a sync function.
#[inline(never)]
pub fn reload_sync<O: Ops>(
    ops: &O,
    call: Call,
    rules: CallRules<O::Output>,
    load: &mut dyn FnMut() -> Option<O::Output>,
) -> Reloaded<O::Output> {
    let mut load = || load().expect("it is called once");
    match begin(ops, call) {
        Begun::Served(reloaded) => reloaded,
        Begun::Run(run) => finish(ops, run, rules, load()),
        Begun::Verify(check) => verify_with(ops, check, &mut || Some(load())),
    }
}

// ------------------------------------------------------------------------------------------------------ async functions

pin_project_lite::pin_project! {
    /// A call of an async function. Written by hand: an `async fn` would be one more state machine per function.
    ///
    /// The result has a type parameter of its own, without a bound that it equals the loader's output: the compiler
    /// checks `Send` of a future with its lifetimes erased, where it could not prove the two equal.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Running<'f, O, R, L> {
        #[pin]
        loader: Option<L>,
        turn: Turn,
        ops: &'f O,
        rules: CallRules<R>,
        results: Results<R>,
    }

    impl<'f, O, R, L> PinnedDrop for Running<'f, O, R, L> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.loader.is_some() {
                let loader = &mut this.loader;
                this.turn.give_up(&mut || loader.set(None));
            }
            this.results.abandon();
        }
    }
}

impl<O, R, L> std::fmt::Debug for Running<'_, O, R, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

/// A call of an async function on the heap, so that the future of a hit stays small.
pub type Pinned<'f, O, L> = Pin<Box<Running<'f, O, <L as Future>::Output, L>>>;

/// Runs an async function behind its cache. Out of line, so that it takes no room in the frame of its caller.
#[inline(never)]
pub fn run<O, L>(ops: &O, call: Call, rules: CallRules<L::Output>, loader: L) -> Pinned<'_, O, L>
where
    O: Ops<Output = L::Output>,
    L: Future,
{
    let turn = Turn::new(call.into_miss());
    Box::pin(Running { loader: Some(loader), turn, ops, rules, results: Results::new(None) })
}

/// Advances a call until its function has to be polled or the answer is there.
#[inline(never)]
fn turn<O: Ops>(
    turn: &mut Turn,
    ops: &O,
    rules: CallRules<O::Output>,
    results: &mut Results<O::Output>,
    cx: &mut Context<'_>,
) -> Poll<Turned> {
    turn.poll(cx, &mut Typed::new(ops.ops(), rules, results))
}

/// Polls a function that verifies a hit. Its panic is not the caller's: there is no result then.
#[cold]
#[inline(never)]
fn poll_caught<R>(
    loader: Pin<&mut dyn Future<Output = R>>,
    cx: &mut Context<'_>,
    results: &mut Results<R>,
) -> Poll<()> {
    match caught(ErrorKind::Backend, "the function", || loader.poll(cx)) {
        Ok(polled) => polled.map(|result| results.result = Some(result)),
        Err(_) => Poll::Ready(()),
    }
}

impl<O, R, L> Future for Running<'_, O, R, L>
where
    O: Ops<Output = R>,
    L: Future<Output = R>,
{
    type Output = Reloaded<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reloaded<R>> {
        let mut this = self.project();
        loop {
            if !this.turn.runs() || this.loader.is_none() {
                match turn(this.turn, *this.ops, *this.rules, this.results, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Turned::Served(outcome)) => {
                        let Some(result) = this.results.result.take() else { return Poll::Pending };
                        return Poll::Ready(Reloaded { result, outcome });
                    }
                    Poll::Ready(Turned::Run) => {}
                }
            }
            let Some(loader) = this.loader.as_mut().as_pin_mut() else { return Poll::Pending };
            // Only around the poll: calls that the function makes in it are parts of its load, those of other tasks on
            // this thread are not.
            let entered = this.turn.enter();
            let polled = if this.turn.verifies() {
                poll_caught(loader, cx, this.results)
            } else {
                match loader.poll(&mut Context::from_waker(this.turn.waker(cx.waker()))) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(result) => {
                        this.results.result = Some(result);
                        Poll::Ready(())
                    }
                }
            };
            drop(entered);
            if polled.is_pending() {
                this.turn.pause();
                return Poll::Pending;
            }
            // Dropped before `finish`: what the function holds, such as a lock, must not be held while the engine
            // stores the result or waits for its backend.
            let loader = &mut this.loader;
            this.turn.drop_loader(&mut || loader.set(None));
        }
    }
}
