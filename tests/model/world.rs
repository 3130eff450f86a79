//! The surroundings of the code under test: time as a count of events, values with the time of their birth, places
//! where operations stop, and the judgement over answers.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::backends::OPERATION;
use crate::needless::Entries;
use crate::operations::{Answer, Cover, Operation, Target, What};

/// Numbers that look random and are the same in every run of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// State that the parts of a case share.
#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    faults: bool,
    random: Random,
    /// Number of events so far.
    time: u64,
    log: Vec<String>,
    values: Vec<Value>,
    invalidations: Vec<Invalidation>,
    stopped: Vec<Stopped>,
    /// Number of stops so far.
    stops: u64,
    /// Number of backend operations that have ended.
    ended: u64,
    /// Set while operations stop at all.
    stopping: bool,
    /// The operation that is being driven.
    driven: u64,
    entries: Entries,
    violations: Vec<String>,
}

/// A value: the number of its place in the list is the number that is cached.
#[derive(Debug)]
struct Value {
    target: Target,
    tags: Vec<String>,
    /// Time when the source was read, or the `set` acknowledged or given up; the end of time while it is under way.
    born: u64,
}

#[derive(Debug)]
struct Invalidation {
    cover: Cover,
    began: u64,
    ended: u64,
    /// Process in which the removal is pending, not acknowledged: its own reads of the store come after it.
    owed_by: Option<usize>,
    text: String,
}

#[derive(Debug)]
struct Stopped {
    number: u64,
    operation: u64,
    waker: Option<Waker>,
}

/// A place where something stopped, as the driver sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) number: u64,
    pub(crate) operation: u64,
}

/// Time for which the driver waits for an expected event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    pub(crate) fn new(seed: u64, faults: bool) -> Arc<World> {
        let state = State {
            faults,
            random: Random(seed),
            time: 0,
            log: Vec::new(),
            values: Vec::new(),
            invalidations: Vec::new(),
            stopped: Vec::new(),
            stops: 0,
            ended: 0,
            stopping: true,
            driven: 0,
            entries: Entries::default(),
            violations: Vec::new(),
        };
        Arc::new(World { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn random<T>(&self, choose: impl FnOnce(&mut Random) -> T) -> T {
        choose(&mut self.state().random)
    }

    pub(crate) fn note(&self, text: String) {
        self.state().note(text);
    }

    pub(crate) fn log(&self) -> String {
        self.state().log.join("\n")
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.state().violations.first().cloned()
    }

    pub(crate) fn complain(&self, text: String) {
        self.state().violations.push(text);
    }

    // ------------------------------------------------------------------------------------------------ operations

    /// Begins an operation and makes it the driven one.
    pub(crate) fn begin(&self, operation: u64, text: &str) -> u64 {
        let mut state = self.state();
        state.driven = operation;
        state.note(format!("#{operation} {text}"));
        state.time
    }

    pub(crate) fn drive(&self, operation: u64) {
        self.state().driven = operation;
    }

    /// Tells the entries in memory of something, with the operation that this code is part of.
    pub(crate) fn entries(&self, tell: impl FnOnce(&mut Entries, u64)) {
        let mut state = self.state();
        let operation = state.here();
        tell(&mut state.entries, operation);
    }

    /// Adds a value that somebody is about to set: it counts as older than nothing until that has ended.
    pub(crate) fn conceive(&self, target: Target, tags: Vec<String>) -> u64 {
        self.state().value(target, tags, u64::MAX)
    }

    /// Adds the value of a load that reads its source.
    pub(crate) fn bear(&self, target: Target, tags: Vec<String>) -> u64 {
        let mut state = self.state();
        let operation = state.here();
        let number = state.values.len();
        state.note(format!("   #{operation} reads {number} of {target}"));
        if state.entries.is_needless(operation) {
            let complaint = format!("#{operation} loads {target}, whose entry was there when it took its fence");
            state.note(format!("!! {complaint}"));
            state.violations.push(complaint);
        }
        let now = state.time;
        state.value(target, tags, now)
    }

    /// Ends an operation: its answer is judged by what was acknowledged before it began.
    pub(crate) fn end(&self, number: u64, began: u64, operation: &Operation, answer: &Answer) {
        let mut state = self.state();
        state.note(format!("#{number} {answer}"));
        let now = state.time;
        if let Some(value) = operation.sets {
            state.values[value as usize].born = now;
        }
        if let Some(value) = answer.value()
            && let Some(complaint) = state.judge(value, began, operation, answer)
        {
            state.note(format!("!! {complaint}"));
            state.violations.push(complaint);
        }
        let owed_by = match answer {
            Answer::Owed => Some(operation.process),
            // A refresh does not return whether its value could be stored; if not, the removal of what was there before
            // is pending.
            _ if state.faults && operation.what == What::Refresh => Some(operation.process),
            _ => None,
        };
        if let Some(cover) = operation.cover(answer) {
            let text = format!("#{number} {operation}");
            state.invalidations.push(Invalidation { cover, began, ended: now, owed_by, text });
        }
        drop(state);
        self.changed.notify_all();
    }

    // ----------------------------------------------------------------------------------------------------- stops

    /// Perhaps stops here, until the driver lets it go on.
    pub(crate) async fn stop(self: &Arc<Self>, place: &str) {
        let Some(number) = self.stops_at(place) else { return };
        let _gone = Gone { world: self, number };
        poll_fn(|cx| match self.state().stopped.iter_mut().find(|stopped| stopped.number == number) {
            Some(stopped) => {
                stopped.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await
    }

    /// Stops on a thread.
    pub(crate) fn stop_blocking(&self, place: &str) {
        let Some(number) = self.stops_at(place) else { return };
        let mut state = self.state();
        while state.stopped.iter().any(|stopped| stopped.number == number) {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn stops_at(&self, place: &str) -> Option<u64> {
        let mut state = self.state();
        if !state.stopping || !state.random.one_in(3) {
            return None;
        }
        let operation = state.here();
        state.note(format!("   #{operation} stops {place}"));
        state.stops += 1;
        let number = state.stops;
        state.stopped.push(Stopped { number, operation, waker: None });
        drop(state);
        self.changed.notify_all();
        Some(number)
    }

    /// Lists the operations that have stopped.
    pub(crate) fn stopped(&self) -> Vec<Stop> {
        self.state().stopped.iter().map(|s| Stop { number: s.number, operation: s.operation }).collect()
    }

    pub(crate) fn go_on(&self, stop: Stop) {
        let waker = {
            let mut state = self.state();
            state.driven = stop.operation;
            state.note(format!("   #{} goes on", stop.operation));
            let at = state.stopped.iter().position(|stopped| stopped.number == stop.number);
            at.and_then(|at| state.stopped.swap_remove(at).waker)
        };
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Lets nothing stop from now on.
    pub(crate) fn stop_no_more(&self) {
        self.state().stopping = false;
    }

    /// Counts an operation of a backend that has ended.
    pub(crate) fn backend_ended(&self) {
        self.state().ended += 1;
        self.changed.notify_all();
    }

    // --------------------------------------------------------------------------------------------------- waiting

    /// Returns counters of events, to compare later ones with.
    pub(crate) fn events(&self) -> (u64, u64) {
        let state = self.state();
        (state.stops, state.ended)
    }

    pub(crate) fn notify(&self) {
        // The lock orders this after a waiter's look at its condition.
        drop(self.state());
        self.changed.notify_all();
    }

    /// Waits until `come`, or something stopped since `stops`. False if neither happened in time.
    pub(crate) fn wait(&self, stops: u64, limit: Duration, come: impl Fn(u64) -> bool) -> bool {
        let until = later(limit);
        let mut state = self.state();
        while state.stops == stops && !come(state.ended) {
            let left = until.saturating_duration_since(later(Duration::ZERO));
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "a limit on waits for other threads, not time as the cache sees it")]
fn later(by: Duration) -> Instant {
    Instant::now() + by
}

impl State {
    fn note(&mut self, text: String) {
        self.time += 1;
        let line = format!("{:>4}  {text}", self.time);
        self.log.push(line);
    }

    /// Returns the operation that this code is part of, as far as can be known.
    fn here(&self) -> u64 {
        OPERATION.get().unwrap_or(self.driven)
    }

    fn value(&mut self, target: Target, tags: Vec<String>, born: u64) -> u64 {
        self.values.push(Value { target, tags, born });
        self.values.len() as u64 - 1
    }

    /// Returns why an answer may not be given.
    fn judge(&self, number: u64, began: u64, operation: &Operation, answer: &Answer) -> Option<String> {
        let Some(value) = self.values.get(number as usize) else {
            return Some(format!("{number} is no value at all"));
        };
        if Some(value.target) != operation.target {
            return Some(format!("{number} is a value of {}", value.target));
        }
        let counts = |invalidation: &&Invalidation| match invalidation.owed_by {
            None => true,
            Some(process) => process == operation.process && matches!(answer, Answer::Found(_)),
        };
        let older = self.invalidations.iter().filter(counts).find(|invalidation| {
            invalidation.ended <= began
                && value.born < invalidation.began
                && invalidation.cover.covers(value.target, &value.tags)
        })?;
        Some(format!("{number} was born at {} and invalidated by {} at {}", value.born, older.text, older.ended))
    }
}

/// Takes a stop off the list, also when what stopped is dropped.
struct Gone<'a> {
    world: &'a World,
    number: u64,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.world.state();
            let at = state.stopped.iter().position(|stopped| stopped.number == self.number);
            at.map(|at| state.stopped.swap_remove(at))
        };
        drop(gone);
    }
}
