#![doc = include_str!("../README.md")]

pub use retainit_core::*;
pub use retainit_macros::{TypeTag, invalidate, retain, retain_put};

#[cfg(feature = "disk")]
pub use retainit_disk::{DiskConfig, SyncMode};
#[cfg(feature = "memory")]
pub use retainit_memory::{MemoryConfig, Policy};

#[doc(hidden)]
pub use retainit_core::rt as __private;
