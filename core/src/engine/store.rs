use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use retainit_plugin::{
    Built, Clock, Context, EventKind, Listener, Moment, ObjectBackend, Removal, RemovalCause, caught,
};

use super::{ByteStore, Function};
use crate::event::Bus;
use crate::instance::Functions;
use crate::key::{arguments_text, text};
use crate::options::Options;
use crate::runtime::Io;
use crate::stats::{Count, count};
use crate::{Error, ErrorKind, Result};

/// A backend under its name.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) name: Arc<str>,
    pub(crate) type_name: &'static str,
    pub(crate) options: Options,
    pub(crate) kind: Kind,
    /// Whether values that go there have to bring their weight.
    pub(crate) weighs: bool,
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
        op_timeout: Duration,
        ear: Ear,
    ) -> Result<Store> {
        let context = Context::new(Arc::clone(&name), clock, Arc::new(ear)).op_timeout(op_timeout);
        let build = || Store::of(Arc::clone(&name), config.build(context)?, config, io, op_timeout);
        let built = caught(ErrorKind::Config, "building the backend", build).flatten();
        built.map_err(|error| error.context("backend", &*name))
    }

    fn of(
        name: Arc<str>,
        built: Built,
        config: &dyn retainit_plugin::BackendConfig,
        io: &Arc<Io>,
        op_timeout: Duration,
    ) -> Result<Store> {
        let weighs = matches!(&built, Built::Object(object) if object.weighs());
        let kind = match built {
            Built::Object(object) => Kind::Object(object),
            Built::Bytes(backend) => Kind::Bytes(ByteStore::remote(backend, io, op_timeout)),
            Built::Local(backend) => Kind::Bytes(ByteStore::local(backend, io, op_timeout)),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("this version of retainit does not know how to use {other:?}"),
                ));
            }
        };
        Ok(Store {
            name,
            type_name: config.type_name(),
            options: config.settings().into(),
            kind,
            weighs,
            implicit: false,
        })
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
pub(crate) struct Ear {
    backend: Arc<str>,
    bus: Arc<Bus>,
    functions: Arc<Functions>,
    clock: Arc<dyn Clock>,
    full_again_at: Mutex<Option<Moment>>,
}

/// A backend that hovers about nine tenths is told of no more often than this.
const FULL_EVERY: Duration = Duration::from_secs(60);

impl Ear {
    pub(crate) fn new(backend: &Arc<str>, bus: &Arc<Bus>, functions: &Arc<Functions>, clock: &Arc<dyn Clock>) -> Ear {
        Ear {
            backend: Arc::clone(backend),
            bus: Arc::clone(bus),
            functions: Arc::clone(functions),
            clock: Arc::clone(clock),
            full_again_at: Mutex::default(),
        }
    }

    fn tell_evicted(&self, function: Option<&Function>, key: &str) {
        self.bus.emit(EventKind::CacheEvict, |parts| {
            if let Some(function) = function {
                function.describe(parts, Some(key));
            }
            parts.backend = Some(Arc::clone(&self.backend));
        });
    }
}

impl Listener for Ear {
    fn removed(&self, removal: Removal<'_>) {
        if removal.cause != RemovalCause::Evicted {
            return;
        }
        let entry = removal.entry;
        count(entry.site, Count::Evicted);
        if self.bus.hears(EventKind::CacheEvict)
            && let Some(function) = self.functions.by_number(entry.site)
        {
            self.tell_evicted(Some(&function), &arguments_text(function.keys, entry.key));
        }
    }

    fn evicted(&self, key: &str) {
        // `r1:d:{namespace}:{scope}:{id}@{version}:{args}`; only the last part may hold a colon.
        let mut parts = key.splitn(6, ':').skip(4);
        let (Some(function), Some(args)) = (parts.next(), parts.next()) else { return };
        let named = function.rsplit_once('@').map(|(id, version)| (text::unescape(id), version));
        let function = named.and_then(|(id, version)| self.functions.by_id(&id, version));
        if let Some(function) = &function {
            count(function.site.get(), Count::Evicted);
        }
        self.tell_evicted(function.as_deref(), args);
    }

    fn near_capacity(&self, used: u64, capacity: u64) {
        let now = self.clock.now();
        let mut again_at = self.full_again_at.lock();
        if again_at.is_some_and(|again_at| now < again_at) {
            return;
        }
        *again_at = Some(now.after(FULL_EVERY));
        drop(again_at);
        self.bus.near_capacity(&self.backend, used, capacity);
    }

    fn failed(&self, operation: &'static str, error: &Error) {
        self.bus.failed(operation, Some(&self.backend), error);
    }
}
