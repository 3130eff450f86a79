//! The engine of retainit.

mod cache;
mod engine;
mod explain;
mod global;
mod instance;
mod key;
mod meta;
mod options;
mod overrides;
#[doc(hidden)]
pub mod rt;
mod runtime;
mod stats;

pub use cache::{BlockingCache, Cache, CacheBuilder, Progress, Warm, Warmed};
pub use engine::Keys;
pub use explain::{Explain, Reason};
pub use global::{
    clear, current, expire_tag, health, init, invalidate_pattern, invalidate_tag, register_backend, stats,
};
pub use instance::{Blocking, Builder, Health, Retainit};
pub use key::Pattern;
pub use meta::{Entry, Evicted, Freshness, Lookup, Meta};
pub use options::CallOptions;
pub use overrides::{
    Overrides, With, disabled, disabled_sync, propagate, with, with_instance, with_instance_sync, with_sync,
};
pub use retainit_plugin::{Error, ErrorKind, IntoTtl, Result, Ttl, Weigh};
pub use rt::TypeTag;
pub use stats::Stats;
