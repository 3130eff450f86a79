//! What an instance is set to: its backends and what files say, swapped as one by a reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use retainit_plugin::BackendConfig;

use super::Retainit;
use crate::config::{Code, Configured, Declared, Effective, EventsSection, Main, Sources, load};
use crate::engine::Store;
use crate::{Error, ErrorKind, Result};

pub(super) type Stores = BTreeMap<Arc<str>, Arc<Store>>;

/// What a reload swaps.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) stores: Stores,
    pub(super) default_backend: Option<Arc<str>>,
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
        shape.added.iter().for_each(|(name, config)| effective.add_backend(name, &**config));
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
    /// mixture; entries stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a configuration that cannot be used, and for changes that need a restart, which are
    /// named; [`ErrorKind::Closed`]. Nothing changes then.
    pub fn reload(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "this instance is closed"));
        }
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
        let shape = self.reshaped(configured)?;
        let default = self.default_of(&shape)?;
        let there: Vec<_> = shape.stores.keys().cloned().collect();
        *self.0.shape.write() = Shape { default_backend: default, ..shape };
        self.0.bus.config_changed("reload", &changed.join(", "));
        self.0.bus.backends_are(&there);
        self.replan();
        Ok(())
    }

    /// The backends there are, with new settings; new ones beside them, and none that is gone.
    fn reshaped(&self, configured: Configured) -> Result<Shape> {
        let current = self.0.shape.read().clone();
        let declared_before: Vec<_> =
            current.configured.backends.iter().map(|backend| Arc::clone(&backend.name)).collect();
        let mut stores = current.stores;
        stores.retain(|name, _| {
            !declared_before.contains(name) || configured.backends.iter().any(|backend| backend.name == *name)
        });
        for Declared { name, config, .. } in &configured.backends {
            let Some(config) = config else { continue };
            let store = match stores.get(name).filter(|store| !store.implicit) {
                Some(store) => Store { options: config.settings().into(), ..Store::clone(store) },
                None => self.build_store(Arc::clone(name), &**config)?,
            };
            stores.insert(Arc::clone(name), Arc::new(store));
        }
        Ok(Shape { stores, default_backend: None, configured: Arc::new(configured), added: current.added })
    }

    /// Lets functions and caches decide again where they look and under which options.
    pub(super) fn replan(&self) {
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
        crate::global::replan(self);
        self.functions().replan_caches();
    }

    /// Sees to it that there is a default, in memory if nothing else is there.
    pub(super) fn choose_default(&self) -> Result<()> {
        let shape = self.0.shape.read().clone();
        let default = match self.default_of(&shape)? {
            None if shape.configured.backends.is_empty() => Some(Arc::clone(&self.store("memory")?.name)),
            default => default,
        };
        self.0.shape.write().default_backend = default;
        Ok(())
    }

    /// The default that was named.
    fn default_of(&self, shape: &Shape) -> Result<Option<Arc<str>>> {
        let Some(name) = shape.configured.main.default_backend_name() else { return Ok(None) };
        if !shape.stores.contains_key(name) {
            self.store(name).map_err(|error| error.context("option", "default_backend"))?;
        }
        Ok(Some(name.into()))
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
