#![doc = include_str!("../README.md")]

mod bytes;
mod clock;
pub mod conformance;
mod faults;
mod listener;
mod random;
mod store;

pub use bytes::{ByteBackend, ByteConfig};
pub use clock::ManualClock;
pub use faults::{Faults, Op};
pub use listener::{Notice, Recorder, Removed, context, observed};
pub use store::ByteStore;
