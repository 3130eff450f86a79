use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{
    Bytes, Clock, Error, ErrorKind, Fence, GroupVersion, GroupVersions, LivenessCheck, Moment, Page, Read, Result,
    Scan, Snapshot, StoreCondition, StoreOptions, Stored, Strength, WantedFence,
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
    versions: HashMap<String, Counters>,
    version_reads: u64,
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

/// Form of the fences that a backend gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceShape {
    /// It gives none.
    None,
    /// The generation of the slot.
    Number,
    /// As many bytes as a fence may have, the last of which are the generation.
    Long,
}

impl FenceShape {
    fn fence(self, generation: u64) -> Option<Fence> {
        match self {
            FenceShape::None => None,
            FenceShape::Number => Some(Fence::number(generation)),
            FenceShape::Long => {
                let mut bytes = [b'f'; Fence::MOST];
                bytes[Fence::MOST - 8..].copy_from_slice(&generation.to_be_bytes());
                Fence::bytes(&bytes).ok()
            }
        }
    }

    fn is_of(self, generation: u64, fence: &Fence) -> bool {
        self.fence(generation).as_ref() == Some(fence)
    }
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
    pub fn version(&self, group: &str) -> Option<GroupVersion> {
        self.now_and(|state, now| state.live_version(group, now).map(|counters| counters.version))
    }

    /// Returns the deadline of a group's version, if it has one and nothing extends it.
    pub fn version_deadline(&self, group: &str) -> Option<Moment> {
        self.now_and(|state, now| state.live_version(group, now).map(|counters| counters.deadline))
    }

    /// Returns how many versions were read from the store so far, of groups with or without one.
    pub fn version_reads(&self) -> u64 {
        self.0.state.lock().version_reads
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

    pub(crate) fn read(&self, key: &str, read: Read<'_>, shape: FenceShape) -> Snapshot {
        self.now_and(|state, now| {
            let slot = state.live(key, now);
            let entry = slot.and_then(|slot| slot.entry.clone());
            let seen = slot.map(|slot| slot.generation);
            let (fence, placed, creates) = match read.fence {
                WantedFence::Seen => (seen, false, false),
                WantedFence::Take(lease) if shape != FenceShape::None => {
                    let taken = seen.unwrap_or_else(|| state.write(key, None, now.after(lease)));
                    (Some(taken), seen.is_none(), true)
                }
                WantedFence::Take(_) => (None, false, true),
                _ => (None, false, false),
            };
            let version = |group: &&str| match creates {
                true => Some(state.counters(group, now).version),
                false => state.live_version(group, now).map(|counters| counters.version),
            };
            let versions = read.groups.iter().map(version).collect();
            state.version_reads += read.groups.len() as u64;
            let snapshot = Snapshot::new(entry, fence.and_then(|generation| shape.fence(generation)), versions);
            if placed { snapshot.placed() } else { snapshot }
        })
    }

    pub(crate) fn store(&self, key: &str, entry: Bytes, terms: &StoreOptions<'_>, shape: FenceShape) -> Result<Stored> {
        self.now_and(|state, now| {
            terms.check()?;
            let slot = state.live(key, now);
            let holds = match terms.when {
                StoreCondition::Fenced(fence) => slot.is_some_and(|slot| shape.is_of(slot.generation, &fence)),
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

    pub(crate) fn remove_many(&self, keys: &[&str]) -> u64 {
        self.now_and(|state, now| keys.iter().filter(|key| state.take(key, now).is_some()).count() as u64)
    }

    /// Gives a placeholder another lease from now on, or none.
    pub(crate) fn lease(&self, key: &str, fence: Fence, lease: Option<Duration>, shape: FenceShape) -> bool {
        self.now_and(|state, now| {
            let is_it = |slot: &Slot| slot.entry.is_none() && shape.is_of(slot.generation, &fence);
            if !state.live(key, now).is_some_and(is_it) {
                return false;
            }
            match (lease, state.slots.get_mut(key)) {
                (Some(lease), Some(slot)) => slot.deadline = now.after(lease),
                _ => drop(state.slots.remove(key)),
            }
            true
        })
    }

    /// Removes a key and returns whether its entry could be served.
    pub(crate) fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> bool {
        self.now_and(|state, now| {
            let entry = state.take(key, now);
            let versions = |groups: &[&str]| -> GroupVersions {
                let version = |group: &&str| state.live_version(group, now).map(|counters| counters.version);
                groups.iter().map(version).collect()
            };
            let found = Snapshot::new(entry, None, versions(&check.likely()));
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

    pub(crate) fn raise(&self, group: &str, strength: Strength) -> GroupVersion {
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

    fn live_version(&self, group: &str, now: Moment) -> Option<&Counters> {
        self.versions.get(group).filter(|counters| counters.deadline > now)
    }

    fn write(&mut self, key: &str, entry: Option<Bytes>, deadline: Moment) -> u64 {
        let generation = random();
        self.slots.insert(key.to_owned(), Slot { generation, entry, deadline });
        generation
    }

    /// Returns the counters of a group; lost ones begin anew at a random base.
    fn counters(&mut self, group: &str, now: Moment) -> &mut Counters {
        let fresh = || Counters {
            version: GroupVersion { hard: random() % BASE_LIMIT, soft: random() % BASE_LIMIT },
            deadline: now.after(VERSION_LIFE),
        };
        let counters = self.versions.entry(group.to_owned()).or_insert_with(fresh);
        if counters.deadline <= now {
            *counters = fresh();
        }
        counters
    }

    /// Keeps a version as long as the entries that carry it: a new one would refuse them. One that is lost already
    /// stays so, for the entry is refused in any case.
    fn extend_version(&mut self, group: &str, deadline: Moment, now: Moment) {
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
