//! The real servers that tests of backends run against.
//!
//! Each is started in a folder of its own, listens on a free port of 127.0.0.1, and ends when its value is dropped, when
//! the test panics and when the test's process is killed. What it has logged is printed when a test fails.
//!
//! `scripts/servers` installs what is missing. A test names the servers it needs with [`needs!`], and is shown as
//! ignored, with that remedy, where one of them is missing. With `TEST_SERVERS=required` such a test runs and fails.

mod cluster;
mod ignored;
mod port;
mod process;
mod redis;
mod resp;
mod sentinel;
mod tls;
mod toxiproxy;

pub use cluster::Cluster;
pub use redis::{Program, Redis, RedisOptions};
pub use resp::{Client, Reply};
pub use sentinel::Sentinels;
pub use tls::Certificates;
pub use toxiproxy::{Proxy, Toxiproxy};
