//! `max_idle` of a function: an option of the table, in every source that can set it.

use std::time::Duration;

use retainit::{MemoryConfig, Overrides, Reason, Retainit, retain};
use retainit_testkit::ManualClock;

use crate::common::Runs;

static RUNS: Runs = Runs::new();

#[retain(id = "idle.minute", max_idle = "1m")]
fn minute(n: u64) -> u64 {
    RUNS.add();
    n
}

#[retain(id = "idle.inherited")]
fn inherited(n: u64) -> u64 {
    RUNS.add();
    n
}

fn stage(toml: &str) -> (Retainit, ManualClock, tempfile::TempDir) {
    let (clock, folder) = (ManualClock::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("retainit.toml");
    std::fs::write(&file, toml).unwrap();
    let builder = Retainit::builder().clock(clock.clone()).config_file(file);
    (builder.register_backend("default", MemoryConfig::new()).build().unwrap(), clock, folder)
}

/// Returns whether a result is still there after so many seconds without a read.
fn lasts(instance: &Retainit, clock: &ManualClock, function: fn(u64) -> u64, seconds: u64) -> bool {
    retainit::with_instance_sync(instance, || {
        function(1);
        RUNS.take();
        clock.advance(Duration::from_secs(seconds));
        function(1);
        RUNS.take() == 0
    })
}

// T-22
#[test]
fn a_function_says_its_idle_time_in_the_attribute_in_files_and_in_overrides() {
    let (instance, clock, _folder) = stage("");
    assert!(lasts(&instance, &clock, minute, 59) && lasts(&instance, &clock, minute, 59), "each read begins it anew");
    assert!(!lasts(&instance, &clock, minute, 61));
    assert!(lasts(&instance, &clock, inherited, 3_600), "nobody said one");

    let (instance, clock, _folder) = stage(
        "[retainit.functions.\"idle.inherited\"]\nmax_idle = \"10s\"\n\
         [retainit.override.functions.\"idle.minute\"]\nmax_idle = \"never\"\n",
    );
    assert!(!lasts(&instance, &clock, inherited, 11));
    assert!(lasts(&instance, &clock, minute, 3_600), "what stands above the attribute takes it back");

    let why = |instance: &Retainit| retainit::with_instance_sync(instance, || minute::cache().explain(&1).unwrap());
    let (instance, clock, _folder) = stage("");
    retainit::with_instance_sync(&instance, || minute(1));
    clock.advance(Duration::from_secs(59));
    assert!(why(&instance).is_hit(), "which is no read");
    clock.advance(Duration::from_secs(1));
    assert!(matches!(why(&instance).reason(), Reason::Idle(_)), "{}", why(&instance));

    let (instance, clock, _folder) = stage("");
    retainit::with_sync(Overrides::new().max_idle("5s"), || assert!(!lasts(&instance, &clock, inherited, 6)));
}

#[test]
fn a_cache_has_one_and_explain_tells_it() {
    let (instance, clock, _folder) = stage("");
    let cache = instance.cache::<u64>("idle").max_idle("1m").build().unwrap();
    cache.blocking().set(&1, 7).unwrap();
    let explained = cache.blocking().explain(&1).unwrap();
    let row = explained.options().iter().find(|row| row.name == "max_idle").unwrap();
    assert_eq!((&*row.value, &*row.source), ("1m", "code"));
    clock.advance(Duration::from_secs(61));
    assert!(cache.blocking().get(&1).unwrap().is_miss());
}

#[test]
fn an_idle_time_that_is_off_is_refused_wherever_it_is_said() {
    let expected = "expected \"10m\" or \"never\"";
    let cache = Retainit::default().cache::<u64>("idle").max_idle("off").build().unwrap_err();
    assert!(cache.to_string().contains(expected), "{cache}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retainit.toml");
    std::fs::write(&file, "[retainit.functions.\"idle.inherited\"]\nmax_idle = \"off\"\n").unwrap();
    let built = Retainit::builder().config_file(file).build().unwrap_err().to_string();
    assert!(built.contains("max_idle") && built.contains(expected), "{built}");
}
