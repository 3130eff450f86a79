//! Loads that wait inside loads: who waits for whom, so that none waits for itself.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::mem::ManuallyDrop;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::Id;
use crate::runtime::Inside;

type Links = ManuallyDrop<RefCell<SmallVec<[Id; 16]>>>;

thread_local! {
    /// The loads that are being polled on this thread, outermost first.
    ///
    /// Never dropped, so that it is there in destructors of other thread-locals too; it is empty, and holds no memory,
    /// when nothing is being polled.
    static CHAIN: Links = Links::default();
}

/// Who waits for whom, as far as loads wait inside loads.
static WAITS: Mutex<Option<HashMap<Id, Vec<Id>>>> = Mutex::new(None);

/// Loads under whose poll this code runs.
#[derive(Debug)]
pub(crate) struct Chain(usize);

/// Waiting would close a circle.
#[derive(Debug)]
pub(super) struct Circle;

impl Chain {
    /// Marks what runs until the drop as part of these loads.
    pub(crate) fn enter(ids: &[Id]) -> Chain {
        let entered = CHAIN.try_with(|chain| chain.borrow_mut().extend_from_slice(ids));
        Chain(if entered.is_ok() { ids.len() } else { 0 })
    }

    /// The loads this code is part of.
    pub(crate) fn current() -> Vec<Id> {
        CHAIN.try_with(|chain| chain.borrow().to_vec()).unwrap_or_default()
    }

    /// Whether this code is part of no load.
    pub(crate) fn is_empty() -> bool {
        CHAIN.try_with(|chain| chain.borrow().is_empty()).unwrap_or(true)
    }

    /// Notes that every load this code is part of waits for `target`, unless that closes a circle.
    pub(super) fn edges_to(target: Id) -> Result<Edges, Circle> {
        let from = Chain::current();
        if from.is_empty() {
            return Ok(Edges::default());
        }
        let mut waits = WAITS.lock();
        let waits = waits.get_or_insert_default();
        let (mut open, mut seen) = (vec![target], HashSet::new());
        while let Some(id) = open.pop() {
            if from.contains(&id) {
                return Err(Circle);
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

impl Drop for Chain {
    fn drop(&mut self) {
        let own = self.0;
        let take_off = |chain: &Links| {
            let mut chain = chain.borrow_mut();
            let rest = chain.len().saturating_sub(own);
            chain.truncate(rest);
            if rest == 0 && chain.spilled() {
                *chain = SmallVec::new();
            }
        };
        CHAIN.try_with(take_off).ok();
    }
}

/// Runs a load that nobody can join, so that calls inside it know they are inside one.
pub(crate) async fn apart<F: Future>(load: F) -> F::Output {
    let id = Id::new();
    Inside::new(load, move || Chain::enter(&[id])).await
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
        let mut waits = WAITS.lock();
        let waits = waits.get_or_insert_default();
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
