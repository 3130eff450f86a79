//! What an instance is set to: its backends and what files say, swapped as one by a reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use retainit_plugin::BackendConfig;

use super::Retainit;
use crate::config::{CODE, Code, Configured, DEFAULT, Declared, Effective, EventsSection, Main, Sources, load};
use crate::engine::Store;
use crate::{Error, ErrorKind, Result};

pub(super) type Stores = BTreeMap<Arc<str>, Arc<Store>>;

/// What a reload swaps.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) stores: Stores,
    pub(super) configured: Arc<Configured>,
    /// Backends that code has registered since.
    pub(super) added: Vec<(Arc<str>, Arc<dyn BackendConfig>)>,
}

/// What the instance was made from; asked again by a reload.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) sources: Sources,
    pub(super) main: Main,
    pub(super) events: EventsSection,
    pub(super) backends: Vec<(Arc<str>, Box<dyn BackendConfig>)>,
}

impl Retainit {
    /// Every setting, with where it was said. `Display` lists them.
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

    /// Goes up with every change of what plans are made from.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Reads the files and the environment again and lets every function follow them.
    ///
    /// What changes: options of functions and overrides, backends that are new or gone, and what functions inherit
    /// from backends (`ttl`, `jitter`, `max_idle`, `serializer`). Calls see the old settings or the new ones, never a
    /// mixture; entries stay where the backend stays. Functions without a backend go to the default as `build` would
    /// choose it now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a configuration that cannot be used, and for changes that need a restart, which are
    /// named; [`ErrorKind::Duplicate`] for a new backend whose name code has taken; [`ErrorKind::Closed`]. Nothing
    /// changes then.
    pub fn reload(&self) -> Result<()> {
        self.check_open()?;
        if let Some(problem) = &self.0.problem {
            return Err(Error::new(ErrorKind::Config, format!("call `init()` once this is put right: {problem}")));
        }
        let alone = self.0.changes.lock();
        let source = &self.0.source;
        let code = Code { main: &source.main, events: &source.events, backends: &source.backends };
        let configured = load(&source.sources, &code, &self.0.registry)?;
        let old = self.configured();
        let fixed: Vec<_> = fixed_changes(&old.effective, &configured.effective, &old.backends, &configured.backends);
        if !fixed.is_empty() {
            let text = format!("these settings cannot change at run time, restart the program: {}", fixed.join(", "));
            return Err(Error::new(ErrorKind::Config, text));
        }
        let changed: Vec<_> =
            old.effective.changes(&configured.effective).iter().map(|at| Effective::shown(at)).collect();
        self.reshape(configured, &changed.join(", "))?;
        drop(alone);
        self.replan();
        Ok(())
    }

    /// Lets the backends be those of a new configuration: new ones come, others go, and those that stay keep what they
    /// hold.
    fn reshape(&self, configured: Configured, changed: &str) -> Result<()> {
        let configured = Arc::new(configured);
        let current = self.0.shape.read().clone();
        let mut next = Shape { configured: Arc::clone(&configured), ..current.clone() };
        for Declared { name, config, .. } in &configured.backends {
            if current.added.iter().any(|(added, _)| added == name) {
                let text = format!("backends.{name}: code has registered a backend of that name meanwhile");
                return Err(Error::new(ErrorKind::Duplicate, text));
            }
            let there = next.stores.remove(name).filter(|store| !store.implicit);
            let Some(config) = config else { continue };
            let store = match there {
                Some(store) => Store { options: config.settings().into(), ..Store::clone(&store) },
                None => self.build_store(Arc::clone(name), &**config)?,
            };
            next.stores.insert(Arc::clone(name), Arc::new(store));
        }
        let is_gone = |name: &Arc<str>| current.configured.declares(name) && !configured.declares(name);
        next.stores.retain(|name, _| !is_gone(name));
        if let Some(name) = next.implicit_default() {
            next.stores.insert(Arc::clone(&name), Arc::new(self.build_implicit(&name)?));
        }
        self.swap(next);
        self.0.bus.config_changed("reload", changed);
        let there = self.0.shape.read().stores.clone();
        let gone = current.stores.keys().filter(|name| !there.contains_key(*name));
        gone.for_each(|name| self.0.bus.backend_is_gone(name));
        there.keys().for_each(|name| self.0.bus.backend_is_there(name));
        Ok(())
    }

    /// Puts new settings in place. Types that have been used as names since they were made stay.
    fn swap(&self, mut next: Shape) {
        let mut shape = self.0.shape.write();
        for (name, store) in shape.stores.iter().filter(|(_, store)| store.implicit) {
            if !next.configured.declares(name) {
                next.stores.insert(Arc::clone(name), Arc::clone(store));
            }
        }
        let old = std::mem::replace(&mut *shape, next);
        drop(shape);
        // Backends may take their time to go, so not under the lock.
        drop(old);
    }

    /// Lets functions and caches decide again where they look and under which options.
    pub(super) fn replan(&self) {
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
        crate::global::replan(self);
        self.functions().replan_caches();
    }
}

/// Fields of backends that functions inherit, so that they may change.
const INHERITED: [&str; 4] = ["ttl", "jitter", "max_idle", "serializer"];

/// What has changed and cannot at run time.
fn fixed_changes(old: &Effective, new: &Effective, before: &[Declared], now: &[Declared]) -> Vec<String> {
    let kept = |name: &str| [before, now].iter().all(|all| all.iter().any(|backend| *backend.name == *name));
    let is_fixed = |path: &[String]| match path {
        [main] => main != "default_backend",
        [section, ..] if section == "functions" || section == "override" => false,
        [section, name, field] if section == "backends" => kept(name) && !INHERITED.contains(&field.as_str()),
        _ => true,
    };
    old.changes(new).into_iter().filter(|path| is_fixed(path)).map(|path| Effective::shown(&path)).collect()
}
