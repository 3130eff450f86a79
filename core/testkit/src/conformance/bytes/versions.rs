use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use retainit_plugin::{Bytes, Stored, Strength, Terms, Version, When};

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
        let (key, mut told) = (bench.key(&format!("sealed{round}")), Vec::new());
        bench.raise(&groups[1], Strength::Hard);
        let mut seal = |versions: &[Version]| {
            told = versions.to_vec();
            Bytes::from(format!("{versions:?}{}", "v".repeat(length)))
        };
        let stored = bench.process().store_with(&key, &mut seal, Terms::new(When::Always).groups(&groups));
        assert_eq!(stored.expect("store"), Stored::Yes);
        assert_eq!(told, bench.versions(&groups));
        assert_eq!(bench.peek(&key), Some(format!("{told:?}{}", "v".repeat(length)).into()));
    }
}

pub(super) fn a_version_lives_as_long_as_its_entries(bench: &Bench) {
    // Real time cannot show more than that a version outlives the first seconds.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let group = [bench.group("long")];
    let version = bench.raise(&group[0], Strength::Hard);
    let terms = Terms::new(When::Always).ttl(Some(YEAR)).groups(&group);
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
