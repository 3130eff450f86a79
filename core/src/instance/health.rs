use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use retainit_plugin::Error;

use super::{Retainit, check};
use crate::breaker::BreakerState;
use crate::engine::{Store, trial_key};
use crate::runtime::gather;

/// Health of an instance: whether everything that calls need works.
#[derive(Debug)]
#[non_exhaustive]
pub struct Health {
    /// State of every backend.
    pub backends: Vec<BackendHealth>,
    /// Everything that does not work, with the reason: backends by their names, then functions and caches whose calls run
    /// uncached, as ``function `shop::user` ``. Calls go on without it.
    pub failing: Vec<(String, Error)>,
    /// Ids in files that no function of the program has, with file, line and the nearest id, and settings whose effect
    /// differs from their text. They make nothing unhealthy.
    pub notes: Vec<String>,
}

/// State of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendHealth {
    /// Its name.
    pub name: String,
    /// False while its breaker is open, or where it gave no answer just now.
    pub is_reachable: bool,
    /// State of its circuit breaker; `None` for a backend in memory, which has none.
    pub breaker: Option<BreakerState>,
    /// Number of removals that it has not acknowledged. While there are any, calls go without it.
    pub pending: usize,
}

impl Health {
    /// Returns true if everything works.
    pub fn is_healthy(&self) -> bool {
        self.failing.is_empty()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_healthy() { "healthy" } else { "degraded" })?;
        self.failing.iter().try_for_each(|(name, error)| write!(f, "; {name}: {error:#}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "; note: {note}"))
    }
}

impl fmt::Display for BackendHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = if self.is_reachable { "reachable" } else { "unreachable" };
        write!(f, "{}: {reached}", self.name)?;
        if let Some(breaker) = self.breaker {
            write!(f, ", breaker {breaker}, {} pending", self.pending)?;
        }
        Ok(())
    }
}

/// The number of operations of calls that have to fail in a row to outweigh a trial that succeeds.
const IN_A_ROW: u32 = 3;

/// Checks the health of an instance.
pub(super) async fn of(instance: &Retainit) -> Health {
    let (mut backends, mut failing) = (Vec::new(), Vec::new());
    let stores = instance.stores();
    let (side_by_side, ask) = (stores.len(), |store| of_backend(instance, store));
    for (backend, problem) in gather(stores.into_iter().map(ask), side_by_side, |_| ()).await {
        failing.extend(problem.map(|error| (backend.name.clone(), error)));
        backends.push(backend);
    }
    let functions = check::uncached(instance).into_iter();
    failing.extend(functions.map(|(id, error)| (format!("function `{id}`"), error)));
    let mut notes: Vec<_> = check::unknown_ids(instance).into_iter().map(|unknown| unknown.text).collect();
    notes.extend(instance.engine().bus().notes());
    Health { backends, failing, notes }
}

/// Tries a backend, and returns its state with the reason if it does not work. One that calls go without is not tried.
async fn of_backend(instance: &Retainit, store: Arc<Store>) -> (BackendHealth, Option<Error>) {
    let problem = problem_of(instance, &store).await;
    // After the trial, which may have opened the breaker.
    let (breaker, pending) = store.availability().map_or((None, 0), |(breaker, pending)| (Some(breaker), pending));
    let is_reachable = !problem.as_ref().is_some_and(Error::is_unreachable);
    let backend = BackendHealth { name: store.name.to_string(), is_reachable, breaker, pending };
    let problem = problem.map(|error| match (breaker, pending) {
        (None | Some(BreakerState::Closed), 0) => error,
        (_, 0) => error.with_context("breaker", backend.breaker.map_or("none", BreakerState::as_str)),
        (_, pending) => error.with_context("pending removals", pending.to_string()),
    });
    (backend, problem)
}

/// Tries a backend, and returns the reason if it does not work.
async fn problem_of(instance: &Retainit, store: &Store) -> Option<Error> {
    let clock = &**instance.engine().clock();
    // Each trial has a key of its own: other processes and other calls may try at the same time.
    let trial = || trial_key(instance.engine().namespace(), RandomState::new().hash_one(0));
    if let Err(error) = store.health(trial).await {
        return Some(error);
    }
    let read = store.outcomes.read.recent(IN_A_ROW, clock);
    let read = read.map(|error| error.with_context("operation", "the last reads of calls"));
    let write = || store.outcomes.write.recent(IN_A_ROW, clock);
    read.or_else(|| write().map(|error| error.with_context("operation", "the last stores of calls")))
}
