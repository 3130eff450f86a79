use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retainit_plugin::lock::{Condvar, Mutex};
use retainit_plugin::{Error, ErrorKind, Result};

/// An operation of a byte backend, as [`Faults`] distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `read` that looks, with or without the fence that is seen, and versions.
    Read,
    /// `read` that takes a fence.
    Take,
    /// `store`, under every condition.
    Store,
    /// `remove`, of one key or several.
    Remove,
    /// One page of `scan`.
    Scan,
    /// `raise` of a group's version.
    Raise,
    /// `renew` of a placeholder.
    Renew,
    /// `release` of a placeholder.
    Release,
    /// `health`.
    Health,
    /// All of them.
    All,
}

const OPS: usize = Op::All as usize + 1;

/// Delays, failures and counters of a [`ByteBackend`](crate::ByteBackend). Clones are one handle.
///
/// What is set for one operation and what is set for [`Op::All`] add up. Nothing is random: the next `n` calls fail,
/// not one in `n`.
///
/// ```
/// use retainit_testkit::{ByteConfig, Op};
///
/// let config = ByteConfig::new();
/// let faults = config.faults();
/// faults.fail(Op::Read, 2); // the next two reads fail, the third succeeds
/// assert_eq!(faults.calls(Op::All), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    healed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    faults: [Fault; OPS],
    calls: [u64; OPS],
    hung: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    delay: Duration,
    failures: u64,
    refusals: u64,
    denials: u64,
    breakdowns: u64,
    lost_answers: u64,
    hangs: bool,
}

/// Outcome of a call that has waited long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    Refuse,
    Deny,
    BreakDown,
    LoseAnswer,
}

impl Faults {
    /// Makes a set without faults.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Lets each call of `op` wait this long before it does anything. The async adapter waits in tokio's time, which
    /// `tokio::time::pause` stops; the blocking one sleeps. Zero ends it.
    pub fn delay(&self, op: Op, duration: Duration) {
        self.0.state.lock().faults[op as usize].delay = duration;
    }

    /// Lets the next `n` calls of `op` fail with [`ErrorKind::Unreachable`]; they do nothing else.
    pub fn fail(&self, op: Op, n: u64) {
        self.0.state.lock().faults[op as usize].failures = n;
    }

    /// Lets every call of `op` fail until [`heal`](Faults::heal).
    pub fn fail_always(&self, op: Op) {
        self.fail(op, u64::MAX);
    }

    /// Lets the next `n` calls of `op` fail with [`ErrorKind::Refused`], as a server does that is full: another try may
    /// succeed.
    pub fn refuse(&self, op: Op, n: u64) {
        self.0.state.lock().faults[op as usize].refusals = n;
    }

    /// Lets the next `n` calls of `op` fail with [`ErrorKind::Refused`], as a server does for want of a permission:
    /// another try cannot succeed, and the error says so.
    pub fn deny(&self, op: Op, n: u64) {
        self.0.state.lock().faults[op as usize].denials = n;
    }

    /// Lets the next `n` calls of `op` fail with [`ErrorKind::Backend`], as by a panic or an answer without sense.
    pub fn break_down(&self, op: Op, n: u64) {
        self.0.state.lock().faults[op as usize].breakdowns = n;
    }

    /// Lets calls of `op` wait until [`heal`](Faults::heal) and only then begin.
    pub fn hang(&self, op: Op) {
        self.0.state.lock().faults[op as usize].hangs = true;
    }

    /// Lets the next `n` calls of `op` do their work and then fail with [`ErrorKind::Unreachable`]: the caller cannot know
    /// whether it happened.
    pub fn lose_answer(&self, op: Op, n: u64) {
        self.0.state.lock().faults[op as usize].lost_answers = n;
    }

    /// Ends every fault and lets hanging calls go on. Counters stay.
    pub fn heal(&self) {
        let mut state = self.0.state.lock();
        state.faults = Default::default();
        let hung = std::mem::take(&mut state.hung);
        drop(state);
        self.0.healed.notify_all();
        hung.into_iter().for_each(Waker::wake);
    }

    /// Returns the number of calls of `op` since the last [`reset_calls`](Faults::reset_calls), failed ones included.
    pub fn calls(&self, op: Op) -> u64 {
        self.0.state.lock().calls[op as usize]
    }

    /// Begins to count anew.
    pub fn reset_calls(&self) {
        self.0.state.lock().calls = Default::default();
    }

    /// Counts a call of the async adapter, lets it wait, and decides its outcome.
    pub(crate) async fn admit(&self, op: Op) -> Result<Answer> {
        self.count(op);
        poll_fn(|context| self.poll_healed(op, context)).await;
        let delay = self.delay_of(op);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.verdict(op)
    }

    /// Admits a call as [`admit`](Faults::admit) does, on the caller's thread, which waits no longer than `wait` where
    /// it is set.
    pub(crate) fn admit_blocking(&self, op: Op, wait: Option<Duration>) -> Result<Answer> {
        self.count(op);
        let mut state = self.0.state.lock();
        while state.hangs(op) {
            let is_over;
            (state, is_over) = match wait {
                None => (self.0.healed.wait(state), false),
                Some(wait) => self.0.healed.wait_for(state, wait),
            };
            if let (true, Some(wait)) = (is_over, wait) {
                return Err(waited(op, wait));
            }
        }
        drop(state);
        let delay = self.delay_of(op);
        if !delay.is_zero() {
            std::thread::sleep(wait.map_or(delay, |wait| wait.min(delay)));
        }
        match wait {
            Some(wait) if delay > wait => Err(waited(op, wait)),
            _ => self.verdict(op),
        }
    }

    fn count(&self, op: Op) {
        let mut state = self.0.state.lock();
        state.calls[op as usize] += 1;
        state.calls[Op::All as usize] += 1;
    }

    fn poll_healed(&self, op: Op, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        if !state.hangs(op) {
            return Poll::Ready(());
        }
        if !state.hung.iter().any(|waker| waker.will_wake(context.waker())) {
            state.hung.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn delay_of(&self, op: Op) -> Duration {
        let state = self.0.state.lock();
        state.faults[op as usize].delay + state.faults[Op::All as usize].delay
    }

    fn verdict(&self, op: Op) -> Result<Answer> {
        match self.0.state.lock().take_verdict(op) {
            Verdict::Pass => Ok(Answer { lost: false }),
            Verdict::LoseAnswer => Ok(Answer { lost: true }),
            Verdict::Fail => Err(injected(ErrorKind::Unreachable, op, "failure")),
            Verdict::Refuse => Err(injected(ErrorKind::Refused, op, "refusal")),
            Verdict::Deny => Err(injected(ErrorKind::Refused, op, "denial").with_retryable(false)),
            Verdict::BreakDown => Err(injected(ErrorKind::Backend, op, "breakdown")),
        }
    }
}

impl State {
    fn hangs(&self, op: Op) -> bool {
        self.faults[op as usize].hangs || self.faults[Op::All as usize].hangs
    }

    fn take_verdict(&mut self, op: Op) -> Verdict {
        let mut take = |of: fn(&mut Fault) -> &mut u64| {
            [op, Op::All].into_iter().any(|op| take_one(of(&mut self.faults[op as usize])))
        };
        if take(|fault| &mut fault.failures) {
            Verdict::Fail
        } else if take(|fault| &mut fault.refusals) {
            Verdict::Refuse
        } else if take(|fault| &mut fault.denials) {
            Verdict::Deny
        } else if take(|fault| &mut fault.breakdowns) {
            Verdict::BreakDown
        } else if take(|fault| &mut fault.lost_answers) {
            Verdict::LoseAnswer
        } else {
            Verdict::Pass
        }
    }
}

/// Decides whether a call that was let through may return its outcome.
#[derive(Debug)]
#[must_use]
pub(crate) struct Answer {
    lost: bool,
}

impl Answer {
    pub(crate) fn deliver<T>(self, op: Op, outcome: Result<T>) -> Result<T> {
        if self.lost { Err(injected(ErrorKind::Unreachable, op, "loss of the answer")) } else { outcome }
    }
}

fn take_one(left: &mut u64) -> bool {
    let any = *left > 0;
    if any && *left != u64::MAX {
        *left -= 1;
    }
    any
}

fn waited(op: Op, wait: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{op:?} has waited {wait:?}"))
}

fn injected(kind: ErrorKind, op: Op, what: &str) -> Error {
    Error::new(kind, format!("injected {what} of {op:?}"))
}
