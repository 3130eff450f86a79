//! The promises of retainit, held against its public interface: one module per topic.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod attribute;
mod cache;
mod common;
mod custom;
mod disk;
mod errors;
mod faults;
mod forms;
mod fresh;
mod handle;
mod instances;
mod invalidation;
mod keys;
mod memory;
mod overrides;
mod sins;
mod writers;
