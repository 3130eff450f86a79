//! The promises of retainit, held against its public interface: one module per topic.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;
mod attribute;
mod cache;
mod errors;
mod forms;
mod fresh;
mod keys;
mod sins;
