use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use retainit_plugin::lock::RwLock;
use retainit_plugin::{Contained, Error, ErrorKind, IntoTtl, RemovalCause, Result, StoredValue, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cache, CacheInner};
use crate::Retainit;
use crate::config::CODE;
use crate::engine::groups::{check_tags, make_distinct};
use crate::engine::{PlanRef, RemovalListener, listener};
use crate::instance::{KeyTerms, Level, PlanObserver};
use crate::key::KeyKind;
use crate::options::Overrides;
use crate::options::{NO_ENTRIES, NO_IDLE_TIME, Options, intern, serializer_of, setters, with_options};
use crate::value::{Codec, ValueKinds, ValueOps, is_none, weigh_serialized};

/// Builds a [`Cache`]. Setters have the names of the attribute's options.
#[derive(Debug)]
#[must_use]
pub struct CacheBuilder<V> {
    instance: Retainit,
    name: String,
    backend: Option<String>,
    options: Options,
    tags: Vec<String>,
    version: u32,
    hashed: bool,
    pii: bool,
    when: Option<fn(&V) -> bool>,
    ttl_of: Option<TtlOf<V>>,
    weigher: Option<fn(&V) -> u64>,
    on_removal: Option<OnRemoval>,
    equal: Option<fn(&V, &V) -> bool>,
    problems: Vec<Error>,
    value: PhantomData<fn() -> V>,
}

macro_rules! setter {
    ([$a:tt builder $c:tt $s:tt] time $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file or the backend sets another.")]
        pub fn $name(mut self, ttl: impl IntoTtl) -> Self {
            self.options.$name = self.read(stringify!($name), ttl);
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] idle $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file or the backend sets another.")]
        pub fn $name(mut self, time: impl IntoTtl) -> Self {
            self.options.$name = self.idle_time(stringify!($name), time);
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] length $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file or the backend sets another.")]
        pub fn $name(mut self, time: impl IntoTtl) -> Self {
            self.options.$name = self.length(stringify!($name), time);
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] bound $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file sets another.")]
        pub fn $name(mut self, time: Duration) -> Self {
            self.options.$name = Some(time);
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] fraction $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file or the backend sets another.")]
        pub fn $name(mut self, fraction: f64) -> Self {
            self.options.$name = self.fraction(stringify!($name), fraction);
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] mode $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file or the backend sets another.")]
        pub fn $name(mut self, mode: impl AsRef<str>) -> Self {
            self.options.$name = self.mode(stringify!($name), mode.as_ref());
            self
        }
    };
    ([$a:tt builder $c:tt $s:tt] count $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nDefault: `", $default, "`, unless a file sets another.")]
        pub fn $name(mut self, count: u64) -> Self {
            if count == 0 {
                self.problem(format!("{}: {NO_ENTRIES}", stringify!($name)));
            }
            self.options.$name = Some(count);
            self
        }
    };
    ([$a:tt by_hand $c:tt $s:tt] $($rest:tt)*) => {};
    ([$a:tt - $c:tt $s:tt] $($rest:tt)*) => {};
}

impl<V> CacheBuilder<V> {
    pub(crate) fn new(instance: Retainit, name: String) -> Self {
        CacheBuilder {
            instance,
            name,
            backend: None,
            options: Options::NONE,
            tags: Vec::new(),
            version: 0,
            hashed: false,
            pii: false,
            when: None,
            ttl_of: None,
            weigher: None,
            on_removal: None,
            equal: None,
            problems: Vec::new(),
            value: PhantomData,
        }
    }

    /// Sets the backend by name. Default: the default backend.
    pub fn backend(mut self, name: impl Into<String>) -> Self {
        self.backend = Some(name.into());
        self
    }

    with_options!(setters);

    /// Sets the fraction of hits, 0 to 1, that are verified: the loader runs too, and its result is compared with the
    /// cached value, which the call returns. Differences are counted and reported as events. Default: 0.
    pub fn verify(mut self, fraction: f64) -> Self
    where
        V: PartialEq,
    {
        self.options.verify = self.fraction("verify", fraction);
        self.equal = Some(V::eq);
        self
    }

    /// Sets the serializer by name, for byte backends. Default: the backend's.
    pub fn serializer(self, name: impl AsRef<str>) -> Self {
        self.serialized_by("serializer", name.as_ref(), |name| Ok(intern(name)))
    }

    /// Sets the codec of values in byte backends, such as `"json"`, instead of
    /// [`serializer`](CacheBuilder::serializer). Default: the backend's.
    pub fn codec(self, codec: impl AsRef<str>) -> Self {
        self.serialized_by("codec", codec.as_ref(), serializer_of)
    }

    /// Adds tags to every entry, at most 254.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Sets the version of the stored values; entries of other versions are not used. Default: 0.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Stores keys as keyed hashes.
    pub fn hash_key(mut self) -> Self {
        self.hashed = true;
        self
    }

    /// Marks keys as personal data: they are stored as keyed hashes and appear in no log.
    pub fn pii(mut self) -> Self {
        self.pii = true;
        self.hash_key()
    }

    /// Sets a predicate of loaded values: only those for which it returns true are stored.
    pub fn when(mut self, when: fn(&V) -> bool) -> Self {
        self.when = Some(when);
        self
    }

    /// Computes the ttl of each value that is loaded or set, instead of [`ttl`](CacheBuilder::ttl). Overrides around the
    /// call, the ttl of the call and `[retainit.override.functions]` take precedence over it. `"off"` does not store the
    /// value, and a ttl that cannot be used is an error of `set`; a load is not stored then, and reports it.
    ///
    /// ```
    /// # use retainit_core as retainit;
    /// # fn example(retainit: &retainit::Retainit) -> retainit::Result<()> {
    /// use std::time::Duration;
    ///
    /// #[derive(Clone)]
    /// struct Token { text: String, expires_in: Duration }
    ///
    /// let tokens = retainit.cache::<Token>("tokens").ttl_of(|token: &Token| token.expires_in).build_local()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ttl_of<T: IntoTtl>(mut self, ttl: impl Fn(&V) -> T + Send + Sync + 'static) -> Self {
        let ttl = Contained::new(ttl);
        self.ttl_of = Some(TtlOf(Arc::new(move |value| ttl(value).into_ttl())));
        self.options.ttl_of = true;
        self
    }

    /// Computes the weight of a value in bytes, for backends in memory with `max_bytes`. It is called once for each
    /// value that is stored. Default: the bytes of the value as MessagePack; `build_local` has none.
    ///
    /// ```
    /// # use retainit_core as retainit;
    /// # fn example(retainit: &retainit::Retainit) -> retainit::Result<()> {
    /// #[derive(Clone)]
    /// struct Image { pixels: Vec<u8> }
    ///
    /// let images = retainit.cache::<Image>("images").weigher(|image| image.pixels.len() as u64).build_local()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn weigher(mut self, weigh: fn(&V) -> u64) -> Self {
        self.weigher = Some(weigh);
        self
    }

    /// Receives each entry of this cache that leaves memory: the key as text, as in [`Cache::keys`] behind the name, the
    /// value, and the cause. The event `cache_evict` has evictions only, with a hashed key and without the value.
    ///
    /// The closure runs on the thread that removed the entry, which may be that of a caller or one that sweeps expired
    /// entries, after the entry is gone: it must be quick, and may use caches. A panic in it is caught and reported. An
    /// expired entry is reported when it is met by a sweep, or replaced. Removals are received until the last clone of
    /// the built cache is dropped. Keys of `hash_key` and `pii` caches appear as their hashes.
    ///
    /// ```
    /// # use retainit_core as retainit;
    /// # fn example(retainit: &retainit::Retainit) -> retainit::Result<()> {
    /// use retainit::RemovalCause;
    ///
    /// let files = retainit.cache::<String>("files").on_removal(|key, path, cause| {
    ///     if cause == RemovalCause::Evicted {
    ///         eprintln!("{key} was evicted: {path} is not needed any more");
    ///     }
    /// });
    /// let files = files.build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Backends of bytes do not report values: [`build`](CacheBuilder::build) refuses them.
    pub fn on_removal(mut self, receive: impl Fn(&str, &V, RemovalCause) + Send + Sync + 'static) -> Self
    where
        V: StoredValue,
    {
        self.on_removal = Some(OnRemoval(listener(receive)));
        self
    }

    fn serialized_by(mut self, option: &str, text: &str, read: fn(&str) -> Result<&'static str>) -> Self {
        if text.trim().is_empty() {
            self.problem(format!("{option} is empty: give the name of a serializer, such as \"json\""));
        } else if self.options.serializer.is_some() {
            self.problem(format!(
                "{option} `{text}`: the serializer is given twice; keep one of `serializer`, `codec`"
            ));
        } else {
            match read(text) {
                Ok(name) => self.options.serializer = Some(name),
                Err(problem) => self.problems.push(problem),
            }
        }
        self
    }

    fn fraction(&mut self, option: &str, value: f64) -> Option<f64> {
        if (0.0..=1.0).contains(&value) {
            return Some(value);
        }
        self.problem(format!("{option} {value} is not between 0 and 1"));
        None
    }

    fn idle_time(&mut self, option: &'static str, time: impl IntoTtl) -> Option<Ttl> {
        let time = self.read(option, time)?;
        if time == Ttl::Off {
            self.problem(format!("{option}: {NO_IDLE_TIME}"));
        }
        Some(time)
    }

    fn length(&mut self, option: &'static str, time: impl IntoTtl) -> Option<Duration> {
        match self.read(option, time)? {
            Ttl::For(time) => return Some(time),
            Ttl::Never | Ttl::Off => self.problem(format!("{option} has to be a length of time")),
        }
        None
    }

    fn mode(&mut self, option: &str, mode: &str) -> Option<bool> {
        match mode {
            "local" => return Some(true),
            "off" => return Some(false),
            other => self.problem(format!("{option} `{other}`: expected \"local\" or \"off\"")),
        }
        None
    }

    fn read(&mut self, option: &'static str, ttl: impl IntoTtl) -> Option<Ttl> {
        ttl.into_ttl().map_err(|error| self.problems.push(error.with_context("option", option))).ok()
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Error::new(ErrorKind::Config, text));
    }
}

/// Computes the ttl of a value.
#[expect(clippy::type_complexity, reason = "a name for the type of the closure would be one more to look up")]
pub(super) struct TtlOf<V>(pub(super) Arc<dyn Fn(&V) -> Result<Ttl> + Send + Sync>);

/// Closure that receives removed entries.
pub(super) struct OnRemoval(Arc<RemovalListener>);

impl fmt::Debug for OnRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRemoval")
    }
}

impl<V> fmt::Debug for TtlOf<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TtlOf")
    }
}

impl<V: StoredValue> CacheBuilder<V> {
    /// Builds a cache that may use any backend.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with every option that cannot be used, [`ErrorKind::UnknownBackend`],
    /// [`ErrorKind::TypeMismatch`] when a cache of that name has values of another type, [`ErrorKind::Closed`].
    pub fn build(self) -> Result<Cache<V>>
    where
        V: Serialize + DeserializeOwned,
    {
        let ops = ValueOps {
            is_none: is_none::<V>,
            codec: Some(Codec::new()),
            weigh: self.weigher.or(Some(weigh_serialized::<V>)),
            direct: false,
            when: self.when,
            equal: self.equal,
        };
        self.make(ops)
    }

    /// Builds a cache for a type that cannot be serialized: its entries are in memory, and a loaded `None` is stored
    /// like any value.
    ///
    /// # Errors
    ///
    /// Those of [`build`](CacheBuilder::build), and [`ErrorKind::Config`] for a byte backend, and for one with
    /// `max_bytes` unless there is a [`weigher`](CacheBuilder::weigher).
    pub fn build_local(self) -> Result<Cache<V>> {
        let ops = ValueOps {
            is_none: |_| false,
            codec: None,
            weigh: self.weigher,
            direct: false,
            when: self.when,
            equal: self.equal,
        };
        self.make(ops)
    }

    fn make(self, ops: ValueOps<V>) -> Result<Cache<V>> {
        self.instance.engine().check_open()?;
        let mut problems = self.problems;
        if self.name.is_empty() {
            problems.push(Error::new(ErrorKind::Config, "a cache needs a name"));
        }
        let mut tags = self.tags;
        make_distinct(&mut tags);
        problems.extend(check_tags(&tags).err());
        crate::instance::all(problems).map_err(|error| error.with_context("cache", self.name.as_str()))?;
        let level = Level { backend: self.backend.as_deref(), options: self.options, place: CODE };
        let kind = if self.hashed { KeyKind::Digest } else { KeyKind::Canonical };
        let keys = KeyTerms { kind, pii: self.pii };
        // Before the name is registered: a cache that cannot be built must not take the name from a corrected one.
        let kinds = ValueKinds { removals: self.on_removal.is_some(), ..ops.kinds() };
        self.instance.check_cache(&self.name, level, keys, kinds)?;
        let value = (TypeId::of::<V>(), std::any::type_name::<V>());
        let function = self.instance.registered().cache(&self.name, self.version, keys, value)?;
        let revision = self.instance.settings_revision();
        if let Some(OnRemoval(listener)) = &self.on_removal {
            self.instance.registered().listen_to_removals(&function, listener);
        }
        let plan = self.instance.cache_plan(&function, level, kinds, &Overrides::default());
        let inner = Arc::new(CacheInner {
            instance: self.instance,
            function,
            backend: self.backend,
            options: self.options,
            tags,
            ops,
            kinds,
            ttl_of: self.ttl_of,
            _on_removal: self.on_removal,
            plan: RwLock::new(PlanRef::Shared(Arc::new(plan))),
        });
        // Weak: the instance must not keep a cache alive that the program has dropped.
        let replan: Weak<dyn PlanObserver> = Arc::downgrade(&inner) as Weak<dyn PlanObserver>;
        inner.instance.registered().follow(replan);
        // A reload between the plan and this line has not seen the cache.
        if inner.instance.settings_revision() != revision {
            inner.replan();
        }
        Ok(Cache { inner })
    }
}

impl Retainit {
    /// Returns a builder of a named cache for values of type `V`, without the macro.
    pub fn cache<V>(&self, name: impl Into<String>) -> CacheBuilder<V> {
        CacheBuilder::new(self.clone(), name.into())
    }
}
