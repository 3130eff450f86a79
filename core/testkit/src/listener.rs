use std::sync::Arc;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Context, Error, ErrorKind, Listener, Removal, RemovalCause};

use crate::ManualClock;

/// A listener that records the reports of a backend. Clones are one listener.
///
/// ```
/// use retainit_plugin::{Error, ErrorKind, Listener};
/// use retainit_testkit::{Notice, Recorder};
///
/// let recorder = Recorder::new();
/// recorder.failed("sweep", &Error::new(ErrorKind::Backend, "no space"));
/// assert_eq!(recorder.removals(), []);
/// assert!(matches!(&recorder.notices()[..], [Notice::Failed { operation: "sweep", .. }]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    removals: Vec<Removed>,
    evicted: Vec<String>,
    notices: Vec<Notice>,
}

/// A removal that was reported to a [`Recorder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Cause of the removal.
    pub cause: RemovalCause,
    /// The function or cache it belonged to.
    pub site: u32,
    /// The canonical bytes of its key.
    pub key: Vec<u8>,
}

/// Any other report of a backend to a [`Recorder`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The backend has filled to nine tenths.
    NearCapacity {
        /// Used amount, in the unit of the bound.
        used: u64,
        /// The bound.
        capacity: u64,
    },
    /// A failed operation that no caller waits for.
    Failed {
        /// Name of the failed operation.
        operation: &'static str,
        /// Kind of the error.
        kind: ErrorKind,
        /// Text of the error.
        message: String,
    },
}

impl Recorder {
    /// Makes a listener without records.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// Returns the removals so far, in the order of their reports.
    pub fn removals(&self) -> Vec<Removed> {
        self.0.lock().removals.clone()
    }

    /// Takes the removals since the last call; the recorder forgets them.
    pub fn take_removals(&self) -> Vec<Removed> {
        std::mem::take(&mut self.0.lock().removals)
    }

    /// Returns the causes of all removals of one key, in the order of their reports.
    pub fn causes(&self, site: u32, key: &[u8]) -> Vec<RemovalCause> {
        let heard = self.0.lock();
        let of_key = heard.removals.iter().filter(|r| r.site == site && r.key == key);
        of_key.map(|removed| removed.cause).collect()
    }

    /// Returns the full keys of all entries a byte backend has evicted, in the order of their reports.
    pub fn evicted(&self) -> Vec<String> {
        self.0.lock().evicted.clone()
    }

    /// Returns all reports but removals, in their order.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.lock().notices.clone()
    }
}

impl Listener for Recorder {
    fn removed(&self, removal: Removal<'_>) {
        let (site, key) = (removal.entry.site, removal.entry.key.to_vec());
        self.0.lock().removals.push(Removed { cause: removal.cause, site, key });
    }

    fn evicted(&self, key: &str) {
        self.0.lock().evicted.push(key.to_owned());
    }

    fn near_capacity(&self, used: u64, capacity: u64) {
        self.0.lock().notices.push(Notice::NearCapacity { used, capacity });
    }

    fn failed(&self, operation: &'static str, error: &Error) {
        let (kind, message) = (error.kind(), error.report());
        self.0.lock().notices.push(Notice::Failed { operation, kind, message });
    }
}

/// Makes the context of a backend for tests that neither move time nor listen.
///
/// ```
/// use retainit_plugin::BackendConfig;
/// use retainit_testkit::{ByteConfig, context};
///
/// let backend = ByteConfig::new().build(context("main")).expect("the configuration is sound");
/// # let _ = backend;
/// ```
pub fn context(name: &str) -> Context {
    observed(name).0
}

/// Makes a context with the clock and the listener in it, for tests that move time and look at removals.
pub fn observed(name: &str) -> (Context, ManualClock, Recorder) {
    let (clock, recorder) = (ManualClock::new(), Recorder::new());
    let context = Context::new(name, Arc::new(clock.clone()), Arc::new(recorder.clone()));
    (context, clock, recorder)
}
