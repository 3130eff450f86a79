//! Registers the functions and caches of an instance, and resolves their options into plans.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use retainit_plugin::{Error, ErrorKind, Result};

use retainit_plugin::lock::{Mutex, RwLock};

use super::Retainit;
use super::check::{bounded, cache_fits, fits};
use super::observers::{PlanObserver, PlanObservers};
use crate::config::FileLevel;
use crate::engine::plan::Bypass;
use crate::engine::{Function, Plan, PlanRef, RemovalListener, Store};
use crate::event::Bus;
use crate::key::KeyKind;
use crate::options::{Options, Overrides, Resolved};
use crate::runtime::quietly;
use crate::site::{Site, linked};
use crate::stats::{SiteNumber, Stats};
use crate::value::{Types, ValueKinds};

/// The functions and caches of one instance.
#[derive(Debug)]
pub(crate) struct Functions {
    known: Mutex<FunctionTable>,
    /// True once a cache receives its removed entries: all that other removals read.
    has_listeners: AtomicBool,
    /// Functions whose removed entries are received, by their numbers.
    listening: RwLock<HashMap<u32, Arc<Function>>>,
    bus: Arc<Bus>,
}

#[derive(Debug, Default)]
struct FunctionTable {
    by_site: HashMap<usize, Registered>,
    by_id: HashMap<String, Owner>,
    caches: HashMap<String, CacheRow>,
    all: Vec<Arc<Function>>,
    observers: PlanObservers,
}

#[derive(Clone, Debug)]
struct Registered {
    site: &'static Site,
    function: Arc<Function>,
    problem: Option<Arc<str>>,
}

/// Owner of an id that was given, not derived.
#[derive(Clone, Debug)]
struct Owner {
    site: Option<usize>,
    place: String,
}

#[derive(Clone, Debug)]
struct CacheRow {
    value: TypeId,
    value_name: &'static str,
    /// One function per version and kind of key.
    functions: Vec<Arc<Function>>,
}

impl Functions {
    pub(crate) fn new(bus: &Arc<Bus>) -> Functions {
        Functions {
            known: Mutex::default(),
            has_listeners: AtomicBool::new(false),
            listening: RwLock::default(),
            bus: Arc::clone(bus),
        }
    }

    pub(crate) fn by_site(&self) -> HashMap<u32, Arc<Function>> {
        self.known.lock().all.iter().map(|function| (function.site.get(), Arc::clone(function))).collect()
    }

    /// Returns the function whose entries carry this number.
    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<Function>> {
        self.known.lock().all.iter().find(|function| function.site.get() == number).cloned()
    }

    /// Passes the removed entries of a function to a listener.
    pub(crate) fn listen_to_removals(&self, function: &Arc<Function>, listener: &Arc<RemovalListener>) {
        function.removal_listeners.add(listener);
        self.listening.write().insert(function.site.get(), Arc::clone(function));
        self.has_listeners.store(true, Ordering::Release);
    }

    /// Returns the function whose entries carry this number, if its removed entries are received.
    pub(super) fn listening(&self, number: u32) -> Option<Arc<Function>> {
        if self.has_listeners.load(Ordering::Acquire) { self.listening.read().get(&number).cloned() } else { None }
    }

    /// Returns the function that full keys name by this id and version.
    pub(crate) fn by_id(&self, id: &str, version: &str) -> Option<Arc<Function>> {
        let is_it = |function: &&Arc<Function>| function.id == id && function.version.to_string() == version;
        self.known.lock().all.iter().find(is_it).cloned()
    }

    /// Adds a cache that makes its plan anew when settings change.
    pub(crate) fn follow(&self, cache: Weak<dyn PlanObserver>) {
        self.known.lock().observers.add(cache);
    }

    pub(super) fn replan_caches(&self) {
        // Cloned out of the lock: `replan` looks functions up, which takes the same lock.
        let observers = self.known.lock().observers.clone();
        observers.replan();
    }

    /// Returns the functions whose calls have run uncached, by their ids, with the reason.
    pub(super) fn uncached(&self) -> BTreeMap<String, Error> {
        let all = self.known.lock().all.clone();
        all.iter().filter_map(|function| Some((function.id.clone(), function.why_uncached()?))).collect()
    }

    /// Returns the functions that were called.
    pub(super) fn sites(&self) -> Vec<&'static Site> {
        self.known.lock().by_site.values().map(|registered| registered.site).collect()
    }

    /// Returns the ids of the functions that were called and of all caches.
    pub(super) fn ids(&self) -> Vec<String> {
        self.known.lock().all.iter().map(|function| function.id.clone()).collect()
    }

    /// Forgets the reasons why calls ran uncached, after the settings have changed.
    pub(super) fn forget_problems(&self) {
        self.known.lock().all.iter().for_each(|function| function.counters.forget_problem());
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for stats in self.known.lock().all.iter().map(|function| function.stats()) {
            sum.hits += stats.hits;
            sum.misses += stats.misses;
            sum.loads += stats.loads;
            sum.evictions += stats.evictions;
            sum.uncached += stats.uncached;
            sum.load_time += stats.load_time;
            sum.add_errors(&stats.errors_by_operation);
            sum.verified += stats.verified;
            sum.verify_mismatches += stats.verify_mismatches;
        }
        sum
    }

    /// Returns the function of a site, and registers it at its first call.
    fn register(&self, site: &'static Site) -> Result<Registered> {
        // One lock from the look to the insertion: two first calls at once would else make two functions with two
        // numbers, and entries stored under one would be missing under the other.
        let mut known = self.known.lock();
        if let Some(registered) = known.by_site.get(&site.address()) {
            return Ok(registered.clone());
        }
        let descriptor = &site.descriptor;
        let identity = Identity::of(site);
        // Ids that the source declares twice are known from linking, whichever of the functions is called first. The
        // table finds the rest: ids that are complete only now, and names of caches.
        let problem = match known.by_id.get(&identity.id) {
            _ if let Some(problem) = declared(site).and_then(|id| duplicate_ids().get(&id)) => Some(problem.clone()),
            Some(owner) if descriptor.id.is_some() || owner.site.is_none() => {
                Some(two_of_one_id(&identity.id, &owner.place, &descriptor.place()))
            }
            _ => None,
        };
        // The first owner keeps the id, so that the later one gets the problem at each call.
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
        let registered = Registered { site, function: Arc::new(function), problem: problem.map(Into::into) };
        known.all.push(Arc::clone(&registered.function));
        known.by_site.insert(site.address(), registered.clone());
        Ok(registered)
    }

    /// Returns the cache of a name, and makes it at its first use.
    pub(crate) fn cache(
        &self,
        name: &str,
        version: u32,
        keys: KeyTerms,
        value: (TypeId, &'static str),
    ) -> Result<Arc<Function>> {
        // One lock from the look to the insertion, as with functions: two builds at once must get the same number.
        let mut known = self.known.lock();
        if let Some(cache) = known.caches.get(name) {
            if cache.value != value.0 {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("the cache `{name}` keeps values of type {}, not {}", cache.value_name, value.1),
                ));
            }
            // Entries of other versions or kinds of keys cannot be found by this one, so that each has a number of its
            // own.
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
        let new = || CacheRow { value: value.0, value_name: value.1, functions: Vec::new() };
        known.caches.entry(name.to_owned()).or_insert_with(new).functions.push(Arc::clone(&function));
        Ok(function)
    }
}

pub(super) fn number() -> Result<SiteNumber> {
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

/// Returns the id that the source declares for a function, if it is meant to be unique: a given `id`, or a path.
pub(super) fn declared(site: &Site) -> Option<String> {
    let descriptor = &site.descriptor;
    let (path, named) = descriptor.path();
    let id = descriptor.id.map(str::to_owned).or_else(|| named.then_some(path))?;
    // Ids of instantiations continue with their types. The `<` keeps a generic function apart from one without types.
    Some(if descriptor.generic { id + "<" } else { id })
}

/// Returns the ids that more than one function of the program declares, with the text of the error. None of these
/// functions is cached: which one is called first, and would own the id in a shared store, differs between processes.
pub(super) fn duplicate_ids() -> &'static HashMap<String, String> {
    static DUPLICATES: OnceLock<HashMap<String, String>> = OnceLock::new();
    DUPLICATES.get_or_init(|| {
        let (mut places, mut duplicate_ids) = (HashMap::new(), HashMap::new());
        for (id, site) in linked().filter_map(|site| declared(site).map(|id| (id, site))) {
            let place = site.descriptor.place();
            if let Some(first) = places.insert(id.clone(), place.clone()) {
                duplicate_ids.insert(id.clone(), two_of_one_id(id.trim_end_matches('<'), &first, &place));
            }
        }
        duplicate_ids
    })
}

/// The id of a function, with the reason if it is not stable.
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) unstable: Option<&'static str>,
}

impl Identity {
    pub(super) fn of(site: &'static Site) -> Identity {
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
    /// Makes the plan of a function in this instance, outside every override.
    pub(crate) fn plan(&self, site: &'static Site) -> Result<Plan> {
        let plan = self.plan_under(site, &Overrides::default())?;
        plan.layers.advise(&plan.function.id);
        if plan.options.max_idle.is_some() && !plan.store.notes_reads() {
            let (function, backend) = (plan.function.id.as_str(), &*plan.store.name);
            let advice = "`max_idle` has no effect: this backend keeps bytes and does not know when they were read";
            quietly(|| tracing::warn!(target: "retainit::advisor", function, backend, "{advice}"));
        }
        Ok(plan)
    }

    /// Makes the plan of a function under overrides, for one call. A plan holds its instance, so the instance cannot
    /// cache it.
    pub(crate) fn scoped_plan(&self, site: &'static Site, overrides: &Overrides) -> Result<PlanRef> {
        self.plan_under(site, overrides).map(|plan| PlanRef::Shared(Arc::new(plan)))
    }

    fn plan_under(&self, site: &'static Site, overrides: &Overrides) -> Result<Plan> {
        let Registered { function, problem, .. } = self.registered().register(site)?;
        let at = |error: Error| error.with_context("at", site.descriptor.place());
        let fits = |store: &Arc<Store>| fits(self, site, &function, store).map_err(at);
        let problem = problem.map_or(Ok(()), |text| Err(Error::new(ErrorKind::Duplicate, text.to_string())));
        let types = site.descriptor.values.and_then(|values| values().types);
        Ok(self.resolve(Arc::clone(&function), attribute(site), types, overrides, problem, fits))
    }

    /// Makes the plan of a cache under overrides.
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

    /// Checks that a cache can be built with its backend, options and types.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`], and [`ErrorKind::Config`] for a backend or serializer that cannot hold its values
    /// or keys.
    pub(crate) fn check_cache(&self, name: &str, level: Level<'_>, keys: KeyTerms, kinds: ValueKinds) -> Result<()> {
        let own = self.backend_of(name, level.backend);
        let store = own.map_or_else(|| self.default_store(), |name| self.store(&name))?;
        cache_fits(self, name, keys, kinds, &store)?;
        bounded(name, &self.resolved(name, level, &store), &store)?;
        self.check_format(name, level, kinds.types, &store)
    }

    /// Checks that the serializer that is named for a function or cache can hold its values.
    pub(super) fn check_format(
        &self,
        id: &str,
        own: Level<'_>,
        types: Option<fn() -> Types>,
        store: &Store,
    ) -> Result<()> {
        self.chosen_format(id, store, self.resolved(id, own, store).serializer, types).map(drop)
    }

    /// Resolves the options of a function or cache outside every override.
    pub(super) fn resolved(&self, id: &str, own: Level<'_>, store: &Store) -> Resolved {
        let mut layers = self.layers(id, Options::NONE, own);
        self.add_backend(&mut layers, id, store);
        layers.resolve(store.serializes())
    }

    /// Lays the layers over each other and makes a plan. Whatever is wrong makes the plan bypass its store: calls run
    /// uncached.
    fn resolve(
        &self,
        function: Arc<Function>,
        own: Level<'_>,
        types: Option<fn() -> Types>,
        overrides: &Overrides,
        problem: Result<()>,
        fits: impl Fn(&Arc<Store>) -> Result<()>,
    ) -> Plan {
        let mut layers = self.layers(&function.id, overrides.options, own);
        let own_name = self.backend_of(&function.id, own.backend);
        let own_store = own_name.as_deref().map_or_else(|| self.default_store(), |name| self.store(name));
        // A backend that a profile enforces for the function also wins against overrides around the call.
        let is_fixed = self.configured().enforced_function_backends.contains_key(&function.id);
        let scoped = overrides.backend.as_deref().filter(|_| !is_fixed);
        let store = match scoped {
            Some(name) => self.store(name),
            None => own_store.as_ref().map(Arc::clone).map_err(again),
        };
        let unusable =
            overrides.problem.as_deref().map_or(Ok(()), |text| Err(Error::new(ErrorKind::Config, text.to_owned())));
        let checked = problem.and(unusable).and_then(|()| store.as_ref().map_err(again).and_then(&fits));
        let disabled = layers.is_disabled();
        // Even a plan that bypasses its store shows options and needs a store to point at.
        let store = store.unwrap_or_else(|_| self.nowhere());
        self.add_backend(&mut layers, &function.id, &store);
        let resolved = layers.resolve(store.serializes());
        let serializer = resolved.serializer;
        let checked = checked.and_then(|()| bounded(&function.id, &resolved, &store));
        let format = checked.and_then(|()| self.chosen_format(&function.id, &store, serializer, types));
        let bypass = match &format {
            // First: a program that disables a function expects no report of its other problems.
            _ if disabled => Some(Bypass::Disabled),
            Ok(_) => None,
            Err(error) => {
                let name = scoped.or(own_name.as_deref()).unwrap_or("default");
                function.not_cached("plan", name, error);
                Some(Bypass::Broken(error.report().into()))
            }
        };
        // `health` reports the function as it is outside overrides, which end with their calls.
        if overrides.is_empty() {
            function.counters.set_problem(format.as_ref().err());
        }
        // The store that an override hides still has entries: removals have to reach it too.
        let hidden = own_store.ok().filter(|own| !Arc::ptr_eq(own, &store));
        if let Some(hidden) = &hidden {
            layers.enforce(self.configured().enforced_backends.get(&*hidden.name));
        }
        Plan::new(self.context(), function, store, layers, format.ok().flatten(), hidden, bypass)
    }

    /// Returns the name of a function's own backend. `[override]` in files takes precedence over the function,
    /// `[functions]` does not.
    pub(super) fn backend_of(&self, id: &str, own: Option<&str>) -> Option<String> {
        let configured = self.configured();
        let file = |layers: &BTreeMap<String, FileLevel>| layers.get(id)?.backend.clone();
        let enforced = configured.enforced_function_backends.get(id).cloned();
        let above = enforced.or_else(|| file(&configured.overrides));
        above.or_else(|| own.map(str::to_owned)).or_else(|| file(&configured.functions))
    }

    /// Returns any store, for a plan that bypasses it and needs one to point at.
    pub(super) fn nowhere(&self) -> Arc<Store> {
        self.stores().into_iter().next().unwrap_or_else(|| Arc::new(Store::nowhere()))
    }
}

/// The kind of a cache's keys, and whether they are personal data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTerms {
    pub(crate) kind: KeyKind,
    pub(crate) pii: bool,
}

/// Backend and options that a function or cache sets itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) backend: Option<&'a str>,
    pub(crate) options: Options,
    /// `attribute` or `code`.
    pub(crate) place: &'static str,
}

pub(super) fn attribute(site: &'static Site) -> Level<'static> {
    Level { backend: site.descriptor.backend, options: site.descriptor.options, place: "attribute" }
}

fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.report())
}
