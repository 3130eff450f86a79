use crate::{EntryRef, Error};

/// Cause for which an entry left a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Its time was over.
    Expired,
    /// It was removed by name, by pattern, or by a clear.
    Removed,
    /// Another value replaced it.
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
    pub entry: EntryRef<'a>,
}

/// Receives removals and notices of a backend for the engine. Calls are made outside the backend's locks.
pub trait Listener: Send + Sync + std::fmt::Debug + 'static {
    /// Receives an entry that has left.
    fn removed(&self, removal: Removal<'_>);

    /// Receives the full key of an entry that has left a byte backend because the backend was full. Called in batches,
    /// off the callers' path where the backend can.
    fn evicted(&self, _key: &str) {}

    /// Receives the use of a backend that has filled to nine tenths of `capacity`. A backend reports it again only
    /// after it has been below.
    fn near_capacity(&self, used: u64, capacity: u64);

    /// Receives advice on a setting that is in effect otherwise than it was written: `advice` names it and what is in
    /// effect. For the log and `health()`.
    fn advised(&self, _advice: &str) {}

    /// Receives the failure of an operation that no caller waits for.
    fn failed(&self, operation: &'static str, error: &Error);
}
