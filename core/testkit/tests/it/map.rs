use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use retainit_plugin::{
    Capabilities, Context, Entry, Fence, Inserted, Kept, Listener, Moment, NewEntry, ObjectBackend, Place, Put,
    Removal, RemovalCause, Visit,
};

/// An object backend in its simplest form: one map, one lock, one fence for all keys.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) flaw: Option<Flaw>,
    listener: Arc<dyn Listener>,
    state: Mutex<State>,
}

/// A promise that a map may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    RemovalLeavesTheFence,
    AlwaysLeavesTheFence,
    ComparesBeforeItInserts,
    SitesMeet,
    DiscardTakesTheLiving,
    RetainCountsWrong,
    RemovalsAreToldTwice,
    ReplacementsAreNotTold,
    AbsentReplaces,
    ScanSkips,
    DeadlineIsNever,
}

#[derive(Debug, Default)]
struct State {
    fence: u64,
    entries: HashMap<(u32, Vec<u8>), (u64, Kept)>,
}

impl Map {
    pub(crate) fn new(context: &Context, flaw: Option<Flaw>) -> Map {
        Map { flaw, listener: context.listener.clone(), state: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn tell(&self, cause: RemovalCause, (site, key): &(u32, Vec<u8>), kept: &Kept) {
        let entry = || Entry { site: *site, key, kept };
        if cause == RemovalCause::Replaced && self.has(Flaw::ReplacementsAreNotTold) {
            return;
        }
        self.listener.removed(Removal { cause, entry: entry() });
        if self.has(Flaw::RemovalsAreToldTwice) {
            self.listener.removed(Removal { cause, entry: entry() });
        }
    }

    /// Takes the entry that `visit` knows; the caller tells of it.
    fn take(&self, state: &mut State, place: Place, visit: &mut dyn Visit) -> Option<((u32, Vec<u8>), Kept)> {
        let known = state
            .entries
            .iter()
            .find(|((site, key), (hash, kept))| (*site, *hash) == (place.site, place.hash) && visit.visit(key, kept));
        let at = known.map(|(at, _)| at.clone())?;
        let (_, kept) = state.entries.remove(&at)?;
        Some((at, kept))
    }
}

impl ObjectBackend for Map {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().set_if_absent().scan().strict()
    }

    fn get(&self, place: Place, visit: &mut dyn Visit) -> bool {
        self.peek(place, visit)
    }

    fn peek(&self, place: Place, visit: &mut dyn Visit) -> bool {
        self.state.lock().entries.iter().any(|((site, key), (hash, kept))| {
            (*site == place.site || self.has(Flaw::SitesMeet)) && *hash == place.hash && visit.visit(key, kept)
        })
    }

    fn fence(&self, _: Place) -> Fence {
        Fence::new(self.state.lock().fence)
    }

    fn insert(&self, entry: NewEntry<'_>, put: Put<'_>) -> Inserted {
        let at = (entry.place.site, entry.key.to_vec());
        let mut state = self.state.lock();
        let breaks = match put {
            Put::Fenced(fence) | Put::Replace(fence) if fence.token() != state.fence => {
                drop(state);
                return Inserted::Refused;
            }
            Put::Absent { live } => {
                let present = state.entries.get(&at).is_some_and(|(_, kept)| live(kept));
                if present && !self.has(Flaw::AbsentReplaces) {
                    drop(state);
                    return Inserted::Present;
                }
                true
            }
            Put::Fenced(_) => {
                if self.has(Flaw::ComparesBeforeItInserts) {
                    MutexGuard::unlocked(&mut state, || thread::sleep(Duration::from_micros(20)));
                }
                false
            }
            Put::Always | Put::Replace(_) => !self.has(Flaw::AlwaysLeavesTheFence),
        };
        state.fence += u64::from(breaks);
        let old = state.entries.insert(at.clone(), (entry.place.hash, entry.kept));
        drop(state);
        if let Some((_, kept)) = old {
            self.tell(RemovalCause::Replaced, &at, &kept);
        }
        Inserted::Yes
    }

    fn remove(&self, place: Place, visit: &mut dyn Visit) -> bool {
        let mut state = self.state.lock();
        state.fence += u64::from(!self.has(Flaw::RemovalLeavesTheFence));
        let taken = self.take(&mut state, place, visit);
        drop(state);
        taken.inspect(|(at, kept)| self.tell(RemovalCause::Removed, at, kept)).is_some()
    }

    fn discard(&self, place: Place, dead: &mut dyn Visit, cause: RemovalCause) -> bool {
        let mut state = self.state.lock();
        let taken = if self.has(Flaw::DiscardTakesTheLiving) {
            self.take(&mut state, place, &mut Any)
        } else {
            self.take(&mut state, place, dead)
        };
        drop(state);
        taken.inspect(|(at, kept)| self.tell(cause, at, kept)).is_some()
    }

    fn break_fences(&self) {
        self.state.lock().fence += 1;
    }

    fn retain(&self, keep: &mut dyn FnMut(Entry<'_>) -> Option<RemovalCause>) -> usize {
        let mut causes = HashMap::new();
        let taken: Vec<_> = (self.state.lock().entries)
            .extract_if(|(site, key), (_, kept)| {
                let cause = keep(Entry { site: *site, key, kept });
                cause.map(|cause| causes.insert((*site, key.clone()), cause)).is_some()
            })
            .collect();
        for (at, (_, kept)) in &taken {
            self.tell(causes[at], at, kept);
        }
        taken.len() + usize::from(self.has(Flaw::RetainCountsWrong))
    }

    fn scan(&self, visit: &mut dyn FnMut(Entry<'_>)) {
        let skipped = usize::from(self.has(Flaw::ScanSkips));
        for ((site, key), (_, kept)) in self.state.lock().entries.iter().skip(skipped) {
            visit(Entry { site: *site, key, kept });
        }
    }

    fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    fn next_deadline(&self) -> Moment {
        let state = self.state.lock();
        let first = state.entries.values().map(|(_, kept)| kept.ends()).min();
        first.filter(|_| !self.has(Flaw::DeadlineIsNever)).unwrap_or(Moment::NEVER)
    }
}

struct Any;

impl Visit for Any {
    fn visit(&mut self, _: &[u8], _: &Kept) -> bool {
        true
    }
}
