use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{
    CachedEntry, Capabilities, Context, EntryAddress, EntryRef, InsertMode, Inserted, Listener, Moment, NewEntry,
    ObjectBackend, ObjectFence, Removal, RemovalCause, Visit,
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
    RetainCountsWrong,
    RemovalsAreToldTwice,
    ReplacementsAreNotTold,
    AbsentReplaces,
    ScanSkips,
    DeadlineIsNever,
    BoundsAreIgnored,
    BoundsReachOthers,
}

#[derive(Debug, Default)]
struct State {
    fence: u64,
    entries: HashMap<(u32, Vec<u8>), (u64, CachedEntry)>,
}

impl Map {
    pub(crate) fn new(context: &Context, flaw: Option<Flaw>) -> Map {
        Map { flaw, listener: context.listener.clone(), state: Mutex::default() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn tell(&self, cause: RemovalCause, (site, key): &(u32, Vec<u8>), cached: &CachedEntry) {
        let entry = || EntryRef { site: *site, key, cached };
        if cause == RemovalCause::Replaced && self.has(Flaw::ReplacementsAreNotTold) {
            return;
        }
        self.listener.removed(Removal { cause, entry: entry() });
        if self.has(Flaw::RemovalsAreToldTwice) {
            self.listener.removed(Removal { cause, entry: entry() });
        }
    }

    /// Makes room for an entry of a site that is bounded: those that were read are the last to go.
    fn evict(&self, state: &mut State, at: &(u32, Vec<u8>), most: Option<u64>) -> Vec<((u32, Vec<u8>), CachedEntry)> {
        let Some(most) = most.filter(|_| !self.has(Flaw::BoundsAreIgnored)) else { return Vec::new() };
        let is_bounded = |(site, _): &(u32, Vec<u8>)| *site == at.0 || self.has(Flaw::BoundsReachOthers);
        let mut evicted = Vec::new();
        while !state.entries.contains_key(at)
            && state.entries.keys().filter(|key| is_bounded(key)).count() as u64 >= most
        {
            let read = |cached: &CachedEntry| cached.extra().map(|extra| extra.accessed());
            let bounded = state.entries.iter().filter(|(key, _)| is_bounded(key));
            let first = bounded.min_by_key(|(_, (_, cached))| read(cached)).map(|(key, _)| key.clone());
            let Some((key, (_, cached))) = first.and_then(|first| state.entries.remove_entry(&first)) else { break };
            evicted.push((key, cached));
        }
        evicted
    }

    /// Takes the entry that `visit` accepts; the caller reports it.
    fn take(
        &self,
        state: &mut State,
        place: EntryAddress,
        visit: &mut dyn Visit,
    ) -> Option<((u32, Vec<u8>), CachedEntry)> {
        let known = state.entries.iter().find(|((site, key), (hash, cached))| {
            (*site, *hash) == (place.site, place.hash) && visit.visit(key, cached)
        });
        let at = known.map(|(at, _)| at.clone())?;
        let (_, cached) = state.entries.remove(&at)?;
        Some((at, cached))
    }
}

impl ObjectBackend for Map {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().set_if_absent().scan().function_bounds()
    }

    fn get(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.peek(place, visit)
    }

    fn peek(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.state.lock().entries.iter().any(|((site, key), (hash, cached))| {
            (*site == place.site || self.has(Flaw::SitesMeet)) && *hash == place.hash && visit.visit(key, cached)
        })
    }

    fn fence(&self, _: EntryAddress) -> ObjectFence {
        ObjectFence::new(self.state.lock().fence)
    }

    fn insert(&self, entry: NewEntry<'_>, put: InsertMode<'_>) -> Inserted {
        let at = (entry.address.site, entry.key.to_vec());
        let mut state = self.state.lock();
        let breaks = match put {
            InsertMode::Fenced(fence) | InsertMode::Replace(fence) if fence.token() != state.fence => {
                drop(state);
                return Inserted::Refused;
            }
            InsertMode::Absent { live } => {
                let present = state.entries.get(&at).is_some_and(|(_, cached)| live(cached));
                if present && !self.has(Flaw::AbsentReplaces) {
                    drop(state);
                    return Inserted::Present;
                }
                true
            }
            InsertMode::Fenced(_) => {
                if self.has(Flaw::ComparesBeforeItInserts) {
                    drop(state);
                    thread::sleep(Duration::from_micros(20));
                    state = self.state.lock();
                }
                false
            }
            InsertMode::Always | InsertMode::Replace(_) => !self.has(Flaw::AlwaysLeavesTheFence),
        };
        state.fence += u64::from(breaks);
        let evicted = self.evict(&mut state, &at, entry.max_entries);
        let old = state.entries.insert(at.clone(), (entry.address.hash, entry.cached));
        drop(state);
        evicted.iter().for_each(|(at, cached)| self.tell(RemovalCause::Evicted, at, cached));
        if let Some((_, cached)) = old {
            self.tell(RemovalCause::Replaced, &at, &cached);
        }
        Inserted::Yes
    }

    fn remove(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        let mut state = self.state.lock();
        state.fence += u64::from(!self.has(Flaw::RemovalLeavesTheFence));
        let taken = self.take(&mut state, place, visit);
        drop(state);
        taken.inspect(|(at, cached)| self.tell(RemovalCause::Removed, at, cached)).is_some()
    }

    fn break_fences(&self) {
        self.state.lock().fence += 1;
    }

    fn retain(&self, keep: &mut dyn FnMut(EntryRef<'_>) -> Option<RemovalCause>) -> usize {
        let mut causes = HashMap::new();
        let taken: Vec<_> = (self.state.lock().entries)
            .extract_if(|(site, key), (_, cached)| {
                let cause = keep(EntryRef { site: *site, key, cached });
                cause.map(|cause| causes.insert((*site, key.clone()), cause)).is_some()
            })
            .collect();
        for (at, (_, cached)) in &taken {
            self.tell(causes[at], at, cached);
        }
        taken.len() + usize::from(self.has(Flaw::RetainCountsWrong))
    }

    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        let skipped = usize::from(self.has(Flaw::ScanSkips));
        for ((site, key), (_, cached)) in self.state.lock().entries.iter().skip(skipped) {
            visit(EntryRef { site: *site, key, cached });
        }
    }

    fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    fn next_deadline(&self) -> Moment {
        let state = self.state.lock();
        let first = state.entries.values().map(|(_, cached)| cached.discard_at()).min();
        first.filter(|_| !self.has(Flaw::DeadlineIsNever)).unwrap_or(Moment::NEVER)
    }
}
