use retainit_plugin::{Entry, Moment, NewEntry, Place, RemovalCause, Visit};

use crate::gone::Gone;
use crate::slot::Slot;
use crate::totals::Totals;

/// What a sweep asks of each entry: why it has to go, if it has to.
pub(crate) type Keep<'a> = dyn FnMut(Entry<'_>) -> Option<RemovalCause> + 'a;

/// A bounded map of slots. It drops none of them itself: what leaves goes into a [`Gone`].
///
/// Visitors and `keep` run under its locks.
pub(crate) trait Store: Send + Sync + 'static {
    /// Finds the entry `visit` knows and counts it as used.
    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool;

    /// As `get`, without counting.
    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool;

    /// Puts an entry in, in the place of one of the same key. `gone` is empty before.
    fn insert(&self, entry: NewEntry<'_>, gone: &mut Gone);

    /// Takes out the entry `visit` knows.
    fn remove(&self, place: Place, visit: &mut dyn Visit) -> Option<Slot>;

    /// Takes out what `keep` names a cause for and gives memory back. Calls `gone` without a lock, maybe often.
    fn retain(&self, keep: &mut Keep<'_>, gone: &mut dyn FnMut(Gone));

    /// Shows every entry.
    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>));

    /// How much it holds.
    fn totals(&self) -> &Totals;

    /// No entry ends before this.
    fn next_deadline(&self) -> Moment;
}

/// The hash of an entry that `keep` named a cause for.
pub(crate) type Doomed = (u64, RemovalCause);

/// Asks `keep` of every slot; also gives the earliest end of those that stay.
pub(crate) fn judge<'a>(
    slots: impl Iterator<Item = (&'a u64, &'a Slot)>,
    keep: &mut Keep<'_>,
) -> (Vec<Doomed>, Moment) {
    let (mut doomed, mut ends) = (Vec::new(), Moment::NEVER);
    for (hash, slot) in slots {
        match keep(slot.entry()) {
            Some(cause) => doomed.push((*hash, cause)),
            None => ends = ends.min(slot.kept().ends()),
        }
    }
    (doomed, ends)
}
