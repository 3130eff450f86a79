//! The groups of contenders.

pub(crate) mod asynchronous;
pub(crate) mod misses;
pub(crate) mod other;
pub(crate) mod sync;
pub(crate) mod threads;

/// The baseline of every group.
pub(crate) const RAW: &str = "quick_cache, own coarse deadline";
