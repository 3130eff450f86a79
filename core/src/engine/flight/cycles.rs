//! Tracks loads that wait for other loads, so that none waits for itself.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::mem::ManuallyDrop;

use retainit_plugin::PerProcess;
use retainit_plugin::lock::Mutex;
use smallvec::SmallVec;

use super::Id;

type Links = ManuallyDrop<RefCell<SmallVec<[Id; 16]>>>;

thread_local! {
    /// Loads that are being polled on this thread, outermost first.
    ///
    /// Never dropped, so that destructors of other thread-locals can use it too. It is empty, and holds no memory, when
    /// nothing is being polled.
    static LOAD_STACK: Links = Links::default();
}

/// Graph of the loads that wait: each load, with the loads that it waits for.
static WAITS: PerProcess<Mutex<HashMap<Id, Vec<Id>>>> = PerProcess::new(Mutex::default);

/// Loads that this thread is part of until the value is dropped.
#[derive(Debug)]
pub(crate) struct LoadStack(usize);

/// Refuses to wait, because that would close a cycle of loads that wait for each other.
#[derive(Debug)]
pub(super) struct Cycle;

impl LoadStack {
    /// Makes everything that runs on this thread until the drop a part of these loads.
    pub(crate) fn enter(ids: &[Id]) -> LoadStack {
        if ids.is_empty() {
            return LoadStack(0);
        }
        let entered = LOAD_STACK.try_with(|stack| stack.borrow_mut().extend_from_slice(ids));
        LoadStack(if entered.is_ok() { ids.len() } else { 0 })
    }

    /// Pushes one load, until [`LoadStack::leave`] removes it: between the two calls of the engine that enclose a sync
    /// function, no value of the engine is on the stack whose drop could.
    pub(crate) fn stay(id: Id) {
        LOAD_STACK.try_with(|stack| stack.borrow_mut().push(id)).ok();
    }

    /// Removes the load that [`LoadStack::stay`] pushed last.
    pub(crate) fn leave() {
        drop(LoadStack(1));
    }

    /// Returns the loads that this code is part of.
    pub(crate) fn current() -> Vec<Id> {
        LOAD_STACK.try_with(|stack| stack.borrow().to_vec()).unwrap_or_default()
    }

    /// Returns true if this code is part of no load.
    pub(crate) fn is_empty() -> bool {
        LOAD_STACK.try_with(|stack| stack.borrow().is_empty()).unwrap_or(true)
    }

    /// Notes that every load this code is part of waits for `target`, unless that closes a cycle.
    pub(super) fn edges_to(target: Id) -> Result<Edges, Cycle> {
        let from = LoadStack::current();
        if from.is_empty() {
            return Ok(Edges::default());
        }
        // Search and insertion under one lock: two loads that begin to wait for each other at once would else both find
        // no cycle, and both wait for ever.
        let mut waits = WAITS.get().lock();
        let (mut open, mut seen) = (vec![target], HashSet::new());
        while let Some(id) = open.pop() {
            if from.contains(&id) {
                return Err(Cycle);
            }
            if seen.insert(id)
                && let Some(next) = waits.get(&id)
            {
                open.extend_from_slice(next);
            }
        }
        for id in &from {
            waits.entry(*id).or_default().push(target);
        }
        Ok(Edges { from, to: Some(target) })
    }
}

impl Drop for LoadStack {
    fn drop(&mut self) {
        let own = self.0;
        if own == 0 {
            return;
        }
        let take_off = |stack: &Links| {
            let mut stack = stack.borrow_mut();
            let rest = stack.len().saturating_sub(own);
            stack.truncate(rest);
            if rest == 0 && stack.spilled() {
                *stack = SmallVec::new();
            }
        };
        LOAD_STACK.try_with(take_off).ok();
    }
}

#[derive(Debug, Default)]
pub(super) struct Edges {
    from: Vec<Id>,
    to: Option<Id>,
}

impl Drop for Edges {
    fn drop(&mut self) {
        let (Some(to), false) = (self.to, self.from.is_empty()) else {
            return;
        };
        let mut waits = WAITS.get().lock();
        for id in &self.from {
            if let Some(targets) = waits.get_mut(id) {
                if let Some(at) = targets.iter().position(|target| *target == to) {
                    targets.swap_remove(at);
                }
                if targets.is_empty() {
                    waits.remove(id);
                }
            }
        }
    }
}
