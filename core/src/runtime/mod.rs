//! Threads of an instance, and the waiting of blocking callers.
//!
//! An instance that keeps values only in memory starts none of them until an entry has a deadline.

mod block;
mod caught;
mod gather;
mod inside;
mod io;
mod rarely;
mod shortcut;
mod steady;
mod stopwatch;
mod timers;

use std::future::Future;
use std::pin::Pin;

pub(crate) use block::block_on;
pub(crate) use caught::{caught, quietly, wake_all};
pub(crate) use gather::gather;
pub(crate) use inside::{Inside, Surroundings};
pub(crate) use io::Io;
pub(crate) use rarely::Rarely;
pub(crate) use shortcut::{Alive, leave_shortest_way, possible};
pub(crate) use steady::SteadyClock;
pub(crate) use stopwatch::Stopwatch;
pub(crate) use timers::{Alarm, Task, Timers};

/// A boxed future that may be spawned.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
