use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::lock::{Mutex, RwLock};
use retainit_plugin::{
    BackendConfig, ByteSize, Clock, Error, ErrorKind, IntoField, Listener, Problem, Process, Registration, Result,
    Secret, Serializer, SubscriberConfig, SubscriberContext, SystemClock, TagEpoch, caught, on_fork,
};

use super::check::advise;
use super::functions::Functions;
use super::listener::BackendListener;
use super::settings::{InstanceShape, InstanceSource, Stores};
use super::{InstanceInner, Retainit};
use crate::config::{CODE, Code, Configured, EventKeys, EventsSection, Main, Security, Sources, is_own_key, load};
use crate::engine::EngineState;
use crate::engine::Store;
use crate::engine::flight::Flights;
use crate::engine::groups::{InstanceEpoch, Tags};
use crate::event::Bus;
use crate::registry::{Extras, Registry};
use crate::runtime::{Io, SteadyClock, Timers, quietly};

/// Builds a [`Retainit`]. It needs no network and no runtime, and reads files only where one is named.
#[must_use]
pub struct Builder {
    backends: Vec<(Arc<str>, Box<dyn BackendConfig>)>,
    main: Main,
    events: EventsSection,
    clock: Option<Arc<dyn Clock>>,
    secret: Option<[u8; 32]>,
    extras: Extras,
    sources: Sources,
    subscribers: Vec<Box<dyn SubscriberConfig>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("main", &self.main)
            .field("backends", &self.backends)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            backends: Vec::new(),
            main: Main::new(),
            events: EventsSection::new(),
            clock: None,
            secret: None,
            extras: Extras::default(),
            sources: Sources::default(),
            subscribers: Vec::new(),
        }
    }

    /// Takes settings from a file (`.toml`, `.yaml`, `.json`, or `.env` with variables), from its profile in
    /// `profiles/` beside it, and from the environment. Setters of this builder take precedence over all of them.
    ///
    /// Without this, a builder reads neither files nor the environment.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Builder {
        self.sources.wanted.file = Some(path.into());
        self.environment()
    }

    /// Takes settings from the environment variables that begin with `RETAINIT_`. [`config_file`](Builder::config_file)
    /// implies it.
    pub fn environment(mut self) -> Builder {
        self.sources.environment = true;
        self
    }

    /// Sets the variables that are read instead of the process's environment, also for references of secrets
    /// (`"env:NAME"`).
    pub fn variables<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Builder {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.sources.variables = Some(variables.collect());
        self.environment()
    }

    /// Sets the profile that is laid over the main file. Default: `RETAINIT_PROFILE`, else none.
    pub fn profile(mut self, name: impl Into<String>) -> Builder {
        self.sources.wanted.profile = Some(name.into());
        self
    }

    /// Sets whether the environment takes precedence over the files. Default: the files do, unless they set otherwise.
    pub fn env_first(mut self, env_first: bool) -> Builder {
        self.main = self.main.env_first(env_first);
        self
    }

    pub(crate) fn sources(mut self, sources: Sources) -> Builder {
        self.sources = sources;
        self
    }

    /// Registers a plugin that does not register itself when linked.
    ///
    /// ```ignore
    /// builder.plugin(Registration::new("foo", "my program", Part::Backend(|| Box::new(FooConfig::default()))))
    /// ```
    pub fn plugin(mut self, plugin: Registration) -> Builder {
        self.extras.plugins.push(plugin);
        self
    }

    /// Registers a serializer under a name, for `serializer = "…"`.
    pub fn register_serializer(mut self, name: impl Into<String>, serializer: impl Serializer) -> Builder {
        self.extras.serializers.push((name.into(), Arc::new(serializer)));
        self
    }

    /// Adds a subscriber, such as `AuditConfig`, to those that files name.
    pub fn register_subscriber(mut self, config: impl SubscriberConfig) -> Builder {
        self.subscribers.push(Box::new(config));
        self
    }

    /// Registers a backend under a name. Its fields take precedence over those that files set for the same name.
    pub fn register_backend(mut self, name: impl Into<Arc<str>>, config: impl BackendConfig) -> Builder {
        self.backends.push((name.into(), Box::new(config)));
        self
    }

    /// Sets the backend of functions and caches that name none. Default: the one called `default`, else the only one.
    pub fn default_backend(mut self, name: impl Into<Arc<str>>) -> Builder {
        let name: Arc<str> = name.into();
        self.main = self.main.default_backend(&*name);
        self
    }

    /// Sets the namespace, which separates this program's entries from others' in shared stores. Default: `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Builder {
        self.main = self.main.namespace(namespace.into());
        self
    }

    /// Sets the clock. Default: the system's clocks. Tests pass a clock that they move by hand.
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Some(Arc::new(SteadyClock::new(clock)));
        self
    }

    /// Sets the secret that keys of `hash_key` and `pii` functions are hashed with. Default: random, so that no other
    /// process finds the hashed keys; byte backends refuse such functions then.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Builder {
        self.secret = Some(derive_secret(secret.as_ref()));
        self.main = self.main.secret(Secret::new(if secret.as_ref().is_empty() { "" } else { CODE }));
        self
    }

    /// Sets the longest time that one operation of a byte backend may take. Default: 250 ms.
    pub fn op_timeout(mut self, op_timeout: Duration) -> Builder {
        self.main = self.main.op_timeout(op_timeout);
        self
    }

    /// Sets how strictly backends are checked, as a value or as `"production"`. Default: [`Security::Standard`].
    pub fn security(mut self, security: impl IntoField<Security>) -> Builder {
        self.main = self.main.security(security);
        self
    }

    /// Sets the largest serialized value that is stored in or read from a byte backend, in bytes or as `"64MiB"`.
    /// Default: 64 MiB.
    pub fn max_value(mut self, bytes: impl IntoField<ByteSize>) -> Builder {
        self.main = self.main.max_value(bytes);
        self
    }

    /// Sets the longest time that decoding a stored value may take. Default: 1 s.
    pub fn decode_timeout(mut self, decode_timeout: Duration) -> Builder {
        self.main = self.main.decode_timeout(decode_timeout);
        self
    }

    /// Sets how keys appear in events. Default: as keyed hashes.
    pub fn event_keys(mut self, keys: EventKeys) -> Builder {
        self.events = self.events.keys(keys);
        self
    }

    /// Builds the instance of a program that configured nothing. It cannot fail: if the files or the environment are
    /// wrong, or no backend is linked, functions run uncached and the reason is logged.
    pub(crate) fn implicit() -> Retainit {
        let build = || Builder::new().sources(Sources::implicit()).build();
        let advised = |instance: &Retainit| drop(caught(ErrorKind::Config, "looking at ids", || advise(instance)));
        caught(ErrorKind::Config, "making the cache", build).flatten().inspect(advised).unwrap_or_else(|error| {
            quietly(|| {
                tracing::error!(target: "retainit", error = error.report(), "functions run uncached: the configuration cannot be used");
            });
            let parts = InstanceParts { problem: Some(error.report()), ..InstanceParts::default() };
            let builder = Builder::new();
            let foundation = builder.foundation(&parts.configured);
            foundation.bus.print_unusable(&error);
            builder.assemble(parts, foundation)
        })
    }

    /// Builds the instance.
    ///
    /// # Errors
    ///
    /// One [`ErrorKind::Config`], [`ErrorKind::Duplicate`] or [`ErrorKind::UnknownBackend`] whose text holds all
    /// problems, those of files with file, line and key.
    pub fn build(mut self) -> Result<Retainit> {
        // Problems are collected, not returned one by one: one run of the program shows all that has to be corrected.
        let mut problems = self.duplicates();
        let registry = Registry::new(std::mem::take(&mut self.extras), is_own_key, &mut problems);
        let code = Code { main: &self.main, events: &self.events, backends: &self.backends };
        let configured =
            load(&self.sources, &code, &registry).map_err(|error| problems.push(error)).unwrap_or_default();
        let main = &configured.main;
        let mut parts = InstanceParts { registry, ..InstanceParts::default() };
        let foundation = self.foundation(&configured);
        // If the configuration cannot be used at all, backends from code are built all the same, for their problems.
        let unusable = !problems.is_empty() && configured.backends.is_empty();
        let in_code = self.backends.iter().filter(|_| unusable);
        let in_code =
            in_code.filter(|(_, config)| config.problems().is_empty()).map(|(name, config)| (name, &**config));
        let declared = configured.backends.iter().filter_map(|all| Some((&all.name, &**all.config.as_ref()?)));
        for (name, config) in declared.chain(in_code) {
            let Foundation { clock, io, bus, functions, .. } = &foundation;
            let listener = Arc::new(BackendListener::new(name, bus, functions, clock));
            let reports = (listener as Arc<dyn Listener>, bus);
            let (clock, namespace, op_timeout) = (Arc::clone(clock), main.namespace_name(), main.operation_timeout());
            let of_instance = (&*namespace, main.is_production());
            match Store::build(Arc::clone(name), config, clock, io, op_timeout, of_instance, reports) {
                Ok(store) => drop(parts.stores.insert(Arc::clone(name), Arc::new(store))),
                Err(error) => problems.push(error),
            }
        }
        problems.extend(self.add_subscribers(&configured, &foundation).err());
        all(problems)?;
        parts.configured = Arc::new(configured);
        let retainit = self.assemble(parts, foundation);
        // Subscribers receive the configuration first, then the backends that it declares.
        retainit.engine().bus().config_changed("load", "");
        retainit.stores().iter().for_each(|store| retainit.engine().bus().backend_is_there(&store.name));
        // An implicit default is made here, so that a backend that cannot be built is an error of `build`, not of
        // calls.
        retainit.make_default()?;
        Ok(retainit)
    }

    fn duplicates(&self) -> Vec<Error> {
        let (mut names, mut problems) = (BTreeSet::new(), Vec::new());
        for (name, config) in self.backends.iter().rev() {
            if !names.insert(name) {
                problems.push(Error::new(ErrorKind::Duplicate, format!("two backends are called `{name}`")));
                // The configuration holds only the last backend of a name: problems of the others are collected here.
                let error = |it: Problem| {
                    let error = Error::new(ErrorKind::Config, it.text).with_place(CODE);
                    error.with_field(format!("backends.{name}.{}", it.field))
                };
                problems.extend(config.problems().into_iter().map(error));
            }
        }
        problems
    }

    fn add_subscribers(&self, configured: &Configured, foundation: &Foundation) -> Result<()> {
        let named = configured.subscribers.iter().map(|(section, config)| (section.as_str(), config));
        let mut problems = Vec::new();
        for (section, config) in named.chain(self.subscribers.iter().map(|config| ("code", config))) {
            let context = SubscriberContext::new(configured.main.namespace_name(), Arc::clone(&foundation.clock));
            match config.build(context) {
                Ok(subscriber) => drop(foundation.bus.add_subscriber(subscriber)),
                Err(error) => problems.push(match configured.effective.placed(error, &[section]) {
                    Ok(error) => error,
                    Err(error) => error.with_context("subscriber", section),
                }),
            }
        }
        all(problems)
    }

    /// Makes the parts that backends, functions and subscribers are built with.
    fn foundation(&self, configured: &Configured) -> Foundation {
        // Registered before there is anything that a forked child must not touch: its calls leave the hit path, which
        // does not check the process.
        on_fork(crate::runtime::leave_shortest_way);
        let main = &configured.main;
        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        // A secret that a file enforces takes precedence over the one from code.
        let in_code = self.secret.filter(|_| main.secret_text() == Some(CODE));
        let given = in_code.or_else(|| main.secret_text().map(|text| derive_secret(text.as_bytes())));
        let secret = given.unwrap_or_else(random_secret);
        let io = Arc::new(Io::default());
        let bus = Bus::new(&main.namespace_name(), configured.events.keys_are_plain(), &secret, &clock, &io);
        let functions = Arc::new(Functions::new(&bus));
        Foundation { clock, io, secret, secret_is_given: given.is_some(), bus, functions }
    }

    fn assemble(self, parts: InstanceParts, foundation: Foundation) -> Retainit {
        let InstanceParts { registry, stores, configured, problem } = parts;
        let Foundation { clock, io, secret, secret_is_given, bus, functions } = foundation;
        let system_clock = self.clock.is_none();
        let (namespace, op_timeout) = (configured.main.namespace_name(), configured.main.operation_timeout());
        let is_production = configured.main.is_production();
        let (max_value, decode_timeout) = (configured.main.value_limit(), configured.main.decode_limit());
        let engine = EngineState {
            epoch: InstanceEpoch::default(),
            flights: Arc::new(Flights::new(Arc::clone(&clock))),
            timers: Timers::new(Arc::clone(&clock), !system_clock),
            clock,
            system_clock,
            namespace,
            namespace_epoch: TagEpoch::new(),
            tags: Tags::default(),
            bus,
            max_value,
            decode_timeout,
            secret,
            sweep_due: u64::MAX.into(),
            closed: false.into(),
            process: Process::current(),
        };
        Retainit(Arc::new(InstanceInner {
            engine: Arc::new(engine),
            shape: RwLock::new(InstanceShape { stores, configured, added: Vec::new() }),
            changes: Mutex::default(),
            settings_revision: 0.into(),
            problem,
            source: InstanceSource {
                sources: self.sources,
                main: self.main,
                events: self.events,
                backends: self.backends,
            },
            functions,
            registry,
            io,
            op_timeout,
            is_production,
            secret_is_given,
            installed: false.into(),
        }))
    }
}

/// Registry, stores and configuration that a builder has made of its settings.
#[derive(Default)]
struct InstanceParts {
    registry: Registry,
    stores: Stores,
    configured: Arc<Configured>,
    problem: Option<String>,
}

/// Parts that backends and functions need before the instance exists.
struct Foundation {
    clock: Arc<dyn Clock>,
    io: Arc<Io>,
    secret: [u8; 32],
    secret_is_given: bool,
    bus: Arc<Bus>,
    functions: Arc<Functions>,
}

fn derive_secret(secret: &[u8]) -> [u8; 32] {
    blake3::derive_key("retainit 2026-01-01 hashed keys", secret)
}

/// Combines all problems into one error, of the first one's kind.
pub(crate) fn all(problems: Vec<Error>) -> Result<()> {
    Error::several("problems", problems).map_or(Ok(()), Err)
}

/// Returns a random secret, from the seeds that the standard library's hash maps get from the operating system.
fn random_secret() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut secret = [0; 32];
    for (i, chunk) in secret.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&RandomState::new().hash_one(i).to_le_bytes());
    }
    blake3::derive_key("retainit 2026-01-01 random secret", &secret)
}
