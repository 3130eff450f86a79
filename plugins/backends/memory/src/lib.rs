#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod clock_pro;
mod config;
mod gone;
mod lru;
mod sites;
mod slot;
mod store;
mod stripes;
mod totals;
mod turns;

pub use config::{MemoryConfig, Policy};
