//! The groups of contenders.

pub(crate) mod asynchronous;
pub(crate) mod misses;
pub(crate) mod other;
pub(crate) mod sync;
pub(crate) mod threads;

/// What every group is compared with.
pub(crate) const RAW: &str = "quick_cache, own coarse deadline";
