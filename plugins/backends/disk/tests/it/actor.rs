//! Loads, sets and invalidates at random, as one of two processes. It uses the backend as the engine does: an entry
//! carries the versions of its groups from before its load began, and is served only while they are the current ones.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use retainit_disk::DiskConfig;
use retainit_plugin::{
    Bytes, ErrorKind, GroupVersion, Read, Result, Scan, StoreCondition, StoreOptions, Stored, Strength, SystemClock,
};
use retainit_testkit::{Notice, Recorder};
use rustix::time::{ClockId, clock_gettime};

use crate::child::{SIZES, number_of, say, stamped};
use crate::common::{Disk, LEASE, build, count_of};
use crate::events::{AREAS, Cover, Event, GROUPS, KEYS, area, group, groups_of, log_of, text, write};

pub(crate) const SECONDS: &str = "DISK_TEST_SECONDS";
pub(crate) const PLANT: &str = "DISK_TEST_PLANT";

/// A fault that the oracle has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    None,
    /// Loads are stored whatever became of their fence.
    Fences,
    /// Entries are served whatever became of their groups.
    Versions,
    /// Removes by scan without refusing the loads under way.
    Placeholders,
}

/// Acts for the given time, then leaves its log as `events-<process>` in the folder above.
pub(crate) fn act(base: &Path) {
    let plant = match std::env::var(PLANT).as_deref() {
        Ok("fences") => Plant::Fences,
        Ok("versions") => Plant::Versions,
        Ok("placeholders") => Plant::Placeholders,
        _ => Plant::None,
    };
    let config = DiskConfig::new().base_path(base).max_entries(KEYS * 3 / 4).max_bytes(16 << 20);
    let recorder = Recorder::new();
    let disk = build(config, Arc::new(SystemClock), &recorder);
    let until = now() + Duration::from_secs(count_of(SECONDS, 20) as u64).as_nanos() as u64;
    let values = AtomicU64::new(u64::from(std::process::id()) << 32);
    let logs: Vec<Vec<Event>> = thread::scope(|scope| {
        let actors: Vec<_> = (0..3)
            .map(|_| {
                let seed = values.fetch_add(1, Ordering::Relaxed);
                let actor = Actor { disk: &disk, values: &values, plant, random: Random(seed), log: Vec::new() };
                scope.spawn(move || actor.act_until(until))
            })
            .collect();
        actors.into_iter().map(|actor| actor.join().expect("no actor fails")).collect()
    });
    assert_eq!(recorder.notices().iter().filter(|notice| is_failure(notice)).count(), 0, "{:?}", recorder.notices());
    write(&log_of(base, std::process::id()), &logs.concat()).expect("the log can be written");
    say("done");
}

fn is_failure(notice: &Notice) -> bool {
    matches!(notice, Notice::Failed { .. })
}

struct Actor<'a> {
    disk: &'a Disk,
    values: &'a AtomicU64,
    plant: Plant,
    random: Random,
    log: Vec<Event>,
}

impl Actor<'_> {
    fn act_until(mut self, until: u64) -> Vec<Event> {
        while now() < until {
            let key = self.random.below(KEYS);
            match self.random.below(100) {
                0..64 => self.load(key),
                64..80 => self.set(key),
                80..92 => {
                    let removed = |actor: &Actor<'_>| actor.disk.remove(&text(key)).map(drop);
                    self.invalidate(Cover::Key(key), removed);
                }
                92..97 => {
                    let number = self.random.below(GROUPS + 1);
                    let raised = |actor: &Actor<'_>| actor.disk.raise(&group(number), Strength::Hard).map(drop);
                    self.invalidate(Cover::Group(number), raised);
                }
                _ => {
                    let area = self.random.below(AREAS);
                    self.invalidate(Cover::Area(area), |actor| actor.remove_area(area));
                }
            }
        }
        self.log
    }

    /// Loads a key as a retained call does.
    fn load(&mut self, key: u64) {
        let began = now();
        let groups = groups_of(key).map(group);
        let groups = groups.each_ref().map(String::as_str);
        let Some(snapshot) = answered(self.disk.read(&text(key), Read::take(LEASE).groups(&groups))) else { return };
        if let Some(entry) = &snapshot.entry {
            let (value, versions) = open(key, entry);
            if self.plant == Plant::Versions || versions == *snapshot.versions {
                self.log.push(Event::Served { key, value, began });
                return;
            }
        }
        let value = self.value();
        self.log.push(Event::Born { key, value, at: now() });
        self.pause();
        let when = match self.plant {
            Plant::Fences => StoreCondition::Always,
            _ => StoreCondition::Fenced(snapshot.fence.expect("fences are declared")),
        };
        self.store(key, value, &snapshot.versions, when);
    }

    fn set(&mut self, key: u64) {
        let (began, value) = (now(), self.value());
        let groups = groups_of(key).map(group);
        let groups = groups.each_ref().map(String::as_str);
        let versions = answered(self.disk.read(&text(key), Read::take(LEASE).groups(&groups)));
        let stored = versions.is_some_and(|found| self.store(key, value, &found.versions, StoreCondition::Always));
        let ended = now();
        self.log.push(Event::Born { key, value, at: if stored { ended } else { u64::MAX } });
        if stored {
            self.log.push(Event::Gone { cover: Cover::Key(key), began, ended });
        }
    }

    fn store(&mut self, key: u64, value: u64, versions: &[Option<GroupVersion>], when: StoreCondition) -> bool {
        let ttl = match self.random.below(4) {
            0 => Some(Duration::from_millis(self.random.below(20))),
            1 => Some(Duration::from_secs(1)),
            _ => None,
        };
        // Mostly small ones: others cost this process more than the backend.
        let size = SIZES[self.random.below(2) as usize + self.random.below(20) as usize / 19 * 2];
        let groups = groups_of(key).map(group);
        let groups = groups.each_ref().map(String::as_str);
        let terms = StoreOptions::new(when).ttl(ttl).groups(&groups);
        answered(self.disk.store(&text(key), seal(key, value, versions, size), terms)) == Some(Stored::Yes)
    }

    fn invalidate(&mut self, cover: Cover, act: impl FnOnce(&Self) -> Result<()>) {
        let began = now();
        if answered(act(self)).is_some() {
            self.log.push(Event::Gone { cover, began, ended: now() });
        }
    }

    fn remove_area(&self, number: u64) -> Result<()> {
        let mut scan = Scan::prefix(area(number));
        scan.page = 3;
        loop {
            let wanted = if self.plant == Plant::Placeholders { scan } else { scan.placeholders() };
            let page = self.disk.scan(wanted)?;
            page.keys.iter().try_for_each(|key| self.disk.remove(key).map(drop))?;
            let Some(next) = page.next else { return Ok(()) };
            scan = Scan::prefix(area(number)).after(next);
            scan.page = 3;
        }
    }

    fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Pauses between a load and its store, so that others get in.
    fn pause(&mut self) {
        match self.random.below(8) {
            0 => thread::sleep(Duration::from_micros(self.random.below(3_000))),
            1..4 => thread::yield_now(),
            _ => {}
        }
    }
}

/// Returns the answer; a lock that others kept too long is no answer, and anything else that fails is a defect.
fn answered<T>(outcome: Result<T>) -> Option<T> {
    outcome.map_err(|error| assert_eq!(error.kind(), ErrorKind::Timeout, "{error}")).ok()
}

/// Seals an entry: the versions of its two groups, and a value of a size.
fn seal(key: u64, value: u64, versions: &[Option<GroupVersion>], size: usize) -> Bytes {
    let versions = versions.iter().map(|version| version.expect("a take makes what is missing"));
    let mut entry: Vec<u8> =
        versions.flat_map(|version| [version.hard, version.soft]).flat_map(u64::to_le_bytes).collect();
    entry.extend(stamped(value, &text(key), size));
    entry.into()
}

fn open(key: u64, entry: &[u8]) -> (u64, [Option<GroupVersion>; 2]) {
    let (versions, value) = entry.split_at(32);
    let number = |at: usize| u64::from_le_bytes(*versions[at * 8..].first_chunk().expect("32 bytes"));
    let value = number_of(&text(key), value).expect("a value that was written for this key");
    let version = |at: usize| Some(GroupVersion { hard: number(at), soft: number(at + 1) });
    (value, [version(0), version(2)])
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}
