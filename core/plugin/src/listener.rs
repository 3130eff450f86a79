use crate::{Entry, Error};

/// Why an entry left a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Its time had come.
    Expired,
    /// It was removed by name, by pattern, or by a clear.
    Removed,
    /// Another value took its place.
    Replaced,
    /// The backend was full. Only this one counts as an eviction.
    Evicted,
    /// A tag, the function or the namespace was invalidated.
    Invalidated,
}

/// An entry that has left.
#[derive(Debug)]
pub struct Removal<'a> {
    /// Why.
    pub cause: RemovalCause,
    /// What.
    pub entry: Entry<'a>,
}

/// The engine's ear at a backend. Calls are made outside the backend's locks.
pub trait Listener: Send + Sync + std::fmt::Debug + 'static {
    /// An entry has left.
    fn removed(&self, removal: Removal<'_>);

    /// An entry has left a byte backend because the backend was full, by its full key. Called in batches, off the
    /// callers' path where the backend can.
    fn evicted(&self, _key: &str) {}

    /// The backend has filled to nine tenths of `capacity`. A backend says so again only after it has been below.
    fn near_capacity(&self, used: u64, capacity: u64);

    /// Something failed that no caller waits for.
    fn failed(&self, operation: &'static str, error: &Error);
}
