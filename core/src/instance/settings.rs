//! Holds the settings of an instance, its backends and its configuration, which a reload swaps together.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use retainit_plugin::lock::MutexGuard;
use retainit_plugin::{BackendConfig, Error, ErrorKind, Result};

use super::Retainit;
use super::backends::prepare;
use crate::config::{CODE, Code, Configured, DEFAULT, Declared, Effective, EventsSection, Main, Sources, load};
use crate::engine::Store;
use crate::options;

pub(super) type Stores = BTreeMap<Arc<str>, Arc<Store>>;

/// Backends and configuration of an instance, swapped together by a reload.
#[derive(Clone, Debug)]
pub(super) struct InstanceShape {
    pub(super) stores: Stores,
    pub(super) configured: Arc<Configured>,
    /// Backends that code has registered since the instance was built.
    pub(super) added: Vec<(Arc<str>, Arc<dyn BackendConfig>)>,
}

/// Sources that the instance was built from; a reload reads them again.
#[derive(Debug)]
pub(super) struct InstanceSource {
    pub(super) sources: Sources,
    pub(super) main: Main,
    pub(super) events: EventsSection,
    pub(super) backends: Vec<(Arc<str>, Box<dyn BackendConfig>)>,
}

thread_local! {
    /// Address of the instance whose settings this thread is changing, or 0.
    static CHANGING: Cell<usize> = const { Cell::new(0) };
}

/// The lock under which settings change.
pub(super) struct Changing<'a> {
    _alone: MutexGuard<'a, ()>,
    outer: usize,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        CHANGING.set(self.outer);
    }
}

impl Retainit {
    /// Takes the lock under which settings change. Backends are built and advice is logged under it: code of others,
    /// which would wait for itself if it began another change.
    pub(super) fn change(&self) -> Result<Changing<'_>> {
        let own = Arc::as_ptr(&self.0).addr();
        if CHANGING.get() == own {
            let text = "backends cannot change while a change runs this code: do it after that has returned";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let alone = self.0.changes.lock();
        Ok(Changing { _alone: alone, outer: CHANGING.replace(own) })
    }

    /// Returns every setting with its source. `Display` lists them.
    pub fn effective(&self) -> Effective {
        let shape = self.0.shape.read();
        let mut effective = shape.configured.effective.clone();
        shape.added.iter().for_each(|(name, config)| effective.add_backend(name, &**config, CODE));
        for name in shape.stores.values().filter(|store| store.implicit).map(|store| &store.name) {
            if let Some(config) = self.0.registry.backend(name) {
                effective.add_backend(name, &*config, DEFAULT);
            }
        }
        effective
    }

    pub(crate) fn configured(&self) -> Arc<Configured> {
        Arc::clone(&self.0.shape.read().configured)
    }

    /// Returns a number that rises with every change of the settings that plans are made from.
    pub(crate) fn settings_revision(&self) -> u64 {
        self.0.settings_revision.load(Ordering::Acquire)
    }

    /// Reads the files and the environment again and applies them to every function.
    ///
    /// A reload changes options of functions and overrides, backends that are new or gone, and what functions inherit
    /// from backends (`ttl`, `jitter`, `max_idle`, `serializer`), and the limits of breakers. Calls see the old settings or the new ones, never a
    /// mixture; entries stay where the backend stays. Functions without a backend go to the default as `build` would
    /// choose it now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a configuration that cannot be used, and for changes that need a restart, which are
    /// named; [`ErrorKind::Config`] too in code that a change of backends runs, such as what builds a backend;
    /// [`ErrorKind::Duplicate`] for a new backend whose name is registered by code; [`ErrorKind::Closed`]. In all these
    /// cases nothing changes.
    pub fn reload(&self) -> Result<()> {
        self.engine().check_open()?;
        if let Some(problem) = &self.0.problem {
            return Err(Error::new(ErrorKind::Config, format!("call `init()` once this is put right: {problem}")));
        }
        // Held from reading to swapping: a registration in between would be lost, and of two reloads the one that read
        // the older files could win.
        let alone = self.change()?;
        let source = &self.0.source;
        let code = Code { main: &source.main, events: &source.events, backends: &source.backends };
        let configured = load(&source.sources, &code, &self.0.registry)?;
        let old = self.configured();
        // All changes are checked before the first is applied: a refused reload leaves everything as it was.
        let fixed: Vec<_> = fixed_changes(&old.effective, &configured.effective, &old.backends, &configured.backends);
        if !fixed.is_empty() {
            let text = format!("these settings cannot change at run time, restart the program: {}", fixed.join(", "));
            return Err(Error::new(ErrorKind::Config, text));
        }
        let changed: Vec<_> =
            old.effective.changes(&configured.effective).iter().map(|at| Effective::shown(at)).collect();
        let replaced = self.reshape(configured, &changed.join(", "))?;
        // Released before entries leave and plans are made: values that are dropped, listeners of removals and what
        // receives the log may call what takes this lock.
        drop(alone);
        let there = self.0.shape.read().stores.clone();
        let is_lost = |store: &&Arc<Store>| there.get(&store.name).is_none_or(|now| !now.is_same(store));
        replaced.stores.values().filter(is_lost).for_each(|store| store.forget());
        drop(replaced);
        self.replan();
        Ok(())
    }

    /// Applies the backends of a new configuration: builds new ones, removes others, and leaves the entries of those
    /// that stay. Returns the shape that is replaced: its owner forgets the entries of backends that are gone.
    fn reshape(&self, configured: Configured, changed: &str) -> Result<InstanceShape> {
        let configured = Arc::new(configured);
        let current = self.0.shape.read().clone();
        let mut next = InstanceShape { configured: Arc::clone(&configured), ..current.clone() };
        // Everything is built aside in `next`: an error leaves the present backends in use.
        for Declared { name, config, .. } in &configured.backends {
            if current.added.iter().any(|(added, _)| added == name) {
                let text = format!("backends.{name}: code has registered a backend of that name meanwhile");
                return Err(Error::new(ErrorKind::Duplicate, text));
            }
            // An implicit store was built from defaults: the declaration replaces it.
            let there = next.stores.remove(name).filter(|store| !store.implicit);
            let Some(config) = config else { continue };
            let store = match there {
                Some(store) => Store::clone(&store).with_settings(config.settings()),
                None => {
                    let store = self.build_store(Arc::clone(name), &**config)?;
                    prepare(&store, &configured.effective)?;
                    store
                }
            };
            next.stores.insert(Arc::clone(name), Arc::new(store));
        }
        let is_gone = |name: &Arc<str>| current.configured.declares(name) && !configured.declares(name);
        next.stores.retain(|name, _| !is_gone(name));
        if let Some(name) = next.implicit_default(&self.0.registry) {
            next.stores.insert(Arc::clone(&name), Arc::new(self.build_implicit(&name)?));
        }
        let replaced = self.swap(next);
        // Events follow the swap, so that a subscriber that looks at the instance finds the new settings.
        self.0.engine.bus.config_changed("reload", changed);
        let there = self.0.shape.read().stores.clone();
        let gone = current.stores.keys().filter(|name| !there.contains_key(*name));
        gone.for_each(|name| self.0.engine.bus.backend_is_gone(name));
        there.keys().for_each(|name| self.0.engine.bus.backend_is_there(name));
        Ok(replaced)
    }

    /// Puts new settings in place and returns the old ones. Stores that calls made of types used as names, since `next`
    /// was built, stay.
    fn swap(&self, mut next: InstanceShape) -> InstanceShape {
        let mut shape = self.0.shape.write();
        for (name, store) in shape.stores.iter().filter(|(_, store)| store.implicit) {
            if !next.configured.declares(name) {
                next.stores.insert(Arc::clone(name), Arc::clone(store));
            }
        }
        std::mem::replace(&mut *shape, next)
    }

    /// Makes functions and caches resolve their backends and options again.
    pub(super) fn replan(&self) {
        // The revision first: a plan that a call is making from the old settings is used for that call only.
        self.0.settings_revision.fetch_add(1, Ordering::AcqRel);
        self.registered().forget_problems();
        self.registered().replan_caches();
    }
}

/// Lists the changed settings that cannot change at run time.
fn fixed_changes(old: &Effective, new: &Effective, before: &[Declared], now: &[Declared]) -> Vec<String> {
    let stays = |name: &str| [before, now].iter().all(|all| all.iter().any(|backend| *backend.name == *name));
    let is_fixed = |path: &[String]| match path {
        [main] => main != "default_backend",
        [section, ..] if section == "functions" || section == "override" => false,
        [section, name, field] if section == "backends" => stays(name) && !is_reloaded(field),
        _ => true,
    };
    old.changes(new).into_iter().filter(|path| is_fixed(path)).map(|path| Effective::shown(&path)).collect()
}

/// Returns whether a reload changes a field of a backend: what functions inherit from it, and the limits of its breaker.
fn is_reloaded(field: &str) -> bool {
    options::is_inherited(field) || matches!(field, "breaker_threshold" | "breaker_timeout")
}
