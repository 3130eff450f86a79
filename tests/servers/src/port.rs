use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

/// Returns a port that nobody listens on.
///
/// It is below those that systems give to outgoing connections: a client that tries to reach a server which has just
/// ended would otherwise be given that very port, and connect to itself. Drawn at random, so that test processes that
/// run side by side seldom choose the same.
pub(crate) fn free_port() -> u16 {
    let random = RandomState::new();
    (0u32..10_000)
        .map(|attempt| 10_000 + u16::try_from(random.hash_one(attempt) % 20_000).expect("it is below 20 000"))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of many ports is free")
}
