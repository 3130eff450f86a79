//! The engine of retainit.

mod breaker;
mod cache;
mod call;
mod config;
mod engine;
mod event;
mod explain;
mod global;
pub mod handle;
mod instance;
mod key;
mod meta;
mod options;
mod overrides;
mod registry;
pub mod requirements;
#[doc(hidden)]
pub mod rt;
mod runtime;
mod site;
mod stats;
mod value;

pub use breaker::BreakerState;
pub use cache::{BlockingCache, Cache, CacheBuilder, Warm, WarmProgress, Warmed};
#[doc(hidden)]
pub use config::Preset;
pub use config::{Effective, EffectiveSetting, EventKeys, FoundSetting, Security, SingleFlight};
pub use engine::Keys;
pub use event::{Events, Subscription, on};
pub use explain::{Explain, Reason};
#[doc(hidden)]
pub use global::backends_named;
pub use global::{
    clear, current, expire_tag, functions, health, init, invalidate_pattern, invalidate_tag, load_config,
    load_from_env, register_backend, registry, stats,
};
pub use instance::{BackendHealth, Blocking, Builder, Explained, FunctionInfo, FunctionList, Health, Retainit};
pub use key::Pattern;
pub use meta::{Entry, Evicted, Freshness, Lookup, Meta};
pub use options::{CallOptions, Overrides};
#[cfg(feature = "test")]
#[doc(hidden)]
pub use overrides::{InstanceGuard, use_instance};
pub use overrides::{
    WithOverrides, disabled, disabled_sync, propagate, with, with_instance, with_instance_sync, with_sync,
};
pub use registry::{PluginInfo, Registry};
pub use retainit_plugin::{
    Error, ErrorKind, Event, EventKind, EventKinds, IntoTtl, QueuePolicy, RemovalCause, Result, Spill, Subscriber, Ttl,
    Weigh, set_actor,
};
pub use site::TypeTag;
pub use stats::Stats;
