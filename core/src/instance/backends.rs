//! Manages the backends of an instance: declared ones, and backend types that are used as names.

use std::sync::Arc;

use retainit_plugin::{BackendConfig, Error, ErrorKind, Listener, Result};

use super::Retainit;
use super::builder::all;
use super::listener::BackendListener;
use super::settings::InstanceShape;
use crate::Registry;
use crate::config::Effective;
use crate::engine::Store;
use crate::registry::bad_name;

impl Retainit {
    /// Adds a backend.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] for a name that is taken, [`ErrorKind::Config`] for what cannot be built and in code that
    /// a change of backends runs, [`ErrorKind::Closed`].
    pub fn register_backend(&self, name: &str, config: impl BackendConfig) -> Result<()> {
        self.engine().check_open()?;
        if let Some(why) = bad_name(name) {
            return Err(Error::new(ErrorKind::Config, format!("a backend cannot be called {name:?}: {why}")));
        }
        let store = self.build_store(name.into(), &config)?;
        let alone = self.change()?;
        let mut shape = self.0.shape.write();
        // Checked again under the lock: a `close` that began meanwhile may have passed over the backends already, and
        // nobody would close this one.
        self.engine().check_open()?;
        if shape.stores.contains_key(name) || shape.unlinked(name).is_some() {
            return Err(Error::new(ErrorKind::Duplicate, format!("a backend called `{name}` is registered already")));
        }
        shape.added.push((Arc::clone(&store.name), Arc::new(config)));
        shape.stores.insert(Arc::clone(&store.name), Arc::new(store));
        drop(shape);
        self.0.engine.bus.config_changed("register_backend", &format!("backends.{name}"));
        self.0.engine.bus.backend_is_there(&name.into());
        drop(alone);
        self.replan();
        Ok(())
    }

    /// Returns the names of the backends.
    pub fn backends(&self) -> Vec<String> {
        self.0.shape.read().stores.keys().map(|name| name.to_string()).collect()
    }

    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        crate::engine::EngineHost::stores(&*self.0)
    }

    pub(super) fn build_store(&self, name: Arc<str>, config: &dyn BackendConfig) -> Result<Store> {
        let listener =
            Arc::new(BackendListener::new(&name, &self.0.engine.bus, &self.0.functions, &self.0.engine.clock));
        let reports = (listener as Arc<dyn Listener>, &self.0.engine.bus);
        let (clock, namespace) = (Arc::clone(&self.0.engine.clock), self.0.engine.namespace());
        let of_instance = (namespace, self.0.is_production);
        Store::build(name, config, clock, &self.0.io, self.0.op_timeout, of_instance, reports)
    }

    /// Builds a linked type with the default configuration, under the type's name.
    pub(super) fn build_implicit(&self, name: &str) -> Result<Store> {
        let config = self.0.registry.backend(name).ok_or_else(|| self.unknown_backend(name))?;
        Ok(self.build_store(name.into(), &*config)?.implicit())
    }

    /// Returns a backend by name. The name of a linked type whose fields all have defaults makes one of that type.
    pub(crate) fn store(&self, name: &str) -> Result<Arc<Store>> {
        if let Some(store) = self.0.shape.read().known(name)? {
            return Ok(store);
        }
        let built = Arc::new(self.build_implicit(name)?);
        let mut shape = self.0.shape.write();
        // Checked again under the lock: another caller may have been faster, or a reload has declared the name.
        if let Some(store) = shape.known(name)? {
            return Ok(store);
        }
        shape.stores.insert(Arc::clone(&built.name), Arc::clone(&built));
        drop(shape);
        self.0.engine.bus.backend_is_there(&built.name);
        Ok(built)
    }

    /// Returns the smallest rights that the server of a backend has to give for this namespace, as its administrators
    /// write them: for Redis the command that makes a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`], and [`ErrorKind::Unsupported`] for a backend that has no server.
    pub fn policy(&self, backend: &str) -> Result<String> {
        let store = self.store(backend)?;
        store.policy.clone().ok_or_else(|| {
            let text = format!("the backend `{backend}` has no server that would ask for rights");
            Error::new(ErrorKind::Unsupported, text)
        })
    }

    /// Prepares backends: each checks the path or address that it is configured with.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with all problems.
    pub(crate) fn prepare(&self) -> Result<()> {
        let effective = self.effective();
        all(self.stores().iter().filter_map(|store| prepare(store, &effective).err()).collect())
    }

    fn unknown_backend(&self, name: &str) -> Error {
        let mut known = self.backends();
        known.extend(self.0.registry.names("backend"));
        known.sort();
        known.dedup();
        Error::new(ErrorKind::UnknownBackend, format!("no backend is called `{name}`; there are: {}", known.join(", ")))
    }

    /// Returns the backend of functions and caches that name none.
    pub(crate) fn default_store(&self) -> Result<Arc<Store>> {
        if let Some(problem) = &self.0.problem {
            return Err(Error::new(ErrorKind::Config, problem.clone()));
        }
        let (name, store) = {
            let shape = self.0.shape.read();
            let name = shape.default_name(&self.0.registry)?;
            let store = shape.known(&name)?;
            (name, store)
        };
        store.map_or_else(|| self.store(&name), Ok)
    }

    /// Makes the default backend, if it is a type that is used as a name.
    pub(super) fn make_default(&self) -> Result<()> {
        let name = self.0.shape.read().implicit_default(&self.0.registry);
        name.map_or(Ok(()), |name| self.store(&name).map(drop))
            .map_err(|error| error.with_context("option", "default_backend"))
    }
}

/// Prepares one backend. An error carries the place of the field that it is about.
pub(crate) fn prepare(store: &Store, effective: &Effective) -> Result<()> {
    let placed = |error| match effective.placed(error, &["backends", &store.name]) {
        Ok(error) => error,
        Err(error) => error.with_context("backend", &*store.name),
    };
    store.prepare().map_err(placed)
}

impl InstanceShape {
    /// Returns a backend that exists already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`] for one whose type is not linked; its name is then not used as a type.
    fn known(&self, name: &str) -> Result<Option<Arc<Store>>> {
        match self.unlinked(name) {
            Some(text) => Err(Error::new(ErrorKind::UnknownBackend, text)),
            None => Ok(self.stores.get(name).cloned()),
        }
    }

    /// Explains why a declared backend does not exist, if its type is not linked.
    fn unlinked(&self, name: &str) -> Option<String> {
        let declared = self.configured.backend(name)?;
        declared.config.is_none().then(|| declared.not_linked())
    }

    /// Returns the name of the default backend: the one that is set, else the one called `default`, else the only one;
    /// where none is configured, the type that registers itself for that. A backend whose type is not linked counts
    /// too.
    fn default_name(&self, registry: &Registry) -> Result<Arc<str>> {
        if let Some(name) = self.configured.main.default_backend_name() {
            return Ok(name.into());
        }
        let declared = self.configured.backends.iter().map(|backend| &backend.name);
        let mut all: Vec<&Arc<str>> = declared.chain(self.added.iter().map(|(name, _)| name)).collect();
        all.sort();
        match (self.configured.backends.is_empty(), all.as_slice()) {
            // Backends that code registers later do not replace it: functions may have stored entries there by then.
            (true, _) => registry.unconfigured_backend().map(Into::into).ok_or_else(|| {
                let text = "no backend is configured, and no linked one serves without: link one, or name it with \
                            `default_backend`";
                Error::new(ErrorKind::UnknownBackend, text)
            }),
            (false, [only]) => Ok(Arc::clone(only)),
            (false, _) if all.iter().any(|name| ***name == *"default") => Ok("default".into()),
            (false, _) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "several backends and no default: name one with `default_backend`, or call one `default`; there \
                     are: {}",
                    all.iter().map(|name| &***name).collect::<Vec<_>>().join(", ")
                ),
            )),
        }
    }

    /// Returns the name of the default backend, if it is a type that is used as a name.
    pub(super) fn implicit_default(&self, registry: &Registry) -> Option<Arc<str>> {
        let is_there = |name: &str| self.configured.declares(name) || self.stores.contains_key(name);
        self.default_name(registry).ok().filter(|name| !is_there(name))
    }
}
