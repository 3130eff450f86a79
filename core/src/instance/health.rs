use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use retainit_plugin::{Error, ErrorKind};

use super::{Retainit, check};
use crate::engine::{Store, trial_key};
use crate::runtime::gather;

/// Health of an instance: whether everything that calls need works.
#[derive(Debug)]
#[non_exhaustive]
pub enum Health {
    /// Everything works.
    Healthy,
    /// Everything works, and there are notes.
    Noted {
        /// Ids in files that no function of the program has, with file, line and the nearest id, and settings whose
        /// effect differs from their text.
        notes: Vec<String>,
    },
    /// Parts do not work; calls go on without them.
    Degraded {
        /// Everything that does not work, with the reason: backends by their names, then functions and caches whose
        /// calls run uncached, as ``function `shop::user` ``, and the notes of [`Noted`](Health::Noted), as `note`.
        failing: Vec<(String, Error)>,
    },
}

impl Health {
    /// Returns true if everything works.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Health::Healthy | Health::Noted { .. })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Healthy => f.write_str("healthy"),
            Health::Noted { notes } => {
                f.write_str("healthy")?;
                notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
            Health::Degraded { failing } => {
                f.write_str("degraded")?;
                failing.iter().try_for_each(|(name, error)| write!(f, "; {name}: {error:#}"))
            }
        }
    }
}

/// The number of operations of calls that have to fail in a row to outweigh a trial that succeeds.
const IN_A_ROW: u32 = 3;

/// Checks the health of an instance.
pub(super) async fn of(instance: &Retainit) -> Health {
    let mut failing = Vec::new();
    let stores = instance.stores();
    let (side_by_side, ask) = (stores.len(), |store| problem_of(instance, store));
    failing.extend(gather(stores.into_iter().map(ask), side_by_side, |_| ()).await.into_iter().flatten());
    let functions = check::uncached(instance).into_iter();
    failing.extend(functions.map(|(id, error)| (format!("function `{id}`"), error)));
    let mut notes: Vec<_> = check::unknown_ids(instance).into_iter().map(|unknown| unknown.text).collect();
    notes.extend(instance.engine().bus().notes());
    match (failing.is_empty(), notes.is_empty()) {
        (true, true) => Health::Healthy,
        (true, false) => Health::Noted { notes },
        (false, _) => {
            failing.extend(notes.into_iter().map(|note| ("note".to_owned(), Error::new(ErrorKind::Config, note))));
            Health::Degraded { failing }
        }
    }
}

/// Tries a backend, and returns its name and the reason if it does not work.
async fn problem_of(instance: &Retainit, store: Arc<Store>) -> Option<(String, Error)> {
    let named = |error| (store.name.to_string(), error);
    let clock = &**instance.engine().clock();
    // Each trial has a key of its own: other processes and other calls may try at the same time.
    let trial = || trial_key(instance.engine().namespace(), RandomState::new().hash_one(0));
    if let Err(error) = store.health(trial).await {
        return Some(named(error));
    }
    let read = store.outcomes.read.recent(IN_A_ROW, clock);
    let read = read.map(|error| error.with_context("operation", "the last reads of calls"));
    let write = || store.outcomes.write.recent(IN_A_ROW, clock);
    read.or_else(|| write().map(|error| error.with_context("operation", "the last stores of calls"))).map(named)
}
