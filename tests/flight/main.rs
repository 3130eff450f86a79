//! Single-flight as its callers see it: one load per missing key, whatever becomes of the one that loads.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod carried;
mod common;
mod cycles;
mod results;
mod tasks;
mod threads;
