use std::fmt;

use crate::{CachedEntry, Capabilities, Moment};

/// Address of an entry: the hash of its key and the function (or cache) it belongs to.
///
/// The engine numbers `site`; entries of different sites never meet, whatever their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAddress {
    /// A well-mixed hash of site and key.
    pub hash: u64,
    /// The function or cache.
    pub site: u32,
}

/// A token of a key in an object backend, on which a later insert depends, as on a [`Fence`](crate::Fence). One number,
/// since misses in memory have no time for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectFence(u64);

impl ObjectFence {
    /// Makes a fence with the backend's own number.
    pub const fn new(token: u64) -> ObjectFence {
        ObjectFence(token)
    }

    /// Returns the backend's own number.
    pub const fn token(self) -> u64 {
        self.0
    }
}

/// An entry as a backend shows it.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// The function or cache it belongs to.
    pub site: u32,
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Value and times.
    pub cached: &'a CachedEntry,
}

/// An entry on its way in.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Address of the entry.
    pub address: EntryAddress,
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Value and times.
    pub cached: CachedEntry,
    /// The weight of the value in bytes; zero unless [`ObjectBackend::weighs`].
    pub bytes: u64,
    /// The most entries of its site once it is in, at least one; only for backends that declare
    /// [`function_bounds`](Capabilities::function_bounds). Those that have to go are evicted, and none of another site.
    pub max_entries: Option<u64>,
}

/// Condition under which an entry is inserted.
pub enum InsertMode<'a> {
    /// Inserts only while the fence is valid: the result of a load. It does not break the fence for others.
    Fenced(ObjectFence),
    /// Inserts only while the fence is valid, and refuses every other load under way for this key: a refresh.
    Replace(ObjectFence),
    /// Inserts in any case, and refuses every load under way for this key: `set`, `retain_put`, a refresh.
    Always,
    /// Inserts only where `live` accepts no entry of this key, and then like [`InsertMode::Always`].
    Absent {
        /// Returns whether an entry that is there counts as present.
        live: &'a dyn Fn(&CachedEntry) -> bool,
    },
}

impl fmt::Debug for InsertMode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InsertMode::Fenced(_) => "Fenced",
            InsertMode::Replace(_) => "Replace",
            InsertMode::Always => "Always",
            InsertMode::Absent { .. } => "Absent",
        })
    }
}

/// Outcome of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Inserted.
    Yes,
    /// The fence was broken.
    Refused,
    /// There was one already.
    Present,
}

/// The engine's side of a lookup.
pub trait Visit {
    /// Receives an entry of the right hash and site: returns whether its key is the one looked for, and takes what it
    /// needs from it. The backend holds a lock: this must not call back into it.
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool;

    /// Told that there was no entry to be shown, and how many there had been put in by then, see
    /// [`ObjectBackend::inserts`]. The backend holds its lock.
    fn absent(&mut self, _address: EntryAddress, _inserts: u64) {}
}

/// A backend that keeps values as they are: no bytes, no waiting.
///
/// The engine looks into it on the caller's thread without creating a future, so no method may block for longer than
/// a short lock.
///
/// **Fences.** `fence`, the compare in [`InsertMode::Fenced`] and the break in `remove` and [`InsertMode::Always`] are
/// atomic for one key; several keys may share a fence.
///
/// **Removals** are reported to the [`Listener`](crate::Listener) outside all locks.
pub trait ObjectBackend: Send + Sync + fmt::Debug + 'static {
    /// Returns the abilities of this backend.
    fn capabilities(&self) -> Capabilities;

    /// Looks an entry up and counts it as used. True if `visit` accepted one.
    fn get(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool;

    /// Looks an entry up without counting it as used.
    fn peek(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool;

    /// Takes the fence of a key.
    fn fence(&self, address: EntryAddress) -> ObjectFence;

    /// A number that changes whenever an entry is put in near this address; `None` where that is not counted. Reads no
    /// lock: whoever has been told of an entry by other means, or has a fence that its insert broke, sees it counted.
    ///
    /// A call that has looked and is about to load asks this before it looks again. Numbers of different backends differ.
    fn inserts(&self, _address: EntryAddress) -> Option<u64> {
        None
    }

    /// Puts an entry in.
    fn insert(&self, entry: NewEntry<'_>, put: InsertMode<'_>) -> Inserted;

    /// Breaks the fence of a key and removes its entry. True if `visit` accepted one.
    fn remove(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool;

    /// Breaks every fence: no load under way is stored.
    fn break_fences(&self);

    /// Removes every entry for which `keep` gives a cause, and counts them. Fences stay as they are.
    fn retain(&self, keep: &mut dyn FnMut(EntryRef<'_>) -> Option<crate::RemovalCause>) -> usize;

    /// Passes every entry to `visit`.
    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>));

    /// Returns whether entries have to come with their weight in bytes.
    fn weighs(&self) -> bool {
        false
    }

    /// Returns the number of entries, dead ones that were not met yet included.
    fn len(&self) -> usize;

    /// Returns whether it has no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of all entries, as weighed; zero unless [`ObjectBackend::weighs`].
    fn bytes(&self) -> u64 {
        0
    }

    /// Returns the earliest deadline that may be among the entries: before it no sweep is worth its cost.
    fn next_deadline(&self) -> Moment;
}
