use std::time::Duration;

use bytes::Bytes;

use crate::{Fence, GroupVersions};

/// Options of one read.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Read<'a> {
    /// The fence that is wanted with the entry.
    pub fence: WantedFence,
    /// Groups whose versions are wanted with the entry, by their full text.
    pub groups: &'a [&'a str],
    /// The entry is looked at and not used: a backend that evicts by use leaves its standing as it was.
    pub unnoticed: bool,
    /// Time that the caller can still wait, where that is less than usual. Only a [`LocalBackend`](crate::LocalBackend)
    /// needs it, because it occupies the thread of its caller: it fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when the time is over.
    pub wait: Option<Duration>,
}

/// Fence that a read wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WantedFence {
    /// None: the caller is not going to store.
    #[default]
    None,
    /// The fence that the slot shows, if it shows one: of an entry, of a placeholder, of a counter beside the slot.
    /// Nothing is written.
    Seen,
    /// A fence in any case. Where the slot shows none by now, the read leaves a placeholder in it, for at most this
    /// long. Groups without a version get one, also in a backend without fences.
    Take(Duration),
}

impl<'a> Read<'a> {
    /// Makes a read without a fence, by a caller that is not going to load.
    pub fn peek() -> Read<'a> {
        Read::default()
    }

    /// Makes a read that returns the fence of a slot which shows one, and writes nothing: by a caller that may load on
    /// a miss.
    pub fn seen() -> Read<'a> {
        Read { fence: WantedFence::Seen, ..Read::default() }
    }

    /// Makes a read that takes a fence, by a caller that is going to load and to store within `lease`. Its load begins
    /// after the answer.
    pub fn take(lease: Duration) -> Read<'a> {
        Read { fence: WantedFence::Take(lease), ..Read::default() }
    }

    /// Reads the versions of groups too.
    #[must_use]
    pub fn groups(mut self, groups: &'a [&'a str]) -> Read<'a> {
        self.groups = groups;
        self
    }

    /// Reads without counting as a use.
    #[must_use]
    pub fn unnoticed(mut self) -> Read<'a> {
        self.unnoticed = true;
        self
    }

    /// Bounds the time that a blocking backend waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Read<'a> {
        self.wait = Some(wait);
        self
    }
}

/// Result of a read.
///
/// Each part is as of some moment after the read began, not all of one. The fence is no newer than the entry: whatever
/// removal the snapshot does not show breaks the fence too.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stored bytes; placeholders are not shown.
    pub entry: Option<Bytes>,
    /// The fence, if one was wanted and there is one.
    pub fence: Option<Fence>,
    /// Set if this read has left the placeholder that the fence is of: whoever loads nothing gives it back.
    pub placed: bool,
    /// The versions of the groups asked for, in their order.
    pub versions: GroupVersions,
    /// Set if the backend has compared the stored bytes with a checksum of its own, taken when they were stored: the
    /// engine then skips its own checksum. Code that changes the bytes resets it.
    pub verified: bool,
}

impl Snapshot {
    /// Wraps the result of a read that has placed nothing and verified nothing.
    pub fn new(entry: Option<Bytes>, fence: Option<Fence>, versions: GroupVersions) -> Snapshot {
        Snapshot { entry, fence, placed: false, versions, verified: false }
    }

    /// Notes that this read has left the placeholder.
    #[must_use]
    pub fn placed(mut self) -> Snapshot {
        self.placed = true;
        self
    }

    /// Marks the bytes as verified by the backend.
    #[must_use]
    pub fn verified(mut self) -> Snapshot {
        self.verified = true;
        self
    }
}
