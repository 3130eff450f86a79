//! The engine of retainit.

mod cache;
mod config;
mod engine;
mod event;
mod explain;
mod global;
mod instance;
mod key;
mod meta;
mod options;
mod overrides;
mod registry;
#[doc(hidden)]
pub mod rt;
mod runtime;
mod stats;

pub use cache::{BlockingCache, Cache, CacheBuilder, Progress, Warm, Warmed};
pub use config::{Effective, EventKeys, Found, Setting, SingleFlight};
pub use engine::Keys;
pub use event::{Events, Subscription, on};
pub use explain::{Explain, Explained, Reason};
pub use global::{
    clear, current, expire_tag, health, init, init_dev, init_prod, init_test, invalidate_pattern, invalidate_tag,
    load_config, load_from_env, register_backend, registry, stats,
};
pub use instance::{Blocking, Builder, Health, Retainit};
pub use key::Pattern;
pub use meta::{Entry, Evicted, Freshness, Lookup, Meta};
pub use options::CallOptions;
pub use overrides::{
    Overrides, With, disabled, disabled_sync, propagate, with, with_instance, with_instance_sync, with_sync,
};
pub use registry::{Listed, Registry};
pub use retainit_plugin::{
    Error, ErrorKind, Event, EventKind, EventKinds, IntoTtl, QueuePolicy, Result, Spill, Subscriber, Ttl, Weigh,
    set_actor,
};
pub use rt::TypeTag;
pub use stats::Stats;
