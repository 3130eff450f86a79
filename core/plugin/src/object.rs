use std::fmt;

use crate::{Capabilities, Fence, Kept, Moment};

/// Where an entry belongs: the hash of its key and the function (or cache) it belongs to.
///
/// `site` numbers are the engine's; entries of different sites never meet, whatever their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// A well-mixed hash of site and key.
    pub hash: u64,
    /// The function or cache.
    pub site: u32,
}

/// An entry as a backend shows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The function or cache it belongs to.
    pub site: u32,
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Value and times.
    pub kept: &'a Kept,
}

/// An entry on its way in.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Where it belongs.
    pub place: Place,
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Value and times.
    pub kept: Kept,
    /// The weight of the value in bytes; zero unless [`ObjectBackend::weighs`].
    pub bytes: u64,
}

/// Under which condition an entry goes in.
pub enum Put<'a> {
    /// Only while the fence stands: what a load brings. Does not break it for others.
    Fenced(Fence),
    /// Only while the fence stands, and every other load under way for this key is refused: a refresh.
    Replace(Fence),
    /// In any case, and every load under way for this key is refused: `set`, `retain_put`, a refresh.
    Always,
    /// Only where `live` knows no entry of this key; like [`Put::Always`] where it goes in.
    Absent {
        /// Whether an entry that is there counts as present.
        live: &'a dyn Fn(&Kept) -> bool,
    },
}

impl fmt::Debug for Put<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Put::Fenced(_) => "Fenced",
            Put::Replace(_) => "Replace",
            Put::Always => "Always",
            Put::Absent { .. } => "Absent",
        })
    }
}

/// What became of an entry on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in.
    Yes,
    /// The fence had fallen.
    Refused,
    /// There was one already.
    Present,
}

/// The engine's side of a lookup.
pub trait Visit {
    /// Shown an entry of the right hash and site: says whether its key is the one looked for, and takes what it needs
    /// from it. The backend holds a lock: this must not call back into it.
    fn visit(&mut self, key: &[u8], kept: &Kept) -> bool;
}

/// A backend that keeps values as they are: no bytes, no waiting.
///
/// The engine looks into it on the caller's thread without creating a future, so no method may block for longer than
/// a short lock.
///
/// **Fences.** `fence`, the compare in [`Put::Fenced`] and the break in `remove` and [`Put::Always`] are atomic for
/// one key; several keys may share a fence.
///
/// **Removals** are told to the [`Listener`](crate::Listener) outside all locks.
pub trait ObjectBackend: Send + Sync + fmt::Debug + 'static {
    /// What it offers.
    fn capabilities(&self) -> Capabilities;

    /// Looks an entry up and counts it as used. True if `visit` knew one.
    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool;

    /// Looks an entry up and leaves its standing as it was.
    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool;

    /// Takes the fence of a key.
    fn fence(&self, place: Place) -> Fence;

    /// Puts an entry in.
    fn insert(&self, entry: NewEntry<'_>, put: Put<'_>) -> Inserted;

    /// Breaks the fence of a key and removes its entry. True if `visit` knew one.
    fn remove(&self, place: Place, visit: &mut dyn Visit) -> bool;

    /// Removes an entry only if `dead` still says so, and leaves the fence alone: what nobody may read any more.
    fn discard(&self, place: Place, dead: &mut dyn Visit, cause: crate::RemovalCause) -> bool;

    /// Breaks every fence: no load under way is stored.
    fn break_fences(&self);

    /// Removes every entry for which `keep` gives a cause, and counts them. Fences stay as they are.
    fn retain(&self, keep: &mut dyn FnMut(Entry<'_>) -> Option<crate::RemovalCause>) -> usize;

    /// Shows every entry.
    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>));

    /// Whether entries have to bring their weight in bytes.
    fn weighs(&self) -> bool {
        false
    }

    /// Number of entries, dead ones that were not met yet included.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all entries, as weighed; zero unless [`ObjectBackend::weighs`].
    fn bytes(&self) -> u64 {
        0
    }

    /// The earliest deadline that may be among the entries: before it no sweep is worth its cost.
    fn next_deadline(&self) -> Moment;
}
