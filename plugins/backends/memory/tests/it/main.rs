//! The memory backend against its contract, one module per topic.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bounds;
mod common;
mod config;
mod drops;
mod fences;
mod model;
mod order;
mod sweeps;
