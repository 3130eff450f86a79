//! The backends of an instance: those that are declared, and types of backends that are used as names.

use std::sync::Arc;

use retainit_plugin::BackendConfig;

use super::Retainit;
use super::settings::Shape;
use crate::engine::{Ear, Store};
use crate::registry::bad_name;
use crate::{Error, ErrorKind, Result};

impl Retainit {
    /// Adds a backend.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] for a name that is taken, [`ErrorKind::Config`] for what cannot be built,
    /// [`ErrorKind::Closed`].
    pub fn register_backend(&self, name: &str, config: impl BackendConfig) -> Result<()> {
        self.check_open()?;
        if let Some(why) = bad_name(name) {
            return Err(Error::new(ErrorKind::Config, format!("a backend cannot be called {name:?}: {why}")));
        }
        let store = self.build_store(name.into(), &config)?;
        let alone = self.0.changes.lock();
        let mut shape = self.0.shape.write();
        // A `close` that has begun meanwhile may have passed over the backends already.
        self.check_open()?;
        if shape.stores.contains_key(name) || shape.unlinked(name).is_some() {
            return Err(Error::new(ErrorKind::Duplicate, format!("a backend called `{name}` is registered already")));
        }
        shape.added.push((Arc::clone(&store.name), Arc::new(config)));
        shape.stores.insert(Arc::clone(&store.name), Arc::new(store));
        drop(shape);
        self.0.bus.config_changed("register_backend", &format!("backends.{name}"));
        self.0.bus.backend_is_there(&name.into());
        drop(alone);
        self.replan();
        Ok(())
    }

    /// The names of the backends.
    pub fn backends(&self) -> Vec<String> {
        self.0.shape.read().stores.keys().map(|name| name.to_string()).collect()
    }

    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        self.0.shape.read().stores.values().cloned().collect()
    }

    pub(super) fn build_store(&self, name: Arc<str>, config: &dyn BackendConfig) -> Result<Store> {
        let ear = Ear::new(&name, &self.0.bus, &self.0.functions, &self.0.clock);
        Store::build(name, config, Arc::clone(&self.0.clock), &self.0.io, self.0.op_timeout, ear)
    }

    /// A linked type whose configuration is all default, under its own name.
    pub(super) fn build_implicit(&self, name: &str) -> Result<Store> {
        let config = self.0.registry.backend(name).ok_or_else(|| self.unknown_backend(name))?;
        Ok(Store { implicit: true, ..self.build_store(name.into(), &*config)? })
    }

    /// A backend by name; a linked type whose configuration is all default may be used as a name.
    pub(crate) fn store(&self, name: &str) -> Result<Arc<Store>> {
        if let Some(store) = self.0.shape.read().known(name)? {
            return Ok(store);
        }
        let built = Arc::new(self.build_implicit(name)?);
        let mut shape = self.0.shape.write();
        // Another caller may have been faster, or a reload has declared the name.
        if let Some(store) = shape.known(name)? {
            return Ok(store);
        }
        shape.stores.insert(Arc::clone(&built.name), Arc::clone(&built));
        drop(shape);
        self.0.bus.backend_is_there(&built.name);
        Ok(built)
    }

    fn unknown_backend(&self, name: &str) -> Error {
        let mut known = self.backends();
        known.extend(self.0.registry.names("backend"));
        known.sort();
        known.dedup();
        Error::new(ErrorKind::UnknownBackend, format!("no backend is called `{name}`; there are: {}", known.join(", ")))
    }

    /// The backend of functions and caches that name none.
    pub(crate) fn default_store(&self) -> Result<Arc<Store>> {
        if let Some(problem) = &self.0.problem {
            return Err(Error::new(ErrorKind::Config, problem.clone()));
        }
        let (name, store) = {
            let shape = self.0.shape.read();
            let name = shape.default_name()?;
            let store = shape.known(&name)?;
            (name, store)
        };
        store.map_or_else(|| self.store(&name), Ok)
    }

    /// Makes the default, if it is a type that is used as a name.
    pub(super) fn make_default(&self) -> Result<()> {
        let name = self.0.shape.read().implicit_default();
        name.map_or(Ok(()), |name| self.store(&name).map(drop))
            .map_err(|error| error.context("option", "default_backend"))
    }
}

impl Shape {
    /// A backend that is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownBackend`] for one of a type that is not linked; its name never stands for a type.
    fn known(&self, name: &str) -> Result<Option<Arc<Store>>> {
        match self.unlinked(name) {
            Some(text) => Err(Error::new(ErrorKind::UnknownBackend, text)),
            None => Ok(self.stores.get(name).cloned()),
        }
    }

    /// Why a declared backend is not there, if its type is not linked.
    fn unlinked(&self, name: &str) -> Option<String> {
        let declared = self.configured.backends.iter().find(|backend| *backend.name == *name)?;
        declared.config.is_none().then(|| declared.not_linked())
    }

    /// The name of the backend of those who name none: what is set, else the one called `default`, else the only one,
    /// else memory. A backend whose type is not linked counts.
    fn default_name(&self) -> Result<Arc<str>> {
        if let Some(name) = self.configured.main.default_backend_name() {
            return Ok(name.into());
        }
        let declared = self.configured.backends.iter().map(|backend| &backend.name);
        let mut all: Vec<&Arc<str>> = declared.chain(self.added.iter().map(|(name, _)| name)).collect();
        all.sort();
        match (self.configured.backends.is_empty(), all.as_slice()) {
            // Backends that code registers later do not take the place of memory, where functions keep things by then.
            (true, _) => Ok("memory".into()),
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

    /// The default, if it is a type that is used as a name.
    pub(super) fn implicit_default(&self) -> Option<Arc<str>> {
        let is_there = |name: &str| self.configured.declares(name) || self.stores.contains_key(name);
        self.default_name().ok().filter(|name| !is_there(name))
    }
}
