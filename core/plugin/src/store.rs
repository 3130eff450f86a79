use std::time::Duration;

use bytes::Bytes;

use crate::{CancellationToken, Error, ErrorKind, Fence, GroupVersion, Result};

/// Makes the bytes of an entry that contains the versions of its groups, which come in the order of
/// [`StoreOptions::groups`]. It may be called more than once; nothing is stored under versions for which it fails.
pub type Seal<'a> = dyn FnMut(&[Option<GroupVersion>]) -> Result<Bytes> + Send + 'a;

/// Condition under which bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreCondition {
    /// Stores only while the fence is valid: the result of a load. It breaks the fence: of several loads under one
    /// fence the first to be stored wins.
    Fenced(Fence),
    /// Stores in any case, and breaks the fence: `set`, `retain_put`.
    ///
    /// Not given to [`Backend::store`](crate::Backend::store) of a backend with fences.
    Always,
    /// Stores only into an empty slot, where a placeholder counts as empty, and breaks the fence.
    ///
    /// Not given to [`Backend::store`](crate::Backend::store) of a backend with fences.
    Absent,
}

/// Options of one store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreOptions<'a> {
    /// Condition of the store.
    pub when: StoreCondition,
    /// Time after which the bytes may be dropped; `None` keeps them.
    pub ttl: Option<Duration>,
    /// Groups the entry belongs to, by their full text: their versions are kept at least as long as the entry.
    pub groups: &'a [&'a str],
    /// Time that the caller can still wait; see [`Read::wait`](crate::Read::wait).
    pub wait: Option<Duration>,
    /// Cancelled once nobody waits for this store any more. Given to a [`LocalBackend`](crate::LocalBackend) that
    /// declares [`cancellation`](crate::Capabilities::cancellation); it fails with [`ErrorKind::Timeout`] then.
    pub cancelled: Option<&'a CancellationToken>,
}

impl<'a> StoreOptions<'a> {
    /// Makes options of a store under `when` that never expires.
    pub fn new(when: StoreCondition) -> StoreOptions<'a> {
        StoreOptions { when, ttl: None, groups: &[], wait: None, cancelled: None }
    }

    /// Sets the physical ttl.
    #[must_use]
    pub fn ttl(mut self, ttl: Option<Duration>) -> StoreOptions<'a> {
        self.ttl = ttl;
        self
    }

    /// Names the groups of the entry.
    #[must_use]
    pub fn groups(mut self, groups: &'a [&'a str]) -> StoreOptions<'a> {
        self.groups = groups;
        self
    }

    /// Bounds the time that a blocking backend waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> StoreOptions<'a> {
        self.wait = Some(wait);
        self
    }

    /// Sets the token by which the store is cancelled.
    #[must_use]
    pub fn cancelled(mut self, token: &'a CancellationToken) -> StoreOptions<'a> {
        self.cancelled = Some(token);
        self
    }

    /// Fails if the caller has given the store up. A backend that declares [`cancellation`](crate::Capabilities::cancellation)
    /// calls it under the lock that every store and removal takes, before anything is changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if the caller has given the store up.
    pub fn check(&self) -> Result<()> {
        match self.cancelled {
            Some(token) if token.is_cancelled() => Err(Error::new(ErrorKind::Timeout, "its caller has given it up")),
            _ => Ok(()),
        }
    }
}

/// Outcome of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Stored.
    Yes,
    /// The condition did not hold any more. A [`store_with`](crate::Backend::store_with) in any case was refused so often
    /// that it was given up.
    Refused,
}
