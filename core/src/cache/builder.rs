use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use retainit_plugin::{IntoTtl, StoredValue, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cache, Inner};
use crate::config::CODE;
use crate::engine::PlanRef;
use crate::engine::groups::{check_tags, make_distinct};
use crate::instance::{KeyTerms, Level, Replan};
use crate::key::KeyKind;
use crate::options::{Options, intern, serializer_of};
use crate::overrides::Overrides;
use crate::rt::{Codec, ValueFacts, is_none, weigh_serialized};
use crate::{Error, ErrorKind, Result, Retainit};

/// Builds a [`Cache`]; takes the attribute's options by their names.
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
    equal: Option<fn(&V, &V) -> bool>,
    problems: Vec<Error>,
    value: PhantomData<fn() -> V>,
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
            equal: None,
            problems: Vec::new(),
            value: PhantomData,
        }
    }

    /// The backend by name. Default: the default backend.
    pub fn backend(mut self, name: impl Into<String>) -> Self {
        self.backend = Some(name.into());
        self
    }

    /// How long values are fresh. Default: the backend's.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        self.options.ttl = self.read("ttl", ttl);
        self
    }

    /// How long a loaded `None` is fresh. Default: it is not stored.
    pub fn none_ttl(mut self, ttl: impl IntoTtl) -> Self {
        self.options.none_ttl = self.read("none_ttl", ttl);
        self
    }

    /// The largest fraction by which a ttl is shortened, 0 to 1. Default: the backend's, 0 in memory.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.options.jitter = self.fraction("jitter", jitter);
        self
    }

    /// On this fraction of the calls that find a value, 0 to 1, the loader runs all the same and what it brings is
    /// compared with the value, which is what the call returns. Differences are counted and told. Default: 0.
    pub fn verify(mut self, fraction: f64) -> Self
    where
        V: PartialEq,
    {
        self.options.verify = self.fraction("verify", fraction);
        self.equal = Some(V::eq);
        self
    }

    /// The serializer by name, for backends that keep bytes. Default: the backend's.
    pub fn serializer(self, name: impl AsRef<str>) -> Self {
        self.serialized_by("serializer", name.as_ref(), |name| Ok(intern(name)))
    }

    /// What values go through on their way to a backend that keeps bytes, such as `"json"`; takes the place of
    /// [`serializer`](CacheBuilder::serializer). Default: the backend's.
    pub fn codec(self, codec: impl AsRef<str>) -> Self {
        self.serialized_by("codec", codec.as_ref(), serializer_of)
    }

    /// Tags of every entry, at most 254.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// A bump drops old entries. Default: 0.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Keys are stored as keyed hashes.
    pub fn hash_key(mut self) -> Self {
        self.hashed = true;
        self
    }

    /// Keys are personal: stored as keyed hashes, and in no log.
    pub fn pii(mut self) -> Self {
        self.pii = true;
        self.hash_key()
    }

    /// `"local"`, the default: one loader per missing key in this process. `"off"`: every caller loads.
    pub fn single_flight(mut self, mode: impl AsRef<str>) -> Self {
        match mode.as_ref() {
            "local" => self.options.single_flight = Some(true),
            "off" => self.options.single_flight = Some(false),
            other => self.problem(format!("single_flight `{other}`: expected \"local\" or \"off\"")),
        }
        self
    }

    /// How long a load keeps others waiting before one of them may lead. Default: 60 s.
    pub fn max_load_time(mut self, time: impl IntoTtl) -> Self {
        match self.read("max_load_time", time) {
            Some(Ttl::For(time)) => self.options.max_load_time = Some(time),
            Some(_) => self.problem("max_load_time has to be a length of time".into()),
            None => {}
        }
        self
    }

    /// Loaded values are stored only if this says so.
    pub fn when(mut self, when: fn(&V) -> bool) -> Self {
        self.when = Some(when);
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

    fn read(&mut self, option: &'static str, ttl: impl IntoTtl) -> Option<Ttl> {
        ttl.into_ttl().map_err(|error| self.problems.push(error.context("option", option))).ok()
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Error::new(ErrorKind::Config, text));
    }
}

impl<V: StoredValue> CacheBuilder<V> {
    /// Builds a cache that may use any backend.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with every option that cannot be used, [`ErrorKind::UnknownBackend`],
    /// [`ErrorKind::TypeMismatch`] when a cache of that name keeps another type, [`ErrorKind::Closed`].
    pub fn build(self) -> Result<Cache<V>>
    where
        V: Serialize + DeserializeOwned,
    {
        let facts = ValueFacts {
            is_none: is_none::<V>,
            codec: Some(Codec::new()),
            weigh: Some(weigh_serialized::<V>),
            direct: false,
            when: self.when,
            equal: self.equal,
        };
        self.make(facts)
    }

    /// Builds a cache for a type that cannot be serialized: it lives in memory, and a loaded `None` is stored like
    /// any value.
    ///
    /// # Errors
    ///
    /// As [`build`](CacheBuilder::build), and [`ErrorKind::Config`] for a backend that keeps bytes or weighs values.
    pub fn build_local(self) -> Result<Cache<V>> {
        let facts = ValueFacts {
            is_none: |_| false,
            codec: None,
            weigh: None,
            direct: false,
            when: self.when,
            equal: self.equal,
        };
        self.make(facts)
    }

    fn make(self, facts: ValueFacts<V>) -> Result<Cache<V>> {
        self.instance.check_open()?;
        let mut problems = self.problems;
        if self.name.is_empty() {
            problems.push(Error::new(ErrorKind::Config, "a cache needs a name"));
        }
        let mut tags = self.tags;
        make_distinct(&mut tags);
        problems.extend(check_tags(&tags).err());
        crate::instance::all(problems).map_err(|error| error.context("cache", self.name.as_str()))?;
        let level = Level { backend: self.backend.as_deref(), options: self.options, place: CODE };
        let kind = if self.hashed { KeyKind::Digest } else { KeyKind::Canonical };
        let keys = KeyTerms { kind, pii: self.pii };
        self.instance.check_cache(&self.name, level, keys, facts.kinds())?;
        let value = (TypeId::of::<V>(), std::any::type_name::<V>());
        let function = self.instance.functions().cache(&self.name, self.version, keys, value)?;
        let plan = self.instance.cache_plan(&function, level, facts.kinds(), &Overrides::default());
        let inner = Arc::new(Inner {
            instance: self.instance,
            function,
            backend: self.backend,
            options: self.options,
            tags,
            facts,
            plan: PlanRef::Shared(Arc::new(plan)).into(),
        });
        let replan: Weak<dyn Replan> = Arc::downgrade(&inner) as Weak<dyn Replan>;
        inner.instance.functions().follow(replan);
        Ok(Cache { inner })
    }
}
