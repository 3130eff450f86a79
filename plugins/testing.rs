//! Tests of programs with retained functions: an instance for each test, time that is moved by hand, recorded events.
//!
//! The guide is `docs/testing.md`; in short:
//!
//! ```
//! use std::time::Duration;
//! use retainit::retain;
//!
//! #[retain(ttl = "5m")]
//! fn rate(currency: &str) -> u32 {
//!     currency.len() as u32
//! }
//!
//! // #[test], or #[tokio::test] of any flavor
//! fn a_rate_expires() {
//!     let cache = retainit::testing::isolated();
//!     rate("EUR");
//!     rate("EUR");
//!     cache.clock().advance(Duration::from_secs(300));
//!     rate("EUR");
//!     assert_eq!((rate::cache().stats().hits, rate::cache().stats().misses), (1, 2));
//! }
//! # a_rate_expires();
//! # a_rate_expires();
//! ```

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

pub use retainit_core::{InstanceGuard, use_instance};
pub use retainit_testkit::{ByteConfig, Faults, Op};

use retainit_core::{Event, EventKinds, Events, Retainit, Subscription};
use retainit_testkit::ManualClock;

/// An instance of one test, in use until it is dropped; made by [`isolated`].
///
/// It is a [`Retainit`] too: `cache.stats()`, `cache.events()`, `cache.invalidate_tag(…)`.
#[derive(Debug)]
#[must_use = "the instance is in use until it is dropped: `let _cache = …`"]
pub struct Isolated {
    retainit: Retainit,
    clock: ManualClock,
    _guard: InstanceGuard,
}

/// Lets this test have a cache of its own, empty and in memory, until the returned guard is dropped.
///
/// It is used by everything on the tokio runtime on which this is called, spawned tasks and blocking threads included,
/// or without a runtime by this thread: see [`use_instance`]. Tests of one binary therefore run in parallel, each with
/// its own entries and counters.
///
/// Its settings are those of [`init_test`](crate::init_test), with a clock that only [`advance`](ManualClock::advance)
/// moves, and keys in plain text in events.
///
/// # Panics
///
/// Panics without the feature `memory`.
#[cfg(feature = "memory")]
pub fn isolated() -> Isolated {
    let clock = ManualClock::new();
    let builder = crate::presets::test().builder().clock(clock.clone()).event_keys(crate::EventKeys::Plain);
    let retainit = crate::presets::in_memory(builder).build().expect("it reads neither files nor the environment");
    Isolated { _guard: use_instance(&retainit), retainit, clock }
}

impl Isolated {
    /// Returns the clock of the instance, to be moved by hand.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

impl Deref for Isolated {
    type Target = Retainit;

    fn deref(&self) -> &Retainit {
        &self.retainit
    }
}

/// Events of an instance, recorded until it is dropped; made by [`record`].
#[derive(Debug)]
pub struct Recorded {
    events: Events,
    seen: Arc<Mutex<Vec<Event>>>,
    subscription: Subscription,
}

/// Records the events of these kinds from now on.
///
/// ```
/// use retainit::{EventKind, retain, testing};
///
/// #[retain]
/// fn double(number: u32) -> u32 {
///     number * 2
/// }
///
/// let cache = testing::isolated();
/// let recorded = testing::record(&cache, [EventKind::CacheHit, EventKind::CacheMiss]);
/// double(4);
/// double(4);
/// let kinds: Vec<_> = recorded.take().iter().map(|event| event.kind()).collect();
/// assert_eq!(kinds, [EventKind::CacheMiss, EventKind::CacheHit]);
/// ```
pub fn record(retainit: &Retainit, kinds: impl Into<EventKinds>) -> Recorded {
    let (events, seen) = (retainit.events(), Arc::<Mutex<Vec<Event>>>::default());
    let handler = {
        let seen = Arc::clone(&seen);
        move |event: &Event| seen.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone())
    };
    let subscription = events.subscribe(kinds, handler);
    Recorded { events, seen, subscription }
}

impl Recorded {
    /// Returns the events since the last call of this, in order. Waits until those so far are recorded.
    pub fn take(&self) -> Vec<Event> {
        self.events.flush_blocking();
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.subscription.unsubscribe();
    }
}
