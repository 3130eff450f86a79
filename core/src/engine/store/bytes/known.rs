//! Remembers the versions of groups, so that a hit on a backend behind a network is one read of its entry, whatever
//! its tags.
//!
//! The table is fed by the reads of this process and by its own raises. A version is used for as long as the function
//! allows (`max_staleness`), counted from when it was asked for: what another process raised by then is in it. What
//! this process has raised is in it once the raise is acknowledged: answers to reads that began before are not put in.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, GroupVersion, GroupVersions, Moment, SmallVec};

use crate::engine::groups::{Group, Groups};

const SHARDS: usize = 16;

/// The most groups of one shard; when there are more, all of them are forgotten.
const MOST: usize = 4_096;

/// Two versions whose counters are further apart than so many invalidations have different random bases.
const SAME_BASE: u64 = 1 << 24;

/// Table of groups and their versions in one backend.
#[derive(Debug)]
pub(super) struct KnownGroups {
    shards: [Mutex<Shard>; SHARDS],
    hasher: foldhash::fast::RandomState,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<Group, RememberedVersion, foldhash::fast::RandomState>,
    /// Number of raises of this process that have begun or ended.
    raises: u64,
}

#[derive(Clone, Copy, Debug)]
struct RememberedVersion {
    version: GroupVersion,
    /// Time when it was asked for.
    asked: Moment,
}

/// Versions for one look: those that are known, and the groups that have to be asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) versions: GroupVersions,
    pub(super) unknown: Groups,
    /// Place among the versions of each unknown group, and the raises in its shard.
    places: SmallVec<[(usize, u64); 4]>,
    at: Moment,
}

impl KnownGroups {
    pub(super) fn new(clock: Arc<dyn Clock>) -> KnownGroups {
        let shards = std::array::from_fn(|_| Mutex::default());
        KnownGroups { shards, hasher: foldhash::fast::RandomState::default(), clock }
    }

    fn shard(&self, group: &Group) -> &Mutex<Shard> {
        &self.shards[(self.hasher.hash_one(group) >> 7) as usize % SHARDS]
    }

    /// Looks groups up before a read, which has to ask for those that are unknown.
    pub(super) fn ask(&self, groups: &Groups, max_staleness: Duration) -> Asked {
        let at = self.clock.now();
        let (mut versions, mut places) = (GroupVersions::with_capacity(groups.len()), SmallVec::<[_; 4]>::new());
        for (place, group) in groups.iter().enumerate() {
            let shard = self.shard(group).lock();
            let known = shard.known.get(group).filter(|known| at.since(known.asked) < max_staleness);
            if known.is_none() {
                places.push((place, shard.raises));
            }
            versions.push(known.map(|known| known.version));
        }
        let unknown = match places.len() {
            0 => Groups::default(),
            all if all == groups.len() => groups.clone(),
            _ => places.iter().map(|(place, _)| groups[*place].clone()).collect(),
        };
        Asked { versions, unknown, places, at }
    }

    /// Completes the versions of a look with those that were read, and remembers them.
    pub(super) fn learn(&self, groups: &Groups, asked: Asked, read: &[Option<GroupVersion>]) -> GroupVersions {
        let Asked { mut versions, places, at, .. } = asked;
        for ((place, raises), version) in places.into_iter().zip(read) {
            let group = &groups[place];
            let mut shard = self.shard(group).lock();
            // A raise of this process may have been acknowledged since, by which this answer is too old.
            if shard.raises == raises {
                shard.learn(group, *version, at);
            }
            versions[place] = *version;
        }
        versions
    }

    /// Forgets groups: their versions have to be asked for.
    pub(super) fn forget(&self, groups: &Groups) {
        for group in groups.iter() {
            self.shard(group).lock().known.remove(group);
        }
    }

    /// Notes that this process begins to raise a group. Returns when.
    pub(super) fn raising(&self, group: &Group) -> Moment {
        let mut shard = self.shard(group).lock();
        shard.raises += 1;
        shard.known.remove(group);
        self.clock.now()
    }

    /// Notes the outcome of a raise that began at `asked`, before it is acknowledged.
    pub(super) fn raised(&self, group: &Group, version: Option<GroupVersion>, asked: Moment) {
        let mut shard = self.shard(group).lock();
        shard.raises += 1;
        shard.learn(group, version, asked);
    }
}

impl Shard {
    fn learn(&mut self, group: &Group, version: Option<GroupVersion>, asked: Moment) {
        let Some(version) = version else {
            self.known.remove(group);
            return;
        };
        if let Some(known) = self.known.get_mut(group) {
            if !is_same_base(known.version, version) {
                // Which of the two is lost is unknown: an answer may be late.
                self.known.remove(group);
                return;
            }
            let GroupVersion { hard, soft } = known.version;
            known.version = GroupVersion { hard: hard.max(version.hard), soft: soft.max(version.soft) };
            known.asked = known.asked.max(asked);
            return;
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(group.clone(), RememberedVersion { version, asked });
    }
}

/// Returns whether a version is older than the one that an entry carries, or of another base.
pub(super) fn is_overtaken(version: GroupVersion, carried: GroupVersion) -> bool {
    let is_older = carried.hard > version.hard || carried.soft > version.soft;
    is_older || !is_same_base(version, carried)
}

fn is_same_base(one: GroupVersion, other: GroupVersion) -> bool {
    one.hard.abs_diff(other.hard) < SAME_BASE && one.soft.abs_diff(other.soft) < SAME_BASE
}

#[cfg(test)]
mod tests {
    use retainit_testkit::ManualClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn version(hard: u64) -> Option<GroupVersion> {
        Some(GroupVersion { hard, soft: 7 })
    }

    struct Bench {
        clock: ManualClock,
        table: KnownGroups,
        groups: Groups,
    }

    fn bench() -> Bench {
        let clock = ManualClock::new();
        let table = KnownGroups::new(Arc::new(clock.clone()));
        Bench { clock, table, groups: [Group::new("a"), Group::new("b")].into_iter().collect() }
    }

    impl Bench {
        fn ask(&self) -> Asked {
            self.table.ask(&self.groups, SECOND)
        }

        fn read(&self, versions: [Option<GroupVersion>; 2]) {
            let asked = self.ask();
            assert_eq!(asked.unknown.len(), 2);
            assert_eq!(*self.table.learn(&self.groups, asked, &versions), versions);
        }
    }

    #[test]
    fn a_version_is_known_for_as_long_as_the_function_allows() {
        let bench = bench();
        bench.read([version(1), None]);
        let asked = bench.ask();
        assert_eq!(
            (&*asked.versions, asked.unknown.len()),
            (&[version(1), None][..], 1),
            "what is missing is not known"
        );
        bench.clock.advance(SECOND);
        assert_eq!(bench.ask().unknown.len(), 2, "it counts from when it was asked for");
        assert_eq!(bench.table.ask(&bench.groups, Duration::ZERO).unknown.len(), 2);
    }

    #[test]
    fn of_answers_the_larger_wins_and_another_base_is_forgotten() {
        let bench = bench();
        let (late, early) = (bench.ask(), bench.ask());
        bench.table.learn(&bench.groups, early, &[version(5), version(5)]);
        bench.table.learn(&bench.groups, late, &[version(4), version(1 << 50)]);
        let asked = bench.ask();
        assert_eq!((&*asked.versions, asked.unknown.len()), (&[version(5), None][..], 1));
    }

    #[test]
    fn what_this_process_raised_is_known_whatever_comes_late() {
        let bench = bench();
        let before = bench.ask();
        let began = bench.table.raising(&bench.groups[0]);
        let during = bench.ask();
        bench.table.raised(&bench.groups[0], version(6), began);
        bench.table.learn(&bench.groups, before, &[version(5), version(5)]);
        bench.table.learn(&bench.groups, during, &[version(5), version(5)]);
        assert_eq!(*bench.ask().versions, [version(6), version(5)]);
        bench.table.raising(&bench.groups[0]);
        bench.table.raised(&bench.groups[0], None, began);
        assert_eq!(bench.ask().versions[0], None, "its outcome is unknown");
    }

    #[test]
    fn the_table_is_bounded() {
        let bench = bench();
        for number in 0..200_000 {
            let group = Group::new(number.to_string());
            let began = bench.table.raising(&group);
            bench.table.raised(&group, version(number), began);
        }
        let known: usize = bench.table.shards.iter().map(|shard| shard.lock().known.len()).sum();
        assert!(known <= SHARDS * MOST, "{known}");
    }
}
