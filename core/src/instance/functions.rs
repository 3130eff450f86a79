//! The functions and caches an instance knows, and how their options come together.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Retainit;
use super::builder::all;
use crate::engine::plan::Bypass;
use crate::engine::{Function, Kind, Plan, PlanRef, Store};
use crate::key::KeyKind;
use crate::options::Options;
use crate::overrides::{Overrides, Scope};
use crate::rt::{Site, linked};
use crate::stats::{SiteNumber, Stats};
use crate::{Error, ErrorKind, Result};

/// The functions and caches of one instance.
#[derive(Debug, Default)]
pub(crate) struct Functions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_site: HashMap<usize, Registered>,
    by_id: HashMap<String, Owner>,
    caches: HashMap<String, Cache>,
    all: Vec<Arc<Function>>,
}

#[derive(Clone, Debug)]
struct Registered {
    function: Arc<Function>,
    problem: Option<Arc<str>>,
}

/// Who has an id that was given, not derived.
#[derive(Clone, Debug)]
struct Owner {
    site: Option<usize>,
    place: String,
}

#[derive(Clone, Debug)]
struct Cache {
    value: TypeId,
    value_name: &'static str,
    /// One per version and kind of key.
    functions: Vec<Arc<Function>>,
}

impl Functions {
    pub(crate) fn by_site(&self) -> HashMap<u32, Arc<Function>> {
        self.0.lock().all.iter().map(|function| (function.site.get(), Arc::clone(function))).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.0.lock().all.iter().map(|function| function.stats()) {
            sum.hits += stats.hits;
            sum.misses += stats.misses;
            sum.loads += stats.loads;
            sum.evictions += stats.evictions;
            sum.load_time += stats.load_time;
            sum.errors += stats.errors;
        }
        sum
    }

    /// The function behind a site, registered at its first call.
    fn register(&self, site: &'static Site) -> Result<Registered> {
        let mut known = self.0.lock();
        if let Some(registered) = known.by_site.get(&site.address()) {
            return Ok(registered.clone());
        }
        let descriptor = &site.descriptor;
        let identity = Identity::of(site);
        let problem = match known.by_id.get(&identity.id) {
            _ if let Some(problem) = declared(site).and_then(|id| twins().get(&id)) => Some(problem.clone()),
            Some(owner) if descriptor.id.is_some() || owner.site.is_none() => {
                Some(two_of_one_id(&identity.id, &owner.place, &descriptor.place()))
            }
            _ => None,
        };
        if descriptor.id.is_some() {
            let owner = Owner { site: Some(site.address()), place: descriptor.place() };
            known.by_id.entry(identity.id.clone()).or_insert(owner);
        }
        let keys = match (descriptor.hash_key || descriptor.pii, descriptor.template_key) {
            (true, _) => KeyKind::Digest,
            (false, true) => KeyKind::Text,
            (false, false) => KeyKind::Canonical,
        };
        let number = number()?;
        let mut function = Function::new(number, identity.id, descriptor.version, keys);
        function.unstable = identity.unstable;
        let registered = Registered { function: Arc::new(function), problem: problem.map(Into::into) };
        known.all.push(Arc::clone(&registered.function));
        known.by_site.insert(site.address(), registered.clone());
        Ok(registered)
    }

    /// The cache of a name, made at its first use.
    pub(crate) fn cache(
        &self,
        name: &str,
        version: u32,
        keys: KeyKind,
        value: (TypeId, &'static str),
    ) -> Result<Arc<Function>> {
        let mut known = self.0.lock();
        if let Some(cache) = known.caches.get(name) {
            if cache.value != value.0 {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("the cache `{name}` keeps values of type {}, not {}", cache.value_name, value.1),
                ));
            }
            if let Some(known) = cache.functions.iter().find(|f| (f.version, f.keys) == (version, keys)) {
                return Ok(Arc::clone(known));
            }
        } else if let Some(owner) = known.by_id.get(name) {
            let text = format!("the name `{name}` belongs to the retained function at {}", owner.place);
            return Err(Error::new(ErrorKind::Duplicate, text));
        }
        let function = Arc::new(Function::new(number()?, name.to_owned(), version, keys));
        known.all.push(Arc::clone(&function));
        known.by_id.insert(name.to_owned(), Owner { site: None, place: "a cache of that name".into() });
        let new = || Cache { value: value.0, value_name: value.1, functions: Vec::new() };
        known.caches.entry(name.to_owned()).or_insert_with(new).functions.push(Arc::clone(&function));
        Ok(function)
    }
}

fn number() -> Result<SiteNumber> {
    SiteNumber::take().ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "more than 262 000 functions and caches are alive: use keys, not cache names, for what varies",
        )
    })
}

fn two_of_one_id(id: &str, first: &str, second: &str) -> String {
    format!("two functions have the id `{id}`: at {first} and at {second}; give one of them another `id`")
}

/// The id of a function as the source declares it, where that is unique by intention.
fn declared(site: &Site) -> Option<String> {
    let descriptor = &site.descriptor;
    let (path, named) = descriptor.path();
    let id = descriptor.id.map(str::to_owned).or_else(|| named.then_some(path))?;
    // Instantiations have their types behind it, and so never the id of another function.
    Some(if descriptor.generic { id + "<" } else { id })
}

/// Ids that more than one function of the program declares, with what is to be said of them. None of these functions
/// is cached: in a shared store, the first to be called would differ from process to process.
fn twins() -> &'static HashMap<String, String> {
    static TWINS: OnceLock<HashMap<String, String>> = OnceLock::new();
    TWINS.get_or_init(|| {
        let (mut places, mut twins) = (HashMap::new(), HashMap::new());
        for (id, site) in linked().filter_map(|site| declared(site).map(|id| (id, site))) {
            let place = site.descriptor.place();
            if let Some(first) = places.insert(id.clone(), place.clone()) {
                twins.insert(id.clone(), two_of_one_id(id.trim_end_matches('<'), &first, &place));
            }
        }
        twins
    })
}

/// What a function is called.
struct Identity {
    id: String,
    unstable: Option<&'static str>,
}

impl Identity {
    fn of(site: &'static Site) -> Identity {
        let descriptor = &site.descriptor;
        let (path, named) = descriptor.path();
        let (id, stable) = match (descriptor.id, &site.label) {
            (Some(id), Some(label)) if descriptor.generic => {
                (format!("{id}{}", label.find('<').map_or("", |at| &label[at..])), true)
            }
            (Some(id), _) => (id.to_owned(), true),
            (None, Some(label)) if descriptor.generic => {
                (format!("{path}{}", label.find('<').map_or("", |at| &label[at..])), named)
            }
            (None, Some(label)) => (label.clone(), false),
            (None, None) => (path, named),
        };
        let unstable = (!stable).then_some("its name is not unique in the source: give it an `id`");
        Identity { id, unstable }
    }
}

// ---------------------------------------------------------------------------------------------------------- plans

impl Retainit {
    /// The plan of a function in this instance, outside every override.
    pub(crate) fn plan(&self, site: &'static Site) -> Result<Plan> {
        self.plan_under(site, &Overrides::default())
    }

    /// The plan of a function under a scope. It is made for the call: a plan holds its instance, so the instance cannot
    /// hold it.
    pub(crate) fn scoped_plan(&self, site: &'static Site, scope: &Scope) -> Result<PlanRef> {
        self.plan_under(site, &scope.overrides).map(|plan| PlanRef::Shared(Arc::new(plan)))
    }

    fn plan_under(&self, site: &'static Site, overrides: &Overrides) -> Result<Plan> {
        let Registered { function, problem } = self.functions().register(site)?;
        let attribute = Level { backend: site.descriptor.backend, options: site.descriptor.options };
        let fits = |store: &Arc<Store>| fits(self, site, &function, store);
        let problem = problem.map_or(Ok(()), |text| Err(Error::new(ErrorKind::Duplicate, text.to_string())));
        Ok(self.resolve(Arc::clone(&function), attribute, overrides, problem, fits))
    }

    /// The plan of a cache, under the overrides in force.
    pub(crate) fn cache_plan(&self, function: &Arc<Function>, level: Level<'_>, overrides: &Overrides) -> Plan {
        self.resolve(Arc::clone(function), level, overrides, Ok(()), |_| Ok(()))
    }

    /// Lays the levels over each other. What cannot be used makes the calls run uncached.
    fn resolve(
        &self,
        function: Arc<Function>,
        own: Level<'_>,
        overrides: &Overrides,
        problem: Result<()>,
        fits: impl Fn(&Arc<Store>) -> Result<()>,
    ) -> Plan {
        let own_store = own.backend.map_or_else(|| self.default_store(), |name| self.store(name));
        let store = match &overrides.backend {
            Some(name) => self.store(name),
            None => own_store.as_ref().map(Arc::clone).map_err(again),
        };
        let unusable =
            overrides.problem.as_deref().map_or(Ok(()), |text| Err(Error::new(ErrorKind::Config, text.to_owned())));
        let checked = problem.and(unusable).and_then(|()| store.as_ref().map_err(again).and_then(&fits));
        let bypass = match checked {
            _ if overrides.disabled == Some(true) => Some(Bypass::Disabled),
            Ok(()) => None,
            Err(error) => {
                function.failed("plan", overrides.backend.as_deref().or(own.backend).unwrap_or("default"), &error);
                Some(Bypass::Broken(error.to_string().into()))
            }
        };
        let store = store.unwrap_or_else(|_| self.nowhere());
        let hidden = own_store.ok().filter(|own| !Arc::ptr_eq(own, &store));
        let remote = matches!(store.kind, Kind::Bytes(_));
        let options = Options::from(overrides).over(&own.options).over(&store.options).resolve(remote);
        Plan::new(self.clone(), function, store, options, hidden, bypass)
    }

    /// Any store: a plan that bypasses it needs one to point at.
    fn nowhere(&self) -> Arc<Store> {
        self.stores().into_iter().next().unwrap_or_else(|| {
            Arc::new(Store {
                name: "none".into(),
                type_name: "none",
                options: Options::NONE,
                kind: Kind::Bytes(crate::engine::ByteStore::nowhere()),
                implicit: true,
            })
        })
    }
}

/// What a function or cache says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) backend: Option<&'a str>,
    pub(crate) options: Options,
}

fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}

/// Whether a function's values and keys can go to a store.
fn fits(instance: &Retainit, site: &'static Site, function: &Function, store: &Arc<Store>) -> Result<()> {
    let kinds = site.descriptor.values.map(|values| values());
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("`{}` cannot use the backend `{}`: {why}", function.id, store.name))
            .context("at", site.descriptor.place()))
    };
    match &store.kind {
        Kind::Object(object) if object.weighs() && kinds.is_some_and(|kinds| !kinds.weight) => {
            refuse("it has `max_bytes`, and the returned type implements neither `Weigh` nor `Serialize`")
        }
        Kind::Object(_) => Ok(()),
        Kind::Bytes(_) if kinds.is_some_and(|kinds| !kinds.bytes) => refuse(
            "the returned type does not implement `Serialize` and `DeserializeOwned`, or is spelled with a reference",
        ),
        Kind::Bytes(_) if site.descriptor.pii => {
            refuse("`pii` demands encryption, which this version does not have; keep it in memory")
        }
        Kind::Bytes(_) if function.keys == KeyKind::Digest && !instance.secret_is_given() => {
            refuse("its keys are hashed with a random secret; set `secret`")
        }
        Kind::Bytes(_) => function.unstable.map_or(Ok(()), refuse),
    }
}

/// Looks at every linked function.
pub(super) fn check(instance: &Retainit) -> Result<()> {
    let mut problems: Vec<_> = twins().values().map(|text| Error::new(ErrorKind::Duplicate, text.clone())).collect();
    for site in linked() {
        let descriptor = &site.descriptor;
        let store = descriptor.backend.map_or_else(|| instance.default_store(), |name| instance.store(name));
        // A generic function or method has no types before it is called; its calls are checked then.
        let checked = store.and_then(|store| {
            let nameless = descriptor.method && descriptor.id.is_none() && store.bytes().is_some();
            if (descriptor.generic || descriptor.method) && !nameless {
                return Ok(());
            }
            let identity = Identity::of(site);
            let keys = if descriptor.hash_key || descriptor.pii { KeyKind::Digest } else { KeyKind::Canonical };
            let mut function = Function::new(number()?, identity.id, descriptor.version, keys);
            function.unstable = identity.unstable;
            fits(instance, site, &function, &store)
        });
        if let Err(error) = checked {
            problems.push(error.context("function", format!("{} at {}", descriptor.path().0, descriptor.place())));
        }
    }
    all(problems)
}
