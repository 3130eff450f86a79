use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use retainit_plugin::{
    Bytes, Group, GroupVersion, Liveness, LivenessCheck, Snapshot, StoreCondition, StoreOptions, Stored, Strength,
};

use super::bench::Bench;

pub(super) fn a_version_is_kept(bench: &Bench) {
    let group = [bench.group("kept")];
    assert_eq!(bench.versions(&group), bench.versions(&group));
    let raised = bench.raise(&group[0], Strength::Hard);
    assert_eq!(bench.versions(&group), [raised]);
}

pub(super) fn a_version_begins_below_its_limit(bench: &Bench) {
    let (read, raised) = (bench.group("read"), bench.group("raised"));
    for version in [bench.versions(&[read])[0], bench.raise(&raised, Strength::Soft)] {
        assert!(version.hard <= 1 << 52 && version.soft <= 1 << 52, "{version:?}");
    }
}

pub(super) fn each_strength_raises_its_own_counter(bench: &Bench) {
    let group = bench.group("strength");
    let before = bench.raise(&group, Strength::Hard);
    let soft = bench.raise(&group, Strength::Soft);
    assert!(soft.hard == before.hard && soft.soft > before.soft, "{before:?} became {soft:?}");
    let hard = bench.raise(&group, Strength::Hard);
    assert!(hard.hard > soft.hard && hard.soft == soft.soft, "{soft:?} became {hard:?}");
}

pub(super) fn groups_count_apart_and_come_in_order(bench: &Bench) {
    let groups = [bench.group("one"), bench.group("two"), bench.group("three")];
    let before = bench.versions(&groups);
    let raised = bench.raise(&groups[1], Strength::Hard);
    assert_eq!(bench.versions(&groups), [before[0], raised, before[2]]);
    let turned = [groups[2].clone(), groups[1].clone()];
    assert_eq!(bench.versions(&turned), [before[2], raised]);
}

pub(super) fn raises_under_threads_are_all_different(bench: &Bench) {
    let group = bench.group("raced");
    let raise = || bench.raise(&group, Strength::Hard).hard;
    let seen: HashSet<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..10).map(|_| raise()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no raise fails")).collect()
    });
    assert_eq!(seen.len(), 40, "two raises gave one number");
    assert_eq!(Some(&bench.versions(&[group])[0].hard), seen.iter().max());
}

pub(super) fn what_nobody_loaded_tells_current_versions(bench: &Bench) {
    let groups = [bench.group("new"), bench.group("raised")];
    for (round, length) in [10, 1_000, 100_000, 1_000].into_iter().enumerate() {
        let (key, mut sealed) = (bench.key(&format!("sealed{round}")), Vec::new());
        bench.raise(&groups[1], Strength::Hard);
        let mut seal = |versions: &[GroupVersion]| {
            sealed = versions.to_vec();
            Bytes::from(format!("{versions:?}{}", "v".repeat(length)))
        };
        let stored =
            bench.process().store_with(&key, &mut seal, StoreOptions::new(StoreCondition::Always).groups(&groups));
        assert_eq!(stored.expect("store"), Stored::Yes);
        assert_eq!(sealed, bench.versions(&groups));
        assert_eq!(bench.peek(&key), Some(format!("{sealed:?}{}", "v".repeat(length)).into()));
    }
}

/// Checks the rule for lists and removals: only entries that may be served count, and an entry whose group was raised
/// may not be, though its bytes are there.
pub(super) fn what_lost_a_group_is_neither_listed_nor_counted(bench: &Bench) {
    let groups = [bench.group("raised"), bench.group("left")];
    let keys: Vec<String> = (0..4).map(|entry| bench.key(&format!("judged/{entry}"))).collect();
    for (entry, key) in keys.iter().enumerate() {
        let group = &groups[entry % 2..=entry % 2];
        let mut seal = |versions: &[GroupVersion]| Bytes::from(format!("{} {:?}", group[0].as_str(), versions[0]));
        let stored =
            bench.process().store_with(key, &mut seal, StoreOptions::new(StoreCondition::Always).groups(group));
        assert_eq!(stored.expect("store"), Stored::Yes);
    }
    bench.raise(&groups[0], Strength::Hard);
    // Whether or not it guesses which groups an entry has.
    for check in [BySeal { groups: &groups, likely: &groups }, BySeal { groups: &groups, likely: &[] }] {
        let shown = bench.scan(&bench.key("judged/"), 100);
        let live = shown.into_iter().filter(|key| bench.process().reads_live(key, &check).expect("read"));
        assert_eq!(live.collect::<Vec<_>>(), [keys[1].clone(), keys[3].clone()]);
    }
    let check = BySeal { groups: &groups, likely: &[] };
    let counted = keys.iter().map(|key| bench.process().remove_live(key, &check).expect("remove"));
    assert_eq!(counted.collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(bench.scan(&bench.key("judged/"), 100), [] as [String; 0], "they are removed, counted or not");
    assert!(!bench.process().remove_live(&keys[1], &check).expect("remove"), "it was gone already");
}

/// Checks entries that contain their group and its version.
struct BySeal<'a> {
    groups: &'a [Group],
    likely: &'a [Group],
}

impl LivenessCheck for BySeal<'_> {
    fn likely(&self) -> &[Group] {
        self.likely
    }

    fn check(&self, found: &Snapshot, versions: &[(&[Group], &[GroupVersion])]) -> Liveness {
        let Some(entry) = &found.entry else { return Liveness::Dead };
        let text = std::str::from_utf8(entry).expect("the entry is what was stored");
        let group = self.groups.iter().find(|group| text.starts_with(group.as_str())).expect("it names a group");
        let mut known = versions.iter().flat_map(|(groups, versions)| groups.iter().zip(*versions));
        match known.find(|(other, _)| *other == group) {
            Some((_, version)) if text == format!("{} {version:?}", group.as_str()) => Liveness::Live,
            Some(_) => Liveness::Dead,
            None => Liveness::Asks(vec![group.clone()]),
        }
    }
}

pub(super) fn a_version_lives_as_long_as_its_entries(bench: &Bench) {
    // Real time cannot show more than that a version outlives the first seconds.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let group = [bench.group("long")];
    let version = bench.raise(&group[0], Strength::Hard);
    let terms = StoreOptions::new(StoreCondition::Always).ttl(Some(YEAR)).groups(&group);
    let stored = bench.process().store(&bench.key("long"), Bytes::from("value"), terms);
    assert_eq!(stored.expect("store"), Stored::Yes);
    bench.pass_manually(YEAR - Duration::from_secs(1));
    assert_eq!(bench.peek(&bench.key("long")), Some("value".into()));
    assert_eq!(bench.versions(&group), [version]);
}

pub(super) fn a_lost_version_never_returns_to_an_old_number(bench: &Bench) {
    let (group, mut seen) = ([bench.group("lost")], HashSet::new());
    for _ in 0..20 {
        let read = bench.versions(&group)[0];
        let raised = bench.raise(&group[0], Strength::Hard);
        assert!(seen.insert(read.hard) && seen.insert(raised.hard), "{raised:?} was met before");
        assert!(seen.insert(read.soft), "{read:?} was met before");
        bench.lose_versions();
    }
}
