//! Checks functions before they are called: whether their backends can hold their values and keys.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use retainit_plugin::{Error, ErrorKind, Result};

use super::Retainit;
use super::builder::all;
use super::functions::{Identity, KeyTerms, attribute, declared, duplicate_ids, number};
use crate::config::nearest;
use crate::engine::{Function, Store, incomparable, volatile_errors};
use crate::key::KeyKind;
use crate::options::Resolved;
use crate::runtime::quietly;
use crate::site::{Site, linked};
use crate::value::ValueKinds;

const PII: &str = "`pii` demands encryption, which this version does not have; keep it in memory";

/// Checks that a store can hold a function's values and keys.
pub(super) fn fits(instance: &Retainit, site: &'static Site, function: &Function, store: &Arc<Store>) -> Result<()> {
    let kinds = site.descriptor.values.map(|values| values());
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("`{}` cannot use the backend `{}`: {why}", function.id, store.name)))
    };
    if store.weighs && kinds.is_some_and(|kinds| !kinds.weight) {
        return refuse("it has `max_bytes`, and the returned type implements neither `Weigh` nor `Serialize`");
    }
    if !store.serializes() {
        return Ok(());
    }
    if kinds.is_some_and(|kinds| kinds.types.is_none()) {
        return refuse(
            "the returned type does not implement `Serialize` and `DeserializeOwned`, or is spelled with a reference",
        );
    }
    if site.descriptor.pii {
        return refuse(PII);
    }
    if function.keys == KeyKind::Digest && !instance.secret_is_given() {
        return refuse("its keys are hashed with a random secret; set `secret`");
    }
    function.unstable.map_or(Ok(()), refuse)
}

/// Checks that a store bounds the entries of a function, if its options ask for that.
pub(super) fn bounded(id: &str, options: &Resolved, store: &Store) -> Result<()> {
    if options.max_entries.is_none() || store.bounds_functions() {
        return Ok(());
    }
    let text = format!(
        "`{id}` has `max_entries`, and the backend `{}` does not bound the entries of one function: name a backend in \
         memory, or bound the backend itself",
        store.name
    );
    Err(Error::new(ErrorKind::Config, text))
}

/// Checks that hits of a function can be verified, if its options ask for that. If its types are unknown before it is
/// called, its calls go on unverified and report that.
fn verifiable(site: &'static Site, id: &str, options: &Resolved) -> Result<()> {
    let can = site.descriptor.values.is_none_or(|values| values().equality);
    if options.verify > 0.0 && !can { Err(incomparable(id)) } else { Ok(()) }
}

/// Checks that errors of a function can be stored, if its options ask for that. If its types are unknown before it is
/// called, its errors are not stored, which is reported.
fn keeps_errors(site: &'static Site, id: &str, options: &Resolved, store: &Store) -> Result<()> {
    let can = !store.serializes() || site.descriptor.values.is_none_or(|values| values().errors);
    if options.err_ttl.is_some() && !can { Err(volatile_errors(id)) } else { Ok(()) }
}

/// Checks that a store can hold a cache's values and keys.
pub(super) fn cache_fits(
    instance: &Retainit,
    name: &str,
    keys: KeyTerms,
    kinds: ValueKinds,
    store: &Store,
) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("the cache `{name}` cannot use the backend `{}`: {why}", store.name)))
    };
    if store.weighs && !kinds.weight {
        return refuse("it has `max_bytes`, and the type has no weight; use `build`, or set a `weigher`");
    }
    if !store.serializes() {
        return Ok(());
    }
    if kinds.types.is_none() {
        return refuse("it keeps bytes, and `build_local` keeps values in memory only");
    }
    if kinds.removals {
        return refuse(
            "it keeps bytes, and `on_removal` receives values that leave memory; the event `cache_evict` is for both",
        );
    }
    if keys.pii {
        return refuse(PII);
    }
    if keys.kind == KeyKind::Digest && !instance.secret_is_given() {
        return refuse("its keys are hashed with a random secret; set `secret`");
    }
    Ok(())
}

/// Checks every linked function and reports all problems as one error.
pub(super) fn check(instance: &Retainit) -> Result<()> {
    let mut problems: Vec<_> =
        duplicate_ids().values().map(|text| Error::new(ErrorKind::Duplicate, text.clone())).collect();
    for site in linked() {
        let checked = look_at(instance, site).and_then(|known| {
            let Some(CheckedFunction { function, store, resolved }) = known else { return Ok(()) };
            keeps_errors(site, &function.id, &resolved, &store)?;
            verifiable(site, &function.id, &resolved)
        });
        if let Err(error) = checked {
            let descriptor = &site.descriptor;
            problems.push(error.with_context("function", format!("{} at {}", descriptor.path().0, descriptor.place())));
        }
    }
    advise(instance);
    all(problems)
}

/// A function that was checked before it is called.
struct CheckedFunction {
    function: Function,
    store: Arc<Store>,
    resolved: Resolved,
}

/// Checks a linked function. `None` for a generic one or a method, whose types are unknown before the first call: they
/// are checked then.
///
/// # Errors
///
/// Returns the reason why its calls run uncached.
fn look_at(instance: &Retainit, site: &'static Site) -> Result<Option<CheckedFunction>> {
    let (descriptor, identity) = (&site.descriptor, Identity::of(site));
    let own = instance.backend_of(&identity.id, descriptor.backend);
    let store = own.map_or_else(|| instance.default_store(), |name| instance.store(&name))?;
    let nameless = descriptor.method && descriptor.id.is_none() && store.serializes();
    if (descriptor.generic || descriptor.method) && !nameless {
        return Ok(None);
    }
    let keys = if descriptor.hash_key || descriptor.pii { KeyKind::Digest } else { KeyKind::Canonical };
    let mut function = Function::new(number()?, identity.id, descriptor.version, keys, instance.engine().bus());
    function.unstable = identity.unstable;
    fits(instance, site, &function, &store)?;
    let types = descriptor.values.and_then(|values| values().types);
    instance.check_format(&function.id, attribute(site), types, &store)?;
    let resolved = instance.resolved(&function.id, attribute(site), &store);
    bounded(&function.id, &resolved, &store)?;
    Ok(Some(CheckedFunction { function, store, resolved }))
}

/// Returns the functions and caches whose calls run uncached, by their ids, with the reason: those that were used here,
/// and for the installed instance all that are linked.
pub(super) fn uncached(instance: &Retainit) -> BTreeMap<String, Error> {
    let mut uncached = instance.registered().uncached();
    for site in linked().filter(|_| instance.is_installed()) {
        let id = declared(site).and_then(|id| duplicate_ids().get(&id));
        let twin = id.map(|text| Error::new(ErrorKind::Duplicate, text.clone()));
        if let Some(error) = twin.or_else(|| look_at(instance, site).err()) {
            uncached.insert(Identity::of(site).id, error);
        }
    }
    uncached
}

/// The number of unknown ids that are reported one by one with a suggestion: a file may have thousands, and each
/// suggestion compares the id with every function.
const SUGGESTIONS: usize = 8;
const LISTED: usize = 64;

/// Describes ids that files name and no function has: the place, and the id that was probably meant. They are no error:
/// another program may share the file, and a cache of that name may be built later.
pub(super) fn unknown_ids(instance: &Retainit) -> Vec<UnknownId> {
    let configured = instance.configured();
    let layers = configured.functions.iter().chain(&configured.overrides);
    let mut named: Vec<_> = layers.map(|(id, level)| (&level.place, id)).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let known = Ids::new(instance);
    named.retain(|(_, id)| !known.have(id));
    named.sort();
    let more = named.len().saturating_sub(LISTED);
    let listed = named.iter().take(LISTED).enumerate().map(|(number, (place, id))| {
        let text = format!("{}: no function of this program is called `{id}`", place.1);
        match (number < SUGGESTIONS).then(|| known.nearest(id)).flatten() {
            Some(nearest) => UnknownId { text: format!("{text}; did you mean `{nearest}`?"), is_mistake: true },
            None => UnknownId { text: format!("{text} (yet)"), is_mistake: false },
        }
    });
    let rest =
        || UnknownId { text: format!("{more} ids more that no function of this program has"), is_mistake: false };
    listed.chain((more > 0).then(rest)).collect()
}

/// Description of an id that a file names and no function has.
pub(super) struct UnknownId {
    pub(super) text: String,
    /// True if it resembles a known one, and so is hardly that of another program.
    is_mistake: bool,
}

/// Ids that functions have, or may get.
struct Ids {
    all: HashSet<String>,
    /// Names of methods without an id; the path before the name depends on the type.
    methods: HashSet<&'static str>,
}

impl Ids {
    fn new(instance: &Retainit) -> Ids {
        let is_method = |site: &&'static Site| site.descriptor.method && site.descriptor.id.is_none();
        let methods = linked().filter(is_method).map(|site| site.descriptor.name).collect();
        let others = linked().filter(|site| !is_method(site)).map(|site| Identity::of(site).id);
        Ids { all: others.chain(instance.registered().ids()).collect(), methods }
    }

    /// Returns whether a function has this id, or may get it: the id of a generic function is its name and its types.
    fn have(&self, id: &str) -> bool {
        let mut names = id.match_indices('<').take(16).map(|(at, _)| &id[..at]).chain([id]);
        names.any(|name| self.all.contains(name) || self.methods.contains(name.rsplit("::").next().unwrap_or(name)))
    }

    /// Finds the id that was probably meant: one of the same name in another module, else the nearest.
    fn nearest(&self, id: &str) -> Option<&str> {
        fn name(id: &str) -> &str {
            id.rsplit("::").next().unwrap_or(id)
        }
        let all = || self.all.iter().map(String::as_str);
        all().filter(|known| name(known) == name(id)).min().or_else(|| nearest(id, all()))
    }
}

/// Logs ids that no function has. Mistakes are printed where no log of the program shows them: nothing else would tell why
/// a setting has no effect.
pub(super) fn advise(instance: &Retainit) {
    for UnknownId { text, is_mistake } in unknown_ids(instance) {
        quietly(|| tracing::warn!(target: "retainit::advisor", "{text}"));
        if is_mistake {
            instance.engine().bus().print_advice(&text);
        }
    }
}
