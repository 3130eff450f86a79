use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{BackendConfig, Clock, Mark, SystemClock};

use super::functions::Functions;
use super::{Inner, Retainit};
use crate::engine::Store;
use crate::engine::flight::Flights;
use crate::engine::groups::{Generation, Tags};
use crate::runtime::{Io, Timers};
use crate::{Error, ErrorKind, Result};

/// Builds a [`Retainit`]. No I/O, no `await`, no runtime.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    backends: Vec<(Arc<str>, Box<dyn BackendConfig>)>,
    default_backend: Option<Arc<str>>,
    namespace: String,
    clock: Option<Arc<dyn Clock>>,
    secret: Option<[u8; 32]>,
    op_timeout: Duration,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            backends: Vec::new(),
            default_backend: None,
            namespace: "default".into(),
            clock: None,
            secret: None,
            op_timeout: Duration::from_millis(250),
        }
    }

    /// Registers a backend under a name.
    pub fn register_backend(mut self, name: impl Into<Arc<str>>, config: impl BackendConfig) -> Builder {
        self.backends.push((name.into(), Box::new(config)));
        self
    }

    /// The backend of functions and caches that name none. Default: the one called `default`, else the only one.
    pub fn default_backend(mut self, name: impl Into<Arc<str>>) -> Builder {
        self.default_backend = Some(name.into());
        self
    }

    /// The name that keeps this program's entries apart from others' in shared stores. Default: `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Builder {
        self.namespace = namespace.into();
        self
    }

    /// Where time comes from. Default: the system's clocks. Tests pass a clock that they move by hand.
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The secret that keys of `hash_key` and `pii` functions are hashed with. Default: random, so that hashed keys
    /// of one process mean nothing in another; byte backends refuse that.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Builder {
        self.secret = Some(blake3::derive_key("retainit 2026-01-01 hashed keys", secret.as_ref()));
        self
    }

    /// The longest a call waits for any one operation of a byte backend. Default: 250 ms.
    pub fn op_timeout(mut self, op_timeout: Duration) -> Builder {
        self.op_timeout = op_timeout;
        self
    }

    /// An instance for a program that configured nothing. It cannot fail: without a backend, functions run uncached.
    pub(crate) fn implicit(self) -> Retainit {
        let clock = Arc::new(SystemClock);
        self.build().unwrap_or_else(|error| {
            tracing::warn!(target: "retainit", %error, "cache_error");
            Builder::new().assemble(clock, true, Arc::default(), Stores::new())
        })
    }

    /// Builds the instance.
    ///
    /// # Errors
    ///
    /// One [`ErrorKind::Config`], [`ErrorKind::Duplicate`] or [`ErrorKind::UnknownBackend`] whose text holds all
    /// problems.
    pub fn build(mut self) -> Result<Retainit> {
        let system_clock = self.clock.is_none();
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock));
        let io = Arc::new(Io::default());
        let (stores, mut problems) = build_stores(std::mem::take(&mut self.backends), &clock, &io, self.op_timeout);
        if self.namespace.is_empty() {
            problems.push(Error::new(ErrorKind::Config, "`namespace` is empty"));
        }
        if self.op_timeout.is_zero() {
            problems.push(Error::new(ErrorKind::Config, "`op_timeout` is zero: no operation could ever answer"));
        }
        all(problems)?;
        let default_backend = self.default_backend.clone();
        let retainit = self.assemble(clock, system_clock, io, stores);
        if retainit.stores().is_empty() && default_backend.is_none() {
            let memory = retainit.store("memory")?;
            *retainit.0.default_backend.write() = Some(Arc::clone(&memory.name));
        }
        if let Some(name) = default_backend {
            retainit.store(&name).map_err(|error| error.context("option", "default_backend"))?;
            *retainit.0.default_backend.write() = Some(name);
        }
        Ok(retainit)
    }

    fn assemble(self, clock: Arc<dyn Clock>, system_clock: bool, io: Arc<Io>, stores: Stores) -> Retainit {
        Retainit(Arc::new(Inner {
            generation: Generation::default(),
            flights: Arc::new(Flights::new(Arc::clone(&clock))),
            timers: Timers::new(Arc::clone(&clock), !system_clock),
            clock,
            system_clock,
            namespace: self.namespace,
            namespace_mark: Mark::new(),
            tags: Tags::default(),
            stores: stores.into(),
            default_backend: None.into(),
            functions: Functions::default(),
            io,
            op_timeout: self.op_timeout,
            secret_is_given: self.secret.is_some(),
            secret: self.secret.unwrap_or_else(random_secret),
            sweep_due: u64::MAX.into(),
            closed: false.into(),
        }))
    }
}

type Stores = BTreeMap<Arc<str>, Arc<Store>>;

fn build_stores(
    backends: Vec<(Arc<str>, Box<dyn BackendConfig>)>,
    clock: &Arc<dyn Clock>,
    io: &Arc<Io>,
    op_timeout: Duration,
) -> (Stores, Vec<Error>) {
    let (mut stores, mut problems) = (Stores::new(), Vec::new());
    for (name, config) in backends {
        if stores.contains_key(&name) {
            problems.push(Error::new(ErrorKind::Duplicate, format!("two backends are called `{name}`")));
            continue;
        }
        match Store::build(Arc::clone(&name), &*config, Arc::clone(clock), io, op_timeout) {
            Ok(store) => drop(stores.insert(name, Arc::new(store))),
            Err(error) => problems.push(error),
        }
    }
    (stores, problems)
}

/// One error for all problems, of the first one's kind.
pub(crate) fn all(mut problems: Vec<Error>) -> Result<()> {
    match problems.len() {
        0 => Ok(()),
        1 => Err(problems.remove(0)),
        n => {
            let texts: Vec<_> = problems.iter().map(|problem| format!("- {problem}")).collect();
            Err(Error::new(problems[0].kind(), format!("{n} problems:\n{}", texts.join("\n"))))
        }
    }
}

/// The standard library's hash maps are seeded by the operating system; this takes the same seeds.
fn random_secret() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut secret = [0; 32];
    for (i, chunk) in secret.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&RandomState::new().hash_one(i).to_le_bytes());
    }
    blake3::derive_key("retainit 2026-01-01 random secret", &secret)
}
