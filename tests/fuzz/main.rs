//! A bounded fuzz runner for stable Rust: mutated configurations, envelopes, keys and patterns, through the public
//! interface.
//!
//! Every iteration has a seed of its own, which a failure names. `FUZZ_ITERATIONS=1000000` runs that many instead of
//! the default, `FUZZ_SEED=7` begins at another seed; a seed that failed comes back with `FUZZ_SEED=…
//! FUZZ_ITERATIONS=1`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod config;
mod envelope;
mod keys;
mod mutate;
mod runner;
