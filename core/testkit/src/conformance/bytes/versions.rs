use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use retainit_plugin::{
    Bytes, Error, ErrorKind, GroupNames, GroupVersion, KnownVersions, Liveness, LivenessCheck, Read, Snapshot,
    StoreCondition, StoreOptions, Stored, Strength,
};

use super::bench::Bench;

pub(super) fn a_version_is_kept(bench: &Bench) {
    let group = bench.group("kept");
    let taken = bench.taken_versions(&[&group]);
    assert_eq!(bench.taken_versions(&[&group]), taken);
    assert_eq!(*bench.versions(&[&group]), [Some(taken[0])]);
    let raised = bench.raise(&group, Strength::Hard);
    assert_eq!(*bench.versions(&[&group]), [Some(raised)]);
}

/// Checks that a look reports a version that is missing and leaves it missing: it would have to write, and a hit pays
/// for no write.
pub(super) fn a_missing_version_is_made_by_a_take_only(bench: &Bench) {
    let (missing, raised) = (bench.group("missing"), bench.group("raised"));
    let version = bench.raise(&raised, Strength::Hard);
    for _ in 0..2 {
        assert_eq!(*bench.versions(&[&missing, &raised]), [None, Some(version)], "a peek");
        let key = bench.key("looked");
        let seen = bench.process().read(&key, Read::seen().groups(&[&raised, &missing])).expect("look");
        assert_eq!(*seen.versions, [Some(version), None], "a look");
    }
    let taken = bench.taken_versions(&[&missing, &raised]);
    assert_eq!(taken[1], version);
    assert_eq!(*bench.versions(&[&missing, &raised]), [Some(taken[0]), Some(version)]);
}

pub(super) fn a_version_begins_below_its_limit(bench: &Bench) {
    let (read, raised) = (bench.group("read"), bench.group("raised"));
    for version in [bench.taken_versions(&[&read])[0], bench.raise(&raised, Strength::Soft)] {
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
    let (one, two, three) = (bench.group("one"), bench.group("two"), bench.group("three"));
    let before = bench.taken_versions(&[&one, &two, &three]);
    let raised = bench.raise(&two, Strength::Hard);
    assert_eq!(*bench.versions(&[&one, &two, &three]), [Some(before[0]), Some(raised), Some(before[2])]);
    assert_eq!(*bench.versions(&[&three, &two]), [Some(before[2]), Some(raised)]);
}

pub(super) fn raises_under_threads_are_all_different(bench: &Bench) {
    let group = bench.group("raced");
    let raise = || bench.raise(&group, Strength::Hard).hard;
    let seen: HashSet<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..10).map(|_| raise()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no raise fails")).collect()
    });
    assert_eq!(seen.len(), 40, "two raises gave one number");
    let version = bench.versions(&[&group])[0].expect("it was raised");
    assert_eq!(Some(&version.hard), seen.iter().max());
}

pub(super) fn what_nobody_loaded_tells_current_versions(bench: &Bench) {
    let (new, raised) = (bench.group("new"), bench.group("raised"));
    let groups = [&*new, &*raised];
    for (round, length) in [10, 1_000, 100_000, 1_000].into_iter().enumerate() {
        let (key, mut sealed) = (bench.key(&format!("sealed{round}")), Vec::new());
        bench.raise(&raised, Strength::Hard);
        let mut seal = |versions: &[Option<GroupVersion>]| {
            sealed = versions.to_vec();
            Ok(Bytes::from(format!("{versions:?}{}", "v".repeat(length))))
        };
        let stored =
            bench.process().store_with(&key, &mut seal, StoreOptions::new(StoreCondition::Always).groups(&groups));
        assert_eq!(stored.expect("store"), Stored::Yes);
        assert_eq!(*sealed, *bench.versions(&groups));
        assert!(sealed.iter().all(Option::is_some), "{sealed:?}");
        assert_eq!(bench.peek(&key), Some(format!("{sealed:?}{}", "v".repeat(length)).into()));
    }
}

pub(super) fn a_seal_that_fails_stores_nothing(bench: &Bench) {
    let (key, group) = (bench.key("unsealed"), bench.group("unsealed"));
    let groups = [&*group];
    for before in [None, Some("before")] {
        if let Some(before) = before {
            assert_eq!(bench.store(&key, before, StoreCondition::Always), Stored::Yes);
        }
        let mut seal = |_: &[Option<GroupVersion>]| Err(Error::new(ErrorKind::Codec, "it cannot be sealed"));
        let terms = StoreOptions::new(StoreCondition::Always).groups(&groups);
        let error = bench.process().store_with(&key, &mut seal, terms).expect_err("the seal has failed");
        assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
        assert_eq!(bench.peek(&key), before.map(Bytes::from));
    }
    assert_eq!(bench.store(&key, "after", StoreCondition::Always), Stored::Yes);
    assert_eq!(bench.peek(&key), Some("after".into()));
}

/// Checks the rule for lists and removals: only entries that may be served count, and an entry whose group was raised
/// may not be, though its bytes are there.
pub(super) fn what_lost_a_group_is_neither_listed_nor_counted(bench: &Bench) {
    let (raised, left) = (bench.group("raised"), bench.group("left"));
    let groups = [&*raised, &*left];
    let keys: Vec<String> = (0..4).map(|entry| bench.key(&format!("judged/{entry}"))).collect();
    for (entry, key) in keys.iter().enumerate() {
        let group = &groups[entry % 2..=entry % 2];
        let mut seal = |versions: &[Option<GroupVersion>]| Ok(Bytes::from(format!("{} {:?}", group[0], versions[0])));
        let stored =
            bench.process().store_with(key, &mut seal, StoreOptions::new(StoreCondition::Always).groups(group));
        assert_eq!(stored.expect("store"), Stored::Yes);
    }
    bench.raise(&raised, Strength::Hard);
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
    groups: &'a [&'a str],
    likely: &'a [&'a str],
}

impl LivenessCheck for BySeal<'_> {
    fn likely(&self) -> GroupNames<'_> {
        self.likely.iter().copied().collect()
    }

    fn check(&self, found: &Snapshot, versions: &[KnownVersions<'_>]) -> Liveness {
        let Some(entry) = &found.entry else { return Liveness::Dead };
        let text = std::str::from_utf8(entry).expect("the entry is what was stored");
        let group = self.groups.iter().find(|group| text.starts_with(**group)).expect("it names a group");
        let mut known = versions.iter().flat_map(|(groups, versions)| groups.iter().zip(*versions));
        match known.find(|(other, _)| *other == group) {
            Some((_, version)) if text == format!("{group} {version:?}") => Liveness::Live,
            Some(_) => Liveness::Dead,
            None => Liveness::Asks(vec![(*group).to_owned()]),
        }
    }
}

pub(super) fn a_version_lives_as_long_as_its_entries(bench: &Bench) {
    // Real time cannot show more than that a version outlives the first seconds.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let group = bench.group("long");
    let groups = [&*group];
    let version = bench.raise(&group, Strength::Hard);
    let terms = StoreOptions::new(StoreCondition::Always).ttl(Some(YEAR)).groups(&groups);
    let stored = bench.process().store(&bench.key("long"), Bytes::from("value"), terms);
    assert_eq!(stored.expect("store"), Stored::Yes);
    bench.pass_manually(YEAR - Duration::from_secs(1));
    assert_eq!(bench.peek(&bench.key("long")), Some("value".into()));
    assert_eq!(*bench.versions(&groups), [Some(version)]);
}

pub(super) fn a_lost_version_never_returns_to_an_old_number(bench: &Bench) {
    let (group, mut seen) = (bench.group("lost"), HashSet::new());
    for _ in 0..20 {
        let read = bench.taken_versions(&[&group])[0];
        let raised = bench.raise(&group, Strength::Hard);
        assert!(seen.insert(read.hard) && seen.insert(raised.hard), "{raised:?} was met before");
        assert!(seen.insert(read.soft), "{read:?} was met before");
        bench.lose_versions();
        assert_eq!(*bench.versions(&[&group]), [None], "a version that is lost is reported as missing");
    }
}
