#![doc = include_str!("../README.md")]

pub use retainit_core::*;
pub use retainit_macros::{TypeTag, invalidate, on, retain, retain_put};

#[cfg(feature = "json")]
pub use retainit_codecs::Json;
#[cfg(feature = "postcard")]
pub use retainit_codecs::Postcard;
#[cfg(feature = "disk")]
pub use retainit_disk::{DiskConfig, SyncMode};
#[cfg(feature = "memory")]
pub use retainit_memory::{MemoryConfig, Policy};

#[cfg(feature = "audit")]
pub use retainit_subscribers::{AuditConfig, audit};
#[cfg(feature = "logging")]
pub use retainit_subscribers::{LogFormat, LogLevel, LoggingConfig};

#[doc(hidden)]
pub use retainit_core::rt as __private;

/// The guides, whose examples are tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../docs/choose-a-backend.md")]
    mod choose_a_backend {}
    #[doc = include_str!("../docs/configuration.md")]
    mod configuration {}
    #[doc = include_str!("../docs/invalidate.md")]
    mod invalidate {}
    #[doc = include_str!("../docs/profiling.md")]
    mod profiling {}
    #[doc = include_str!("../docs/write-a-subscriber.md")]
    mod write_a_subscriber {}
}
