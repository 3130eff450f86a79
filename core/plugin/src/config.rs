use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Backend, Clock, Listener, LocalBackend, ObjectBackend, Problem, Result, Section, Ttl};

/// Settings that every backend's configuration may have: defaults for the functions that use it, and how the engine calls
/// the backend. `None` leaves a choice to the layers below.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Time for which results are fresh.
    pub ttl: Option<Ttl>,
    /// The largest fraction by which a ttl is shortened.
    pub jitter: Option<f64>,
    /// Time without a read after which a result expires.
    pub idle: Option<Duration>,
    /// The serializer's name, for backends that keep bytes.
    pub serializer: Option<String>,
    /// Longest time that a call waits for this backend, if it keeps bytes; else the instance's.
    pub op_timeout: Option<Duration>,
    /// Number of calls without an answer, one after the other, that open the circuit breaker of a backend that keeps bytes;
    /// 0 for no breaker. The engine's default is 5.
    pub breaker_threshold: Option<u64>,
    /// Time from the opening of the breaker to the probe that may close it. The engine's default is 60 s.
    pub breaker_timeout: Option<Duration>,
}

impl Settings {
    /// Finds settings that cannot be used. A section calls it among its own [`problems`](Section::problems).
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if self.op_timeout == Some(Duration::ZERO) {
            problems.push(Problem::new("op_timeout", "it is zero: no operation could ever answer"));
        }
        if self.breaker_timeout == Some(Duration::ZERO) {
            let text = "it is zero: every call would be a probe; `breaker_threshold = 0` is for no breaker";
            problems.push(Problem::new("breaker_timeout", text));
        }
    }
}

/// Everything the engine gives to a backend that is being built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The name it was registered under.
    pub name: Arc<str>,
    /// The instance's clock.
    pub clock: Arc<dyn Clock>,
    /// Receives removals and notices.
    pub listener: Arc<dyn Listener>,
    /// The instance's namespace, which is a part of every key.
    pub namespace: Arc<str>,
    /// Set if the instance serves in production: what would be unsafe there is a problem of the configuration, unless it
    /// says that it is meant.
    pub is_production: bool,
    /// Longest time that a call waits for one operation. A backend that blocks has to end its waits by itself before.
    pub op_timeout: Duration,
}

impl Context {
    /// Makes the context of a backend called `name`.
    pub fn new(name: impl Into<Arc<str>>, clock: Arc<dyn Clock>, listener: Arc<dyn Listener>) -> Context {
        let (namespace, op_timeout) = ("default".into(), Duration::from_millis(250));
        Context { name: name.into(), clock, listener, namespace, is_production: false, op_timeout }
    }

    /// Sets the instance's namespace. Default: `default`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Context {
        self.namespace = namespace.into();
        self
    }

    /// Sets whether the instance serves in production. Default: no.
    #[must_use]
    pub fn production(mut self, is_production: bool) -> Context {
        self.is_production = is_production;
        self
    }

    /// Sets the longest time that a call waits for one operation. Default: 250 ms.
    #[must_use]
    pub fn op_timeout(mut self, op_timeout: Duration) -> Context {
        self.op_timeout = op_timeout;
        self
    }
}

/// A backend as built from its configuration.
#[derive(Clone)]
#[non_exhaustive]
pub enum Built {
    /// A backend that keeps values as they are.
    Object(Arc<dyn ObjectBackend>),
    /// A backend that keeps bytes behind a network.
    Bytes(Arc<dyn Backend>),
    /// A backend that keeps bytes and blocks: sync callers use it on their own thread, async ones through a pool.
    Local(Arc<dyn LocalBackend>),
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Built::Object(b) => b.fmt(f),
            Built::Bytes(b) => b.fmt(f),
            Built::Local(b) => b.fmt(f),
        }
    }
}

/// The typed configuration of a backend.
///
/// Building does no I/O: the first call, or `health()`, connects.
pub trait BackendConfig: Section {
    /// Returns the plugin's name, as in `type = "memory"`.
    fn type_name(&self) -> &'static str;

    /// Returns the defaults that functions on this backend inherit.
    fn settings(&self) -> Settings;

    /// Builds the backend.
    ///
    /// # Errors
    ///
    /// Every problem of this configuration at once, as one [`ErrorKind::Config`](crate::ErrorKind::Config).
    fn build(&self, context: Context) -> Result<Built>;

    /// Returns the smallest rights that a server has to give for the keys of a namespace, as its administrators write
    /// them; `None`, the default, for a backend that has no server.
    fn policy(&self, _namespace: &str) -> Option<String> {
        None
    }

    /// Copies the configuration, which a reload merges with the new contents of the files.
    fn to_box(&self) -> Box<dyn BackendConfig>;
}
