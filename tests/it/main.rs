//! The promises of retainit, held against its public interface: one module per topic.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod attribute;
mod cache;
mod common;
mod config;
mod custom;
mod disk;
mod edge_cases;
mod endings;
mod errors;
mod events;
mod faults;
mod forms;
mod fresh;
mod handle;
mod instances;
mod invalidation;
mod keys;
mod limits;
mod memory;
mod on;
mod overrides;
mod panics;
mod registry;
mod serializers;
mod sins;
mod stack;
mod statics;
#[cfg(unix)]
mod stopped;
mod subscribers;
mod verify;
mod writers;
