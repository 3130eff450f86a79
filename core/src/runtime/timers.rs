use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use retainit_plugin::{Clock, ErrorKind, Moment, caught};

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
    /// How many items there may be before those of ended flights are thrown out.
    purge_at: usize,
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
        agenda.purge();
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

/// So few items need no purge.
const SMALL: usize = 1_024;

impl Agenda {
    /// An alarm is set for each load that others wait for, mostly for a minute from now, and most loads end at once:
    /// their alarms go when there are as many again as were left the last time.
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
        // Both run code of others: wakers, and destructors of values. The thread has to survive its panics.
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
    /// Without a thread: tests do what is due themselves.
    pub(crate) fn idle(clock: Arc<dyn Clock>) -> Arc<Timers> {
        let timers = Timers::new(clock, true);
        timers.agenda.lock().running = true;
        timers
    }

    /// Does what is due and says how much that was.
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

    /// How much is on the agenda.
    pub(crate) fn len(&self) -> usize {
        self.agenda.lock().heap.len()
    }
}
