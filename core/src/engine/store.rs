use std::sync::Arc;

use retainit_plugin::{Built, Context, Listener, ObjectBackend, Removal, RemovalCause};

use super::ByteStore;
use crate::options::Options;
use crate::runtime::Io;
use crate::stats::{Count, count};
use crate::{Error, Result};

/// A backend under its name.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) name: Arc<str>,
    pub(crate) type_name: &'static str,
    pub(crate) options: Options,
    pub(crate) kind: Kind,
    /// Made because a function named a type of backend; it is nobody's default.
    pub(crate) implicit: bool,
}

/// How a backend keeps things.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Values as they are.
    Object(Arc<dyn ObjectBackend>),
    /// Bytes.
    Bytes(ByteStore),
}

impl Store {
    pub(crate) fn build(
        name: Arc<str>,
        config: &dyn retainit_plugin::BackendConfig,
        clock: Arc<dyn retainit_plugin::Clock>,
        io: &Arc<Io>,
        op_timeout: std::time::Duration,
    ) -> Result<Store> {
        let ear = Arc::new(Ear { backend: Arc::clone(&name) });
        let built = config
            .build(Context::new(Arc::clone(&name), clock, ear))
            .map_err(|error| error.context("backend", &*name))?;
        let kind = match built {
            Built::Object(object) => Kind::Object(object),
            Built::Bytes(backend) => Kind::Bytes(ByteStore::remote(backend, io, op_timeout)),
            Built::Local(backend) => Kind::Bytes(ByteStore::local(backend, io, op_timeout)),
            other => {
                return Err(Error::new(
                    crate::ErrorKind::Unsupported,
                    format!("this version of retainit does not know how to use {other:?}"),
                ));
            }
        };
        Ok(Store { name, type_name: config.type_name(), options: config.settings().into(), kind, implicit: false })
    }

    /// The bytes side, if it is one.
    pub(crate) fn bytes(&self) -> Option<&ByteStore> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Object(_) => None,
        }
    }
}

/// Hears a backend for its instance.
#[derive(Debug)]
struct Ear {
    backend: Arc<str>,
}

impl Listener for Ear {
    fn removed(&self, removal: Removal<'_>) {
        if removal.cause == RemovalCause::Evicted {
            count(removal.entry.site, Count::Evicted);
        }
    }

    fn near_capacity(&self, used: u64, capacity: u64) {
        tracing::warn!(target: "retainit", backend = %self.backend, used, capacity, "near_capacity");
    }

    fn failed(&self, operation: &'static str, error: &Error) {
        tracing::warn!(target: "retainit", backend = %self.backend, operation, %error, "cache_error");
    }
}
