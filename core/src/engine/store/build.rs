//! Builds stores from the configurations of their backends.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Built, Clock, Context, Error, ErrorKind, Listener, Result, Settings, caught};

use super::bytes::{ByteStore, ByteStoreParts};
use super::object::ObjectStore;
use super::{Store, StoreKind};
use crate::breaker::BreakerLimits;
use crate::engine::Outcomes;
use crate::event::Bus;
use crate::options::Options;
use crate::runtime::Io;

impl Store {
    pub(crate) fn build(
        name: Arc<str>,
        config: &dyn retainit_plugin::BackendConfig,
        clock: Arc<dyn Clock>,
        io: &Arc<Io>,
        op_timeout: Duration,
        (namespace, is_production): (&str, bool),
        (listener, bus): (Arc<dyn Listener>, &Arc<Bus>),
    ) -> Result<Store> {
        let settings = caught(ErrorKind::Config, "reading the settings of the backend", || config.settings())?;
        let (op_timeout, limits) = (settings.op_timeout.unwrap_or(op_timeout), limits(&settings));
        let context = Context::new(Arc::clone(&name), Arc::clone(&clock), listener).op_timeout(op_timeout);
        let context = context.namespace(namespace).production(is_production);
        let outcomes = Arc::default();
        let (named, noted, bus) = (Arc::clone(&name), Arc::clone(&outcomes), Some(Arc::clone(bus)));
        let parts = ByteStoreParts { name: named, io, op_timeout, outcomes: noted, clock, bus, limits };
        let build = || {
            Ok(Store {
                policy: config.policy(namespace),
                ..Store::of(config.build(context)?, config, parts, outcomes)?
            })
        };
        let built = caught(ErrorKind::Config, "building the backend", build).flatten();
        built.map_err(|error| error.with_context("backend", &*name))
    }

    fn of(
        built: Built,
        config: &dyn retainit_plugin::BackendConfig,
        parts: ByteStoreParts<'_>,
        outcomes: Arc<Outcomes>,
    ) -> Result<Store> {
        let weighs = matches!(&built, Built::Object(object) if object.weighs());
        let name = Arc::clone(&parts.name);
        let kind = match built {
            Built::Object(object) => StoreKind::Object(ObjectStore::new(Arc::clone(&name), object)),
            Built::Bytes(backend) => StoreKind::Bytes(ByteStore::remote(backend, parts)),
            Built::Local(backend) => StoreKind::Bytes(ByteStore::local(backend, parts)),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("this version of retainit does not know how to use {other:?}"),
                ));
            }
        };
        let (type_name, options) = (config.type_name(), config.settings().into());
        Ok(Store { name, type_name, options, kind, weighs, implicit: false, policy: None, outcomes })
    }

    /// Marks the store as made for a function that named its type.
    pub(crate) fn implicit(self) -> Store {
        Store { implicit: true, ..self }
    }

    /// Replaces what a reload may change: the options, and the limits of the breaker.
    pub(crate) fn with_settings(self, settings: Settings) -> Store {
        if let StoreKind::Bytes(bytes) = &self.kind {
            bytes.set_limits(limits(&settings));
        }
        Store { options: settings.into(), ..self }
    }

    /// Makes a store for plans that never reach it.
    pub(crate) fn nowhere() -> Store {
        Store {
            name: "none".into(),
            type_name: "none",
            options: Options::NONE,
            kind: StoreKind::Bytes(ByteStore::nowhere()),
            weighs: false,
            implicit: true,
            policy: None,
            outcomes: Arc::default(),
        }
    }
}

/// Returns the limits of the breaker that a configuration sets.
fn limits(settings: &Settings) -> BreakerLimits {
    let default = BreakerLimits::default();
    BreakerLimits {
        threshold: settings.breaker_threshold.unwrap_or(default.threshold),
        timeout: settings.breaker_timeout.unwrap_or(default.timeout),
    }
}
