#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]
//! ## Ten questions
//!
//! | question | answer |
//! |---|---|
//! | How do I retain a method with `self`? | [`retain`](macro@retain#methods), and what it means for two databases in [the axum guide](guides::axum#retain-the-query-not-the-handler) |
//! | What becomes of errors and of `None`? | [`retain`](macro@retain#arguments): `err_ttl`, `err_if`, `none_ttl`; how long in [ttls and tags](guides::choose_ttl_and_tags#which-ttl) |
//! | How does a function that writes invalidate? | [`invalidate`](macro@invalidate) and [`retain_put`](macro@retain_put), with a program in [the guide](guides::invalidate#from-functions-that-write) |
//! | May the function be generic? | [`TypeTag`], which names the types in the key |
//! | How do I receive events? | [`on`](macro@on), [`Events::subscribe`], and [a subscriber of one's own](guides::write_a_subscriber) |
//! | How do I fill the cache beforehand, with progress? | [`Warm`], [`WarmProgress`], by the handle's [`warm_with`](handle::Handle#method.warm_with) |
//! | How do I test with time? | [`ManualClock` and `isolated`](guides::testing) of the feature `test` |
//! | What can the handle `user::cache()` do? | [`handle`] |
//! | Which features are there? | [the table above](#features) |
//! | Which id does a configuration file name? | [`functions()`](functions) lists them; [ids that no function has](guides::configuration#ids-that-no-function-has) are reported |
//!
//! All guides are in [`guides`].

/// The guides, whose programs are run by a test as they are written.
// Only in the documentation: a program has no use for them.
#[cfg(all(doc, not(doctest)))]
pub mod guides;
mod offers;
mod presets;
#[cfg(feature = "test")]
pub mod testing;

#[doc(inline)]
pub use retainit_plugin as plugin;

pub use presets::{init_dev, init_prod, init_test};
pub use retainit_core::*;
pub use retainit_macros::{TypeTag, invalidate, on, retain, retain_put};
// Not there yet, and they say so where they are used.
pub use retainit_macros::{bulkhead, circuit_breaker, rate_limit, retry, timed, timeout};

#[cfg(feature = "json")]
pub use retainit_codecs::Json;
#[cfg(feature = "postcard")]
pub use retainit_codecs::Postcard;
#[cfg(feature = "disk")]
pub use retainit_disk::{DiskConfig, SyncMode};
#[cfg(feature = "memory")]
pub use retainit_memory::{MemoryConfig, Policy};
#[cfg(feature = "redis")]
pub use retainit_redis::{Addresses, CertReqs, RedisConfig};

#[cfg(feature = "test")]
pub use retainit_testkit::ManualClock;

#[cfg(feature = "audit")]
pub use retainit_subscribers::{AuditConfig, audit};
#[cfg(feature = "logging")]
pub use retainit_subscribers::{LogFormat, LogLevel, LoggingConfig};

#[doc(hidden)]
pub use retainit_core::rt as __private;
#[doc(hidden)]
pub use retainit_macros::__beside;
