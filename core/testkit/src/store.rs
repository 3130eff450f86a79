use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{
    Bytes, Clock, Error, ErrorKind, Fence, Group, GroupVersion, LivenessCheck, Moment, Page, Read, Result, Scan,
    Snapshot, StoreCondition, StoreOptions, Stored, Strength,
};

use crate::Faults;
use crate::random::random;

/// Time for which a group's version is kept when no entry needs it longer.
const VERSION_LIFE: Duration = Duration::from_secs(3_600);

/// Version numbers begin below this.
const BASE_LIMIT: u64 = 1 << 52;

/// The server behind [`ByteBackend`](crate::ByteBackend)s: what a Redis would be, in memory. Clones are one store.
///
/// Backends that are built on one store see each other's entries, fences and versions, as processes on one server do.
/// The methods here look at it and disturb it from outside, past all faults and counters.
#[derive(Clone, Default)]
pub struct ByteStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    faults: Faults,
}

#[derive(Default)]
struct State {
    clock: Option<Arc<dyn Clock>>,
    slots: BTreeMap<String, Slot>,
    versions: HashMap<Group, Counters>,
}

struct Slot {
    /// Random, and new with every write: no fence occurs twice.
    generation: u64,
    /// `None` is a placeholder.
    entry: Option<Bytes>,
    deadline: Moment,
}

struct Counters {
    version: GroupVersion,
    deadline: Moment,
}

impl ByteStore {
    /// Makes an empty store.
    pub fn new() -> ByteStore {
        ByteStore::default()
    }

    /// Returns the faults of the server, which affect every backend on it; its counters count the calls of all of them.
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// Returns the bytes of an entry.
    pub fn entry(&self, key: &str) -> Option<Bytes> {
        self.now_and(|state, now| state.live(key, now)?.entry.clone())
    }

    /// Puts bytes in as a foreign program would, without a ttl: corrupt ones, for instance.
    pub fn put(&self, key: impl Into<String>, entry: impl Into<Bytes>) {
        self.now_and(|state, _| state.write(&key.into(), Some(entry.into()), Moment::NEVER));
    }

    /// Returns the keys of all entries, in their order.
    pub fn keys(&self) -> Vec<String> {
        self.keys_where(|slot| slot.entry.is_some())
    }

    /// Returns the keys of all placeholders, in their order: loads that have begun and not ended.
    pub fn placeholders(&self) -> Vec<String> {
        self.keys_where(|slot| slot.entry.is_none())
    }

    /// Returns the deadline of a slot's contents, a placeholder's with its lease; [`Moment::NEVER`] without a ttl.
    pub fn deadline(&self, key: &str) -> Option<Moment> {
        self.now_and(|state, now| state.live(key, now).map(|slot| slot.deadline))
    }

    /// Returns the version of a group, if it has one.
    pub fn version(&self, group: &Group) -> Option<GroupVersion> {
        self.now_and(|state, now| state.live_version(group, now).map(|counters| counters.version))
    }

    /// Returns the deadline of a group's version, if it has one and nothing extends it.
    pub fn version_deadline(&self, group: &Group) -> Option<Moment> {
        self.now_and(|state, now| state.live_version(group, now).map(|counters| counters.deadline))
    }

    /// Loses every version, as a store that was full or failed over would. Each comes back with a new random base.
    pub fn lose_versions(&self) {
        self.0.state.lock().versions.clear();
    }

    /// Loses everything: a restart without persistence.
    pub fn flush(&self) {
        let mut state = self.0.state.lock();
        state.slots.clear();
        state.versions.clear();
    }

    /// Sets the clock of the store.
    pub(crate) fn set_clock(&self, clock: Arc<dyn Clock>) {
        self.0.state.lock().clock = Some(clock);
    }

    /// Sets the clock of a store that has none.
    pub(crate) fn offer_clock(&self, clock: &Arc<dyn Clock>) {
        self.0.state.lock().clock.get_or_insert_with(|| clock.clone());
    }

    pub(crate) fn read(&self, key: &str, read: Read<'_>) -> Snapshot {
        self.now_and(|state, now| {
            let slot = state.live(key, now);
            let entry = slot.and_then(|slot| slot.entry.clone());
            let standing = slot.map(|slot| slot.generation);
            let fence = read
                .fence
                .map(|lease| Fence::new(standing.unwrap_or_else(|| state.write(key, None, now.after(lease)))));
            let versions = read.groups.iter().map(|g| state.counters(g, now).version).collect();
            Snapshot::new(entry, fence, versions)
        })
    }

    pub(crate) fn store(&self, key: &str, entry: Bytes, terms: &StoreOptions<'_>) -> Result<Stored> {
        self.now_and(|state, now| {
            terms.check()?;
            let slot = state.live(key, now);
            let holds = match terms.when {
                StoreCondition::Fenced(fence) => slot.is_some_and(|slot| slot.generation == fence.token()),
                StoreCondition::Always => true,
                StoreCondition::Absent => slot.is_none_or(|slot| slot.entry.is_none()),
                _ => return Err(Error::new(ErrorKind::Unsupported, "unknown condition")),
            };
            if !holds {
                return Ok(Stored::Refused);
            }
            let deadline = terms.ttl.map_or(Moment::NEVER, |ttl| now.after(ttl));
            state.write(key, Some(entry), deadline);
            for group in terms.groups {
                state.extend_version(group, deadline, now);
            }
            Ok(Stored::Yes)
        })
    }

    pub(crate) fn remove(&self, key: &str) -> bool {
        self.now_and(|state, now| state.take(key, now).is_some())
    }

    /// Removes a key and returns whether its entry could be served.
    pub(crate) fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> bool {
        self.now_and(|state, now| {
            let entry = state.take(key, now);
            let mut versions = |groups: &[Group]| -> Vec<GroupVersion> {
                groups.iter().map(|group| state.counters(group, now).version).collect()
            };
            let found = Snapshot::new(entry, None, versions(check.likely()));
            check.is_live(&found, |groups| Ok(versions(groups))).unwrap_or(false)
        })
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Page {
        self.now_and(|state, now| {
            let from = match &scan.cursor {
                Some(cursor) => Bound::Excluded(cursor.as_str()),
                None => Bound::Included(scan.prefix.as_str()),
            };
            let page = scan.page.max(1);
            let mut found = state
                .slots
                .range::<str, _>((from, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(&scan.prefix))
                .filter(|(_, slot)| slot.deadline > now && (slot.entry.is_some() || scan.placeholders))
                .map(|(key, _)| key.clone());
            let keys: Vec<String> = found.by_ref().take(page).collect();
            let next = found.next().and_then(|_| keys.last().cloned());
            Page::new(keys, next)
        })
    }

    pub(crate) fn raise(&self, group: &Group, strength: Strength) -> GroupVersion {
        self.now_and(|state, now| {
            let counters = state.counters(group, now);
            match strength {
                Strength::Hard => counters.version.hard += 1,
                Strength::Soft => counters.version.soft += 1,
            }
            counters.deadline = counters.deadline.max(now.after(VERSION_LIFE));
            counters.version
        })
    }

    fn keys_where(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<String> {
        self.now_and(|state, now| {
            let slots = state.slots.iter().filter(|(_, slot)| slot.deadline > now && wanted(slot));
            slots.map(|(key, _)| key.clone()).collect()
        })
    }

    /// Runs each operation of the store: under its lock, as of one moment.
    fn now_and<T>(&self, act: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.0.state.lock();
        let now = state.clock.as_ref().map_or(Moment::from_millis(0), |clock| clock.now());
        act(&mut state, now)
    }
}

impl State {
    fn live(&self, key: &str, now: Moment) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| slot.deadline > now)
    }

    /// Empties a slot. Gives the entry that was in it; a placeholder is none.
    fn take(&mut self, key: &str, now: Moment) -> Option<Bytes> {
        self.slots.remove(key).filter(|slot| slot.deadline > now)?.entry
    }

    fn live_version(&self, group: &Group, now: Moment) -> Option<&Counters> {
        self.versions.get(group).filter(|counters| counters.deadline > now)
    }

    fn write(&mut self, key: &str, entry: Option<Bytes>, deadline: Moment) -> u64 {
        let generation = random();
        self.slots.insert(key.to_owned(), Slot { generation, entry, deadline });
        generation
    }

    /// Returns the counters of a group; lost ones begin anew at a random base.
    fn counters(&mut self, group: &Group, now: Moment) -> &mut Counters {
        let fresh = || Counters {
            version: GroupVersion { hard: random() % BASE_LIMIT, soft: random() % BASE_LIMIT },
            deadline: now.after(VERSION_LIFE),
        };
        let counters = self.versions.entry(group.clone()).or_insert_with(fresh);
        if counters.deadline <= now {
            *counters = fresh();
        }
        counters
    }

    /// Keeps a version as long as the entries that carry it: a new one would refuse them. One that is lost already
    /// stays so, for the entry is refused in any case.
    fn extend_version(&mut self, group: &Group, deadline: Moment, now: Moment) {
        if let Some(counters) = self.versions.get_mut(group).filter(|c| c.deadline > now) {
            counters.deadline = counters.deadline.max(deadline);
        }
    }
}

impl fmt::Debug for ByteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("ByteStore")
            .field("slots", &state.slots.len())
            .field("versions", &state.versions.len())
            .finish_non_exhaustive()
    }
}
