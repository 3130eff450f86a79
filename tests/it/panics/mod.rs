//! Code of the user's that runs only because of the cache: its panics are the cache's affair, never the caller's.

mod backends;
mod drops;
mod keys;
mod others;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use retainit::{Event, EventKind, Retainit, Weigh};
use serde::{Deserialize, Serialize, Serializer};

use crate::common::soon;

/// Message of the panics that a test's own code raises.
pub(super) const TEXT: &str = "it falls";

/// Collects the errors of failed operations.
pub(super) fn failures(instance: &Retainit) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    instance.events().subscribe(EventKind::CacheError, move |event: &Event| {
        sink.lock().unwrap().push(event.error().unwrap_or_default().to_owned());
    });
    heard
}

/// Runs work that may neither panic nor be silent about a panic.
pub(super) fn told<T>(instance: &Retainit, work: impl FnOnce() -> T) -> T {
    let heard = failures(instance);
    let before = instance.stats().errors;
    let done = unharmed(work);
    instance.events().flush_blocking();
    let heard = heard.lock().unwrap();
    assert!(heard.iter().any(|error| error.contains(TEXT)), "told: {heard:?}");
    assert!(instance.stats().errors > before);
    done
}

/// Runs what may not panic.
pub(super) fn unharmed<T>(work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).expect("the panic is not the caller's")
}

pub(super) fn wait_for<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(soon(future))
}

/// A value that panics where it is set to.
#[derive(Debug)]
pub(super) struct Touchy {
    pub(super) id: u64,
    pub(super) falls: Falls,
    copies: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Falls {
    Never,
    /// Panics from the copy of this number on, counted from 1.
    Copied(u64),
    Written,
    Read,
    Compared,
    Weighed,
    Dropped,
}

impl Touchy {
    pub(super) fn new(id: u64, falls: Falls) -> Touchy {
        Touchy { id, falls, copies: Arc::default() }
    }
}

impl Clone for Touchy {
    fn clone(&self) -> Touchy {
        let number = self.copies.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(!matches!(self.falls, Falls::Copied(from) if number >= from), "{TEXT}");
        Touchy { id: self.id, falls: self.falls, copies: Arc::clone(&self.copies) }
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Touchy) -> bool {
        assert_ne!(self.falls, Falls::Compared, "{TEXT}");
        self.id == other.id
    }
}

impl Weigh for Touchy {
    fn weigh(&self) -> u64 {
        assert_ne!(self.falls, Falls::Weighed, "{TEXT}");
        8
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        assert_ne!(self.falls, Falls::Dropped, "{TEXT}");
    }
}

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.falls, Falls::Written, "{TEXT}");
        (self.id, self.falls).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, falls) = Deserialize::deserialize(deserializer)?;
        assert_ne!(falls, Falls::Read, "{TEXT}");
        Ok(Touchy::new(id, falls))
    }
}

/// Returns the id of a value and does not drop it: a returned value belongs to its caller.
pub(super) fn id_of(value: Touchy) -> u64 {
    std::mem::ManuallyDrop::new(value).id
}
