use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use retainit_plugin::{
    BackendConfig, ByteSize, Clock, Field, IntoField, Mark, Registration, Secret, Serializer, SubscriberConfig,
    SubscriberContext, SystemClock, caught,
};

use super::functions::Functions;
use super::settings::{Shape, Source, Stores};
use super::{Inner, Retainit};
use crate::config::{CODE, Code, Configured, Effective, EventKeys, EventsSection, Main, Sources, load};
use crate::engine::flight::Flights;
use crate::engine::groups::{Generation, Tags};
use crate::engine::{Ear, Store};
use crate::event::Bus;
use crate::registry::{Extras, Registry};
use crate::runtime::{Io, SteadyClock, Timers, quietly};
use crate::{Error, ErrorKind, Result};

/// Builds a [`Retainit`]. No network, no `await`, no runtime; files are read only where one is named.
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
    /// `profiles/` beside it, and from the environment. What this builder sets stands above all of them.
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

    /// Takes these variables for the environment, in place of the process's own; references of secrets
    /// (`"env:NAME"`) are looked up in them too.
    pub fn variables<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Builder {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.sources.variables = Some(variables.collect());
        self.environment()
    }

    /// The profile to lay over the main file. Default: `RETAINIT_PROFILE`, else none.
    pub fn profile(mut self, name: impl Into<String>) -> Builder {
        self.sources.wanted.profile = Some(name.into());
        self
    }

    /// Whether the environment stands above the files. Default: below them, or as the files say.
    pub fn env_first(mut self, env_first: bool) -> Builder {
        self.main = self.main.env_first(env_first);
        self
    }

    pub(crate) fn sources(mut self, sources: Sources) -> Builder {
        self.sources = sources;
        self
    }

    /// Makes a plugin known that is not linked by its own registration.
    ///
    /// ```ignore
    /// builder.plugin(Registration::new("foo", "my program", Part::Backend(|| Box::new(FooConfig::default()))))
    /// ```
    pub fn plugin(mut self, plugin: Registration) -> Builder {
        self.extras.plugins.push(plugin);
        self
    }

    /// Makes a serializer known under a name, for `serializer = "…"`.
    pub fn register_serializer(mut self, name: impl Into<String>, serializer: impl Serializer) -> Builder {
        self.extras.serializers.push((name.into(), Arc::new(serializer)));
        self
    }

    /// Adds a subscriber, such as `AuditConfig`, beside those that files name.
    pub fn register_subscriber(mut self, config: impl SubscriberConfig) -> Builder {
        self.subscribers.push(Box::new(config));
        self
    }

    /// Registers a backend under a name. Its fields stand above those that files set for the same name.
    pub fn register_backend(mut self, name: impl Into<Arc<str>>, config: impl BackendConfig) -> Builder {
        self.backends.push((name.into(), Box::new(config)));
        self
    }

    /// The backend of functions and caches that name none. Default: the one called `default`, else the only one.
    pub fn default_backend(mut self, name: impl Into<Arc<str>>) -> Builder {
        let name: Arc<str> = name.into();
        self.main = self.main.default_backend(&*name);
        self
    }

    /// The name that keeps this program's entries apart from others' in shared stores. Default: `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Builder {
        self.main = self.main.namespace(namespace.into());
        self
    }

    /// Where time comes from. Default: the system's clocks. Tests pass a clock that they move by hand.
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Some(Arc::new(SteadyClock::new(clock)));
        self
    }

    /// The secret that keys of `hash_key` and `pii` functions are hashed with. Default: random, so that hashed keys
    /// of one process mean nothing in another; byte backends refuse that.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Builder {
        self.secret = Some(derive_secret(secret.as_ref()));
        self.main = self.main.secret(Secret::new(if secret.as_ref().is_empty() { "" } else { CODE }));
        self
    }

    /// The longest a call waits for any one operation of a byte backend. Default: 250 ms.
    pub fn op_timeout(mut self, op_timeout: Duration) -> Builder {
        self.main = self.main.op_timeout(op_timeout);
        self
    }

    /// The largest value, serialized, that is stored in or read from a byte backend, in bytes or as `"64MiB"`.
    /// Default: 64 MiB.
    pub fn max_value(mut self, bytes: impl IntoField<ByteSize>) -> Builder {
        self.main = self.main.max_value(bytes);
        self
    }

    /// The longest that reading a stored value back may take. Default: 1 s.
    pub fn decode_timeout(mut self, decode_timeout: Duration) -> Builder {
        self.main = self.main.decode_timeout(decode_timeout);
        self
    }

    /// How keys appear in events. Default: as keyed hashes.
    pub fn event_keys(mut self, keys: EventKeys) -> Builder {
        self.events = self.events.keys(keys);
        self
    }

    /// An instance for a program that configured nothing. It cannot fail: where the files or the environment are
    /// wrong, or nothing is linked, functions run uncached, and why is told.
    pub(crate) fn implicit() -> Retainit {
        let build = || Builder::new().sources(Sources::implicit()).build();
        caught(ErrorKind::Config, "making the cache", build).flatten().unwrap_or_else(|error| {
            quietly(|| {
                tracing::error!(target: "retainit", %error, "functions run uncached: the configuration cannot be used");
            });
            let parts = Parts { problem: Some(error.to_string()), ..Parts::default() };
            let builder = Builder::new();
            let ground = builder.ground(&parts.configured);
            builder.assemble(parts, ground)
        })
    }

    /// Builds the instance.
    ///
    /// # Errors
    ///
    /// One [`ErrorKind::Config`], [`ErrorKind::Duplicate`] or [`ErrorKind::UnknownBackend`] whose text holds all
    /// problems, those of files with file, line and key.
    pub fn build(mut self) -> Result<Retainit> {
        let mut problems = self.duplicates();
        let registry = Registry::new(std::mem::take(&mut self.extras), &mut problems);
        let code = Code { main: &self.main, events: &self.events, backends: &self.backends };
        let configured =
            load(&self.sources, &code, &registry).map_err(|error| problems.push(error)).unwrap_or_default();
        let main = &configured.main;
        let mut parts = Parts { registry, ..Parts::default() };
        let ground = self.ground(&configured);
        // Where the configuration itself cannot be used, backends from code may still have something to say.
        let unusable = !problems.is_empty() && configured.backends.is_empty();
        let in_code = self.backends.iter().filter(|_| unusable);
        let in_code =
            in_code.filter(|(_, config)| config.problems().is_empty()).map(|(name, config)| (name, &**config));
        let declared = configured.backends.iter().filter_map(|all| Some((&all.name, &**all.config.as_ref()?)));
        for (name, config) in declared.chain(in_code) {
            let Ground { clock, io, bus, functions, .. } = &ground;
            let ear = Ear::new(name, bus, functions, clock);
            match Store::build(Arc::clone(name), config, Arc::clone(clock), io, main.operation_timeout(), ear) {
                Ok(store) => drop(parts.stores.insert(Arc::clone(name), Arc::new(store))),
                Err(error) => problems.push(error),
            }
        }
        problems.extend(self.add_subscribers(&configured, &ground).err());
        all(problems)?;
        parts.configured = Arc::new(configured);
        let retainit = self.assemble(parts, ground);
        retainit.bus().config_changed("load", "");
        retainit.stores().iter().for_each(|store| retainit.bus().backend_is_there(&store.name));
        retainit.make_default()?;
        Ok(retainit)
    }

    fn duplicates(&self) -> Vec<Error> {
        let (mut names, mut problems) = (BTreeSet::new(), Vec::new());
        for (name, config) in self.backends.iter().rev() {
            if !names.insert(name) {
                problems.push(Error::new(ErrorKind::Duplicate, format!("two backends are called `{name}`")));
                // The configuration knows only one of a name, the last.
                let text = |field: &str, text: &str| format!("{CODE}: backends.{name}.{field}: {text}");
                let theirs = config.problems();
                problems.extend(theirs.iter().map(|it| Error::new(ErrorKind::Config, text(it.field, &it.text))));
            }
        }
        problems
    }

    fn add_subscribers(&self, configured: &Configured, ground: &Ground) -> Result<()> {
        let named = configured.subscribers.iter().map(|(section, config)| (section.as_str(), config));
        let mut problems = Vec::new();
        for (section, config) in named.chain(self.subscribers.iter().map(|config| ("code", config))) {
            let context = SubscriberContext::new(configured.main.namespace_name(), Arc::clone(&ground.clock));
            match config.build(context) {
                Ok(subscriber) => drop(ground.bus.add_subscriber(subscriber)),
                Err(error) => problems.push(placed(error, section, config.fields(), &configured.effective)),
            }
        }
        all(problems)
    }

    /// What everything else stands on.
    fn ground(&self, configured: &Configured) -> Ground {
        let main = &configured.main;
        let clock = self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        // A file that enforces its secret stands above code.
        let in_code = self.secret.filter(|_| main.secret_text() == Some(CODE));
        let given = in_code.or_else(|| main.secret_text().map(|text| derive_secret(text.as_bytes())));
        let secret = given.unwrap_or_else(random_secret);
        let io = Arc::new(Io::default());
        let bus = Bus::new(&main.namespace_name(), configured.events.keys_are_plain(), &secret, &clock, &io);
        let functions = Arc::new(Functions::new(&bus));
        Ground { clock, io, secret, secret_is_given: given.is_some(), bus, functions }
    }

    fn assemble(self, parts: Parts, ground: Ground) -> Retainit {
        let Parts { registry, stores, configured, problem } = parts;
        let Ground { clock, io, secret, secret_is_given, bus, functions } = ground;
        let system_clock = self.clock.is_none();
        let (namespace, op_timeout) = (configured.main.namespace_name(), configured.main.operation_timeout());
        let (max_value, decode_timeout) = (configured.main.value_limit(), configured.main.decode_limit());
        Retainit(Arc::new(Inner {
            generation: Generation::default(),
            flights: Arc::new(Flights::new(Arc::clone(&clock))),
            timers: Timers::new(Arc::clone(&clock), !system_clock),
            clock,
            system_clock,
            namespace,
            namespace_mark: Mark::new(),
            tags: Tags::default(),
            shape: Shape { stores, configured, added: Vec::new() }.into(),
            changes: Mutex::default(),
            epoch: 0.into(),
            problem,
            source: Source { sources: self.sources, main: self.main, events: self.events, backends: self.backends },
            functions,
            bus,
            registry,
            io,
            op_timeout,
            max_value,
            decode_timeout,
            secret_is_given,
            secret,
            sweep_due: u64::MAX.into(),
            closed: false.into(),
        }))
    }
}

/// The error of a subscriber: with file, line and key where it begins with one of its fields, as in `` `path`: … ``.
fn placed(error: Error, section: &str, fields: &[Field], effective: &Effective) -> Error {
    let text = error.to_string();
    let of_field = fields.iter().find_map(|Field { name, .. }| {
        let rest = text.strip_prefix(&format!("`{name}`: "))?;
        Some(format!("{}: {section}.{name}: {rest}", effective.source(&[section, name])?))
    });
    match of_field {
        Some(text) => Error::new(error.kind(), text),
        None => error.context("subscriber", section),
    }
}

/// What a builder has made of its settings.
#[derive(Default)]
struct Parts {
    registry: Registry,
    stores: Stores,
    configured: Arc<Configured>,
    problem: Option<String>,
}

/// What backends and functions need before there is an instance.
struct Ground {
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
