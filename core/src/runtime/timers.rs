use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use retainit_plugin::lock::{Condvar, Mutex};
use retainit_plugin::{Clock, ErrorKind, Moment, Process, caught};

use super::{Rarely, quietly};

/// Agenda of the maintenance thread: alarms of flights, and sweeps of expired entries.
///
/// The thread starts with the first task and ends when its instance is gone or closed.
#[derive(Debug)]
pub(crate) struct Timers {
    clock: Arc<dyn Clock>,
    /// Limiter of the warning that the thread could not be started.
    warned: Rarely,
    /// Limit on the thread's sleep while a clock moved by hand has something due.
    slice: Option<Duration>,
    agenda: Mutex<Agenda>,
    changed: Condvar,
    /// Process whose thread it is. In a forked child there is none, and the lock may be held for good.
    process: Process,
    me: Weak<Timers>,
}

#[derive(Debug, Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<Item>>,
    /// Number of items at which those of ended flights are removed.
    purge_at: usize,
    next: u64,
    running: bool,
    closed: bool,
}

/// A task that is performed at its time unless it is over by then.
pub(crate) trait Alarm: Send {
    /// Returns true while there is something to do.
    fn is_live(&self) -> bool;

    /// Performs the task.
    fn ring(&self, now: Moment);
}

/// A task with its time.
pub(crate) enum Task {
    /// Rings an alarm.
    Alarm(Box<dyn Alarm>),
    /// Sweeps, and returns the moment of the next sweep.
    Sweep(Box<dyn Fn(Moment) -> Option<Moment> + Send>),
}

struct Item {
    due: Moment,
    order: u64,
    task: Task,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Item").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Timers {
    pub(crate) fn new(clock: Arc<dyn Clock>, manual: bool) -> Arc<Timers> {
        Arc::new_cyclic(|me| Timers {
            clock,
            warned: Rarely::default(),
            slice: manual.then_some(Duration::from_millis(5)),
            agenda: Mutex::default(),
            changed: Condvar::new(),
            process: Process::current(),
            me: me.clone(),
        })
    }

    /// Adds an alarm that rings at its time, or soon after.
    pub(crate) fn at(&self, due: Moment, alarm: impl Alarm + 'static) {
        self.add(due, Task::Alarm(Box::new(alarm)));
    }

    pub(crate) fn add(&self, due: Moment, task: Task) {
        if !self.process.is_current() {
            return;
        }
        let mut agenda = self.agenda.lock();
        if agenda.closed {
            return;
        }
        agenda.next += 1;
        let order = agenda.next;
        let first = agenda.heap.peek().is_none_or(|Reverse(item)| due < item.due);
        // Before the push, which would otherwise grow the heap that the purge shrinks.
        agenda.purge();
        agenda.heap.push(Reverse(Item { due, order, task }));
        if !agenda.running {
            agenda.running = true;
            let timers = self.me.clone();
            let thread = std::thread::Builder::new().name("retainit-maintenance".into());
            if let Err(error) = thread.spawn(move || run(&timers)) {
                agenda.running = false;
                if self.warned.now(&*self.clock) {
                    quietly(
                        || tracing::warn!(target: "retainit", %error, "the maintenance thread could not be started"),
                    );
                }
            }
        } else if first {
            // The thread sleeps until the item that was first before; a later one needs no wake.
            self.changed.notify_one();
        }
    }

    /// Drops the agenda and ends the thread.
    pub(crate) fn close(&self) {
        let mut agenda = self.agenda.lock();
        agenda.closed = true;
        let heap = std::mem::take(&mut agenda.heap);
        // Without the lock: alarms hold futures and values of the program, whose destructors may come back here.
        drop(agenda);
        drop(heap);
        self.changed.notify_all();
    }
}

/// Number of items up to which no purge is needed.
const SMALL: usize = 1_024;

impl Agenda {
    /// Removes alarms of ended flights once there are twice as many items as the last purge left. Each load with
    /// waiting callers sets an alarm, mostly for a minute later, and most loads end at once.
    fn purge(&mut self) {
        if self.heap.len() < self.purge_at.max(SMALL) {
            return;
        }
        self.heap.retain(|Reverse(item)| match &item.task {
            Task::Alarm(alarm) => alarm.is_live(),
            Task::Sweep(_) => true,
        });
        self.heap.shrink_to(self.heap.len() * 2);
        self.purge_at = self.heap.len() * 2;
    }
}

/// Time after which an idle thread ends; the next task starts another.
const IDLE: Duration = Duration::from_secs(10);

fn run(timers: &Weak<Timers>) {
    while let Some(timers) = timers.upgrade() {
        if !timers.turn() {
            return;
        }
    }
}

impl Timers {
    /// Performs the first task that is due, or sleeps once. Returns `false` when the thread is to end.
    fn turn(&self) -> bool {
        let now = self.clock.now();
        let mut agenda = self.agenda.lock();
        if agenda.closed {
            agenda.running = false;
            return false;
        }
        match agenda.heap.peek() {
            Some(Reverse(item)) if item.due <= now => {
                let Some(Reverse(item)) = agenda.heap.pop() else {
                    return true;
                };
                // Without the lock: the task may add another.
                drop(agenda);
                self.perform(item.task, now);
            }
            Some(Reverse(item)) => {
                // A bounded sleep: `run` has to notice that the instance is gone, and the clock may run apart from the
                // thread's.
                let wait = item.due.since(now).min(Duration::from_secs(1));
                let wait = self.slice.map_or(wait, |slice| slice.min(wait));
                drop(self.changed.wait_for(agenda, wait));
            }
            None => {
                let (mut agenda, timed_out) = self.changed.wait_for(agenda, IDLE);
                if timed_out && agenda.heap.is_empty() {
                    // Under the lock, so that the next `add` starts a thread.
                    agenda.running = false;
                    return false;
                }
            }
        }
        true
    }

    fn perform(&self, task: Task, now: Moment) {
        // Both run code of others: wakers, and destructors of values. The thread has to survive their panics.
        match task {
            Task::Alarm(alarm) => drop(caught(ErrorKind::Backend, "an alarm", || alarm.ring(now))),
            Task::Sweep(sweep) => {
                let next = caught(ErrorKind::Backend, "a sweep", || sweep(now));
                if let Ok(Some(next)) = next {
                    self.add(next, Task::Sweep(sweep));
                }
            }
        }
    }
}

#[cfg(test)]
impl Timers {
    /// Makes timers without a thread: tests perform what is due.
    pub(crate) fn idle(clock: Arc<dyn Clock>) -> Arc<Timers> {
        let timers = Timers::new(clock, true);
        timers.agenda.lock().running = true;
        timers
    }

    /// Performs all due tasks and returns their number.
    pub(crate) fn ring_due(&self) -> usize {
        let (now, mut rung) = (self.clock.now(), 0);
        loop {
            let mut agenda = self.agenda.lock();
            if agenda.heap.peek().is_none_or(|Reverse(item)| item.due > now) {
                return rung;
            }
            let Reverse(item) = agenda.heap.pop().expect("it was there under the same lock");
            drop(agenda);
            self.perform(item.task, now);
            rung += 1;
        }
    }

    /// Returns the number of tasks on the agenda.
    pub(crate) fn len(&self) -> usize {
        self.agenda.lock().heap.len()
    }
}
