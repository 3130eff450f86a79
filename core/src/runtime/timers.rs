use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use retainit_plugin::{Clock, Moment};

use crate::engine::flight::Alarm;

/// The maintenance thread's agenda: alarms of flights, and sweeps of expired entries.
///
/// The thread starts with the first thing to do and ends when its instance is gone or closed.
#[derive(Debug)]
pub(crate) struct Timers {
    clock: Arc<dyn Clock>,
    /// How long the thread sleeps at most while something is due by a clock that is moved by hand.
    slice: Option<Duration>,
    agenda: Mutex<Agenda>,
    changed: Condvar,
    me: Weak<Timers>,
}

#[derive(Debug, Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<Item>>,
    next: u64,
    running: bool,
    closed: bool,
}

/// Something to be done at its time.
pub(crate) enum Task {
    /// Look after a flight.
    Alarm(Alarm),
    /// Sweep; gives the moment of the next sweep.
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
            slice: manual.then_some(Duration::from_millis(5)),
            agenda: Mutex::default(),
            changed: Condvar::new(),
            me: me.clone(),
        })
    }

    /// Rings an alarm at its time, or soon after.
    pub(crate) fn at(&self, due: Moment, alarm: Alarm) {
        self.add(due, Task::Alarm(alarm));
    }

    pub(crate) fn add(&self, due: Moment, task: Task) {
        let mut agenda = self.agenda.lock();
        if agenda.closed {
            return;
        }
        agenda.next += 1;
        let order = agenda.next;
        let first = agenda.heap.peek().is_none_or(|Reverse(item)| due < item.due);
        agenda.heap.push(Reverse(Item { due, order, task }));
        if !agenda.running {
            agenda.running = true;
            let timers = self.me.clone();
            let thread = std::thread::Builder::new().name("retainit-maintenance".into());
            if let Err(error) = thread.spawn(move || run(&timers)) {
                agenda.running = false;
                tracing::warn!(%error, "the maintenance thread could not be started");
            }
        } else if first {
            self.changed.notify_one();
        }
    }

    /// Drops the agenda and ends the thread.
    pub(crate) fn close(&self) {
        let mut agenda = self.agenda.lock();
        agenda.closed = true;
        let heap = std::mem::take(&mut agenda.heap);
        drop(agenda);
        drop(heap);
        self.changed.notify_all();
    }
}

/// An idle thread ends after this long; the next alarm starts another.
const IDLE: Duration = Duration::from_secs(10);

fn run(timers: &Weak<Timers>) {
    while let Some(timers) = timers.upgrade() {
        if !timers.turn() {
            return;
        }
    }
}

impl Timers {
    /// Does what is due and sleeps once. False when the thread is to end.
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
                drop(agenda);
                self.perform(item.task, now);
            }
            Some(Reverse(item)) => {
                let wait = item.due.since(now).min(Duration::from_secs(1));
                let wait = self.slice.map_or(wait, |slice| slice.min(wait));
                self.changed.wait_for(&mut agenda, wait);
            }
            None => {
                let timed_out = self.changed.wait_for(&mut agenda, IDLE).timed_out();
                if timed_out && agenda.heap.is_empty() {
                    agenda.running = false;
                    return false;
                }
            }
        }
        true
    }

    fn perform(&self, task: Task, now: Moment) {
        match task {
            Task::Alarm(alarm) => alarm.ring(now),
            Task::Sweep(sweep) => {
                let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sweep(now)));
                if let Ok(Some(next)) = next {
                    self.add(next, Task::Sweep(sweep));
                }
            }
        }
    }
}
