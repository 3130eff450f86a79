//! The functions and caches an instance knows, and how their options come together.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::Retainit;
use super::builder::all;
use super::levels::Levels;
use super::replan::{Followers, Replan};
use crate::config::FileLevel;
use crate::engine::plan::Bypass;
use crate::engine::{Function, Kind, Plan, PlanRef, Store, incomparable, volatile_errors};
use crate::event::Bus;
use crate::key::KeyKind;
use crate::options::{Options, Resolved};
use crate::overrides::{Overrides, Scope};
use crate::rt::{Site, Types, ValueKinds, linked};
use crate::stats::{SiteNumber, Stats};
use crate::{Error, ErrorKind, Result};

/// The functions and caches of one instance.
#[derive(Debug)]
pub(crate) struct Functions {
    known: Mutex<Known>,
    bus: Arc<Bus>,
}

#[derive(Debug, Default)]
struct Known {
    by_site: HashMap<usize, Registered>,
    by_id: HashMap<String, Owner>,
    caches: HashMap<String, Cache>,
    all: Vec<Arc<Function>>,
    followers: Followers,
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
    pub(crate) fn new(bus: &Arc<Bus>) -> Functions {
        Functions { known: Mutex::default(), bus: Arc::clone(bus) }
    }

    pub(crate) fn by_site(&self) -> HashMap<u32, Arc<Function>> {
        self.known.lock().all.iter().map(|function| (function.site.get(), Arc::clone(function))).collect()
    }

    /// The function whose entries carry this number.
    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<Function>> {
        self.known.lock().all.iter().find(|function| function.site.get() == number).cloned()
    }

    /// The function that full keys name so.
    pub(crate) fn by_id(&self, id: &str, version: &str) -> Option<Arc<Function>> {
        let is_it = |function: &&Arc<Function>| function.id == id && function.version.to_string() == version;
        self.known.lock().all.iter().find(is_it).cloned()
    }

    /// Lets a cache hear of changes to what plans are made from.
    pub(crate) fn follow(&self, cache: Weak<dyn Replan>) {
        self.known.lock().followers.add(cache);
    }

    pub(super) fn replan_caches(&self) {
        // Making a plan asks for functions, so not under the lock.
        let followers = self.known.lock().followers.clone();
        followers.replan();
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.known.lock().all.iter().map(|function| function.stats()) {
            sum.hits += stats.hits;
            sum.misses += stats.misses;
            sum.loads += stats.loads;
            sum.evictions += stats.evictions;
            sum.load_time += stats.load_time;
            sum.add_errors(&stats.errors_by_operation);
            sum.verified += stats.verified;
            sum.verify_mismatches += stats.verify_mismatches;
        }
        sum
    }

    /// The function behind a site, registered at its first call.
    fn register(&self, site: &'static Site) -> Result<Registered> {
        let mut known = self.known.lock();
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
        let mut function = Function::new(number, identity.id, descriptor.version, keys, &self.bus);
        function.unstable = identity.unstable;
        function.pii = descriptor.pii;
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
        keys: KeyTerms,
        value: (TypeId, &'static str),
    ) -> Result<Arc<Function>> {
        let mut known = self.known.lock();
        if let Some(cache) = known.caches.get(name) {
            if cache.value != value.0 {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("the cache `{name}` keeps values of type {}, not {}", cache.value_name, value.1),
                ));
            }
            if let Some(known) =
                cache.functions.iter().find(|f| (f.version, f.keys, f.pii) == (version, keys.kind, keys.pii))
            {
                return Ok(Arc::clone(known));
            }
        } else if let Some(owner) = known.by_id.get(name) {
            let text = format!("the name `{name}` belongs to the retained function at {}", owner.place);
            return Err(Error::new(ErrorKind::Duplicate, text));
        }
        let mut function = Function::new(number()?, name.to_owned(), version, keys.kind, &self.bus);
        function.pii = keys.pii;
        let function = Arc::new(function);
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
        let plan = self.plan_under(site, &Overrides::default())?;
        plan.levels.advise(&plan.function.id);
        Ok(plan)
    }

    /// The plan of a function under a scope. It is made for the call: a plan holds its instance, so the instance cannot
    /// hold it.
    pub(crate) fn scoped_plan(&self, site: &'static Site, scope: &Scope) -> Result<PlanRef> {
        self.plan_under(site, &scope.overrides).map(|plan| PlanRef::Shared(Arc::new(plan)))
    }

    fn plan_under(&self, site: &'static Site, overrides: &Overrides) -> Result<Plan> {
        let Registered { function, problem } = self.functions().register(site)?;
        let fits = |store: &Arc<Store>| fits(self, site, &function, store);
        let problem = problem.map_or(Ok(()), |text| Err(Error::new(ErrorKind::Duplicate, text.to_string())));
        let types = site.descriptor.values.and_then(|values| values().types);
        Ok(self.resolve(Arc::clone(&function), attribute(site), types, overrides, problem, fits))
    }

    /// The plan of a cache, under the overrides in force.
    pub(crate) fn cache_plan(
        &self,
        function: &Arc<Function>,
        level: Level<'_>,
        kinds: ValueKinds,
        overrides: &Overrides,
    ) -> Plan {
        let keys = KeyTerms { kind: function.keys, pii: function.pii };
        let fits = |store: &Arc<Store>| cache_fits(self, &function.id, keys, kinds, store);
        self.resolve(Arc::clone(function), level, kinds.types, overrides, Ok(()), fits)
    }

    /// Whether a cache can be built as it is asked for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`], and [`ErrorKind::Config`] for a backend or serializer that cannot hold its values
    /// or keys.
    pub(crate) fn check_cache(&self, name: &str, level: Level<'_>, keys: KeyTerms, kinds: ValueKinds) -> Result<()> {
        let own = self.backend_of(name, level.backend);
        let store = own.map_or_else(|| self.default_store(), |name| self.store(&name))?;
        cache_fits(self, name, keys, kinds, &store)?;
        self.check_format(name, level, kinds.types, &store)
    }

    /// Whether the serializer that is named for a function or cache can hold its values.
    fn check_format(&self, id: &str, own: Level<'_>, types: Option<fn() -> Types>, store: &Store) -> Result<()> {
        self.chosen_format(id, store, self.resolved(id, own, store).serializer, types).map(drop)
    }

    /// What holds for a function or cache outside every override.
    fn resolved(&self, id: &str, own: Level<'_>, store: &Store) -> Resolved {
        let mut levels = Levels::new(self, id, Options::NONE, own);
        levels.on(self, id, store);
        levels.resolve(store.bytes().is_some())
    }

    /// Lays the levels over each other. What cannot be used makes the calls run uncached.
    fn resolve(
        &self,
        function: Arc<Function>,
        own: Level<'_>,
        types: Option<fn() -> Types>,
        overrides: &Overrides,
        problem: Result<()>,
        fits: impl Fn(&Arc<Store>) -> Result<()>,
    ) -> Plan {
        let mut levels = Levels::new(self, &function.id, Options::from(overrides), own);
        let own_name = self.backend_of(&function.id, own.backend);
        let own_store = own_name.as_deref().map_or_else(|| self.default_store(), |name| self.store(name));
        let is_fixed = self.configured().enforced_function_backends.contains_key(&function.id);
        let scoped = overrides.backend.as_deref().filter(|_| !is_fixed);
        let store = match scoped {
            Some(name) => self.store(name),
            None => own_store.as_ref().map(Arc::clone).map_err(again),
        };
        let unusable =
            overrides.problem.as_deref().map_or(Ok(()), |text| Err(Error::new(ErrorKind::Config, text.to_owned())));
        let checked = problem.and(unusable).and_then(|()| store.as_ref().map_err(again).and_then(&fits));
        let disabled = levels.is_disabled();
        let store = store.unwrap_or_else(|_| self.nowhere());
        levels.on(self, &function.id, &store);
        let serializer = levels.resolve(true).serializer;
        let format = checked.and_then(|()| self.chosen_format(&function.id, &store, serializer, types));
        let bypass = match &format {
            _ if disabled => Some(Bypass::Disabled),
            Ok(_) => None,
            Err(error) => {
                let name = scoped.or(own_name.as_deref()).unwrap_or("default");
                function.failed("plan", name, error);
                Some(Bypass::Broken(error.to_string().into()))
            }
        };
        let hidden = own_store.ok().filter(|own| !Arc::ptr_eq(own, &store));
        if let Some(hidden) = &hidden {
            levels.hide(self, hidden);
        }
        Plan::new(self.clone(), function, store, levels, format.ok().flatten(), hidden, bypass)
    }

    /// The name of a function's own backend: files may stand above or below what the function itself says.
    fn backend_of(&self, id: &str, own: Option<&str>) -> Option<String> {
        let configured = self.configured();
        let file = |levels: &BTreeMap<String, FileLevel>| levels.get(id)?.backend.clone();
        let enforced = configured.enforced_function_backends.get(id).cloned();
        let above = enforced.or_else(|| file(&configured.overrides));
        above.or_else(|| own.map(str::to_owned)).or_else(|| file(&configured.functions))
    }

    /// Any store: a plan that bypasses it needs one to point at.
    fn nowhere(&self) -> Arc<Store> {
        self.stores().into_iter().next().unwrap_or_else(|| {
            Arc::new(Store {
                name: "none".into(),
                type_name: "none",
                options: Options::NONE,
                kind: Kind::Bytes(crate::engine::ByteStore::nowhere()),
                weighs: false,
                implicit: true,
            })
        })
    }
}

const PII: &str = "`pii` demands encryption, which this version does not have; keep it in memory";

/// How the keys of a cache are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTerms {
    pub(crate) kind: KeyKind,
    pub(crate) pii: bool,
}

/// What a function or cache says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) backend: Option<&'a str>,
    pub(crate) options: Options,
    /// `attribute` or `code`.
    pub(crate) place: &'static str,
}

fn attribute(site: &'static Site) -> Level<'static> {
    Level { backend: site.descriptor.backend, options: site.descriptor.options, place: "attribute" }
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
        Kind::Object(_) if store.weighs && kinds.is_some_and(|kinds| !kinds.weight) => {
            refuse("it has `max_bytes`, and the returned type implements neither `Weigh` nor `Serialize`")
        }
        Kind::Object(_) => Ok(()),
        Kind::Bytes(_) if kinds.is_some_and(|kinds| kinds.types.is_none()) => refuse(
            "the returned type does not implement `Serialize` and `DeserializeOwned`, or is spelled with a reference",
        ),
        Kind::Bytes(_) if site.descriptor.pii => refuse(PII),
        Kind::Bytes(_) if function.keys == KeyKind::Digest && !instance.secret_is_given() => {
            refuse("its keys are hashed with a random secret; set `secret`")
        }
        Kind::Bytes(_) => function.unstable.map_or(Ok(()), refuse),
    }
}

/// Whether hits of a function can be verified, where its options ask for that. If nobody knows its types before it is
/// called, the calls go on unverified, and say so.
fn verifiable(site: &'static Site, id: &str, options: &Resolved) -> Result<()> {
    let can = site.descriptor.values.is_none_or(|values| values().equality);
    if options.verify > 0.0 && !can { Err(incomparable(id)) } else { Ok(()) }
}

/// Whether errors of a function can be kept where its options ask for that. If nobody knows its types before it is
/// called, its errors are not kept, and that is told.
fn keeps_errors(site: &'static Site, id: &str, options: &Resolved, store: &Store) -> Result<()> {
    let can = store.bytes().is_none() || site.descriptor.values.is_none_or(|values| values().errors);
    if options.err_ttl.is_some() && !can { Err(volatile_errors(id)) } else { Ok(()) }
}

/// Whether a cache's values and keys can go to a store.
fn cache_fits(instance: &Retainit, name: &str, keys: KeyTerms, kinds: ValueKinds, store: &Store) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("the cache `{name}` cannot use the backend `{}`: {why}", store.name)))
    };
    match &store.kind {
        Kind::Bytes(_) if kinds.types.is_none() => {
            refuse("it keeps bytes, and `build_local` keeps values in memory only")
        }
        Kind::Bytes(_) if keys.pii => refuse(PII),
        Kind::Bytes(_) if keys.kind == KeyKind::Digest && !instance.secret_is_given() => {
            refuse("its keys are hashed with a random secret; set `secret`")
        }
        Kind::Object(_) if store.weighs && !kinds.weight => {
            refuse("it has `max_bytes`, and the type has no weight; use `build`")
        }
        _ => Ok(()),
    }
}

/// Looks at every linked function.
pub(super) fn check(instance: &Retainit) -> Result<()> {
    let mut problems: Vec<_> = twins().values().map(|text| Error::new(ErrorKind::Duplicate, text.clone())).collect();
    for site in linked() {
        let descriptor = &site.descriptor;
        let own = instance.backend_of(&Identity::of(site).id, descriptor.backend);
        let store = own.map_or_else(|| instance.default_store(), |name| instance.store(&name));
        // A generic function or method has no types before it is called; its calls are checked then.
        let checked = store.and_then(|store| {
            let nameless = descriptor.method && descriptor.id.is_none() && store.bytes().is_some();
            if (descriptor.generic || descriptor.method) && !nameless {
                return Ok(());
            }
            let identity = Identity::of(site);
            let keys = if descriptor.hash_key || descriptor.pii { KeyKind::Digest } else { KeyKind::Canonical };
            let mut function = Function::new(number()?, identity.id, descriptor.version, keys, instance.bus());
            function.unstable = identity.unstable;
            fits(instance, site, &function, &store)?;
            let types = descriptor.values.and_then(|values| values().types);
            instance.check_format(&function.id, attribute(site), types, &store)?;
            let resolved = instance.resolved(&function.id, attribute(site), &store);
            keeps_errors(site, &function.id, &resolved, &store)?;
            verifiable(site, &function.id, &resolved)
        });
        if let Err(error) = checked {
            problems.push(error.context("function", format!("{} at {}", descriptor.path().0, descriptor.place())));
        }
    }
    advise(instance);
    all(problems)
}

/// Functions that files name and the program does not have. A cache of that name may come later, so it is no error.
fn advise(instance: &Retainit) {
    let configured = instance.configured();
    let linked: Vec<String> = linked().map(|site| Identity::of(site).id).collect();
    let caches: Vec<String> = instance.functions().known.lock().caches.keys().cloned().collect();
    for id in configured.functions.keys().chain(configured.overrides.keys()) {
        let is_there = |known: &String| known == id || id.starts_with(&format!("{known}<"));
        if !linked.iter().chain(&caches).any(is_there) {
            tracing::warn!(target: "retainit::advisor", function = id, "a file names a function that is not there (yet)");
        }
    }
}
