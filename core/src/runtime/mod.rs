//! Threads of an instance, and how sync callers wait.
//!
//! An instance that only keeps values in memory starts none of them until something has a deadline.

mod block;
mod caught;
mod gather;
mod inside;
mod io;
mod steady;
mod stopwatch;
mod timers;

pub(crate) use block::block_on;
pub(crate) use caught::{caught, quietly, wake_all};
pub(crate) use gather::gather;
pub(crate) use inside::{Inside, Surroundings};
pub(crate) use io::Io;
pub(crate) use steady::SteadyClock;
pub(crate) use stopwatch::Stopwatch;
pub(crate) use timers::{Task, Timers};
