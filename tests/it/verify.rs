//! `verify`: hits whose function runs too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit::{Event, EventKind, Retainit, Stats, retain};

use crate::common::{Gate, Runs, Stage, soon};
use crate::config::Folder;

static RUNS: Runs = Runs::new();

#[retain(verify = 1.0)]
fn always(id: &str) -> String {
    RUNS.add();
    id.to_uppercase()
}

static RUNS_OF_NEVER: Runs = Runs::new();

#[retain(verify = 0.0)]
async fn never(id: u64) -> u64 {
    RUNS_OF_NEVER.add();
    id
}

fn verified(stats: &Stats) -> (u64, u64) {
    (stats.verified, stats.verify_mismatches)
}

#[test]
fn every_hit_or_none() {
    for stage in Stage::each() {
        RUNS.take();
        stage.run_sync(|| {
            for runs in 1..4 {
                assert_eq!((always("a"), RUNS.so_far()), ("A".to_owned(), runs));
            }
            let stats = always::cache().stats();
            // A run that verifies is no load.
            assert_eq!((stats.hits, stats.misses, stats.loads), (2, 1, 1));
            assert_eq!(verified(&stats), (2, 0));
        });
        assert_eq!(verified(&stage.retainit.stats()), (2, 0));
    }
}

#[tokio::test]
async fn a_fraction_of_zero_costs_no_run() {
    for stage in Stage::each() {
        RUNS_OF_NEVER.take();
        for _ in 0..3 {
            assert_eq!(stage.run(never(1)).await, 1);
        }
        assert_eq!((RUNS_OF_NEVER.take(), verified(&stage.retainit.stats())), (1, (0, 0)));
    }
}

static TURNS: Runs = Runs::new();

#[retain(verify = 1.0)]
async fn impure(id: u64) -> Vec<u64> {
    vec![id, TURNS.add()]
}

#[tokio::test]
async fn a_function_that_is_impure_is_found_out() {
    for stage in Stage::each() {
        TURNS.take();
        for turn in 1..4 {
            // The answer is what is in the cache.
            assert_eq!((stage.run(impure(7)).await, TURNS.so_far()), (vec![7, 1], turn));
        }
        assert_eq!(verified(&stage.run(async { impure::cache().stats() }).await), (2, 2));
        assert_eq!(verified(&stage.retainit.stats()), (2, 2));
    }
}

// A mismatch is reported with function, key and backend.
#[tokio::test]
async fn a_mismatch_is_an_event() {
    for stage in Stage::each() {
        let (told, events) = std::sync::mpsc::channel();
        stage
            .retainit
            .events()
            .subscribe(EventKind::VerifyMismatch, move |event: &Event| told.send(event.clone()).unwrap());
        for _ in 0..2 {
            stage.run(told_of(123_456)).await;
        }
        let event = events.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(event.function().unwrap().ends_with("verify::told_of"), "{event}");
        assert_eq!((event.backend(), event.error()), (Some("default"), Some("the function returned another value")));
        assert!(event.key().is_some_and(|key| !key.contains("123456")), "keys are hashed: {event}");
        stage.retainit.events().flush().await;
        assert!(events.try_recv().is_err(), "one event for one mismatch");
    }
}

static TOLD: Runs = Runs::new();

#[retain(verify = 1.0)]
async fn told_of(id: u64) -> u64 {
    id + TOLD.add()
}

static FAILS: AtomicBool = AtomicBool::new(false);
static PANICS: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Debug, PartialEq)]
struct Failed;

#[retain(verify = 1.0)]
async fn may_fail(id: u64) -> Result<Option<u64>, Failed> {
    assert!(!PANICS.load(Ordering::SeqCst), "while it is verified");
    if FAILS.load(Ordering::SeqCst) { Err(Failed) } else { Ok(Some(id)) }
}

#[retain(verify = 1.0)]
fn may_panic(id: u64) -> u64 {
    assert!(!PANICS.load(Ordering::SeqCst), "while it is verified");
    id
}

#[tokio::test]
async fn neither_an_error_nor_a_panic_changes_the_answer() {
    for stage in Stage::each() {
        assert_eq!(stage.run(may_fail(1)).await, Ok(Some(1)));
        assert_eq!(stage.run_sync(|| may_panic(1)), 1);
        FAILS.store(true, Ordering::SeqCst);
        assert_eq!(stage.run(may_fail(1)).await, Ok(Some(1)));
        FAILS.store(false, Ordering::SeqCst);
        PANICS.store(true, Ordering::SeqCst);
        assert_eq!(stage.run(may_fail(1)).await, Ok(Some(1)));
        assert_eq!(stage.run_sync(|| may_panic(1)), 1);
        PANICS.store(false, Ordering::SeqCst);
        assert_eq!(stage.run(may_fail(1)).await, Ok(Some(1)));
        assert_eq!(verified(&stage.run(async { may_fail::cache().stats() }).await), (3, 2));
        assert_eq!(verified(&stage.run_sync(|| may_panic::cache().stats())), (1, 1));
    }
}

static IS_WRONG: AtomicBool = AtomicBool::new(false);

#[retain(err_ttl = "1h", verify = 1.0)]
fn stored_error(id: u64) -> Result<u64, Failed> {
    if IS_WRONG.load(Ordering::SeqCst) { Ok(id) } else { Err(Failed) }
}

#[test]
fn a_stored_error_agrees_with_errors_only() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        assert_eq!((stored_error(1), stored_error(1)), (Err(Failed), Err(Failed)));
        assert_eq!(verified(&stored_error::cache().stats()), (1, 0));
        IS_WRONG.store(true, Ordering::SeqCst);
        assert_eq!(stored_error(1), Err(Failed));
        assert_eq!(verified(&stored_error::cache().stats()), (2, 1));
    });
}

struct Shop {
    tenant: u64,
    runs: Runs,
}

impl Shop {
    #[retain(id = "verify.price", key = (self.tenant, id), verify = 1.0)]
    fn price(&self, id: u64) -> u64 {
        self.runs.add();
        id
    }
}

#[retain(id = "verify.generic", verify = 1, handle = off)]
fn generic<T: Copy + PartialEq + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static>(
    value: T,
    label: &str,
) -> (T, String) {
    RUNS_OF_GENERIC.add();
    (value, label.to_owned())
}

static RUNS_OF_GENERIC: Runs = Runs::new();

#[test]
fn methods_and_generic_functions() {
    for stage in Stage::each() {
        RUNS_OF_GENERIC.take();
        stage.run_sync(|| {
            let shop = Shop { tenant: 1, runs: Runs::new() };
            assert_eq!((shop.price(1), shop.price(1), shop.runs.take()), (1, 1, 2));
            assert_eq!(generic(2_u8, "x"), generic(2_u8, "x"));
            assert_eq!((generic(2_u16, "x").0, RUNS_OF_GENERIC.take()), (2, 3));
        });
        assert_eq!(verified(&stage.retainit.stats()), (2, 0));
    }
}

#[retain(verify = 1.0)]
fn handled(id: u64) -> u64 {
    id
}

#[test]
fn only_calls_are_verified() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            let handle = handled::cache();
            assert_eq!((handle.warm([1]).unwrap().loaded, handle.warm([1]).unwrap().present), (1, 1));
            assert!(handle.get(&1).unwrap().is_hit());
            assert_eq!(handle.refresh(1), 1);
            assert_eq!(verified(&handle.stats()), (0, 0));
            assert_eq!((handled(1), verified(&handle.stats())), (1, (1, 0)));
        });
    }
}

static DEPTH: Runs = Runs::new();

#[retain(verify = 1.0)]
fn fibonacci(n: u64) -> u64 {
    DEPTH.add();
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

#[test]
fn hits_inside_a_verifying_run_are_not_verified() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        assert_eq!(fibonacci(60), 1_548_008_755_920);
        // The numbers from 0 to 60 are loaded once each; those from 1 to 58 are hits of another load, and run again.
        assert_eq!(DEPTH.take(), 61 + 58);
        assert_eq!((fibonacci(60), DEPTH.take()), (1_548_008_755_920, 1));
    });
}

static VALUE: Runs = Runs::new();
static GATE: Gate = Gate::new();
static WAITS: AtomicBool = AtomicBool::new(false);

#[retain(verify = 1.0)]
async fn gated(id: u64) -> u64 {
    if WAITS.load(Ordering::SeqCst) {
        GATE.pass().await;
    }
    id + VALUE.add()
}

#[tokio::test]
async fn what_is_invalidated_while_the_function_runs_is_no_mismatch() {
    for stage in Stage::each() {
        WAITS.store(false, Ordering::SeqCst);
        let first = stage.run(gated(10)).await;
        WAITS.store(true, Ordering::SeqCst);
        let removal = async {
            GATE.reached().await;
            stage.run(async { gated::cache().remove(&10).await }).await.unwrap();
            GATE.open();
        };
        let (answer, ()) = soon(async { tokio::join!(stage.run(gated(10)), removal) }).await;
        assert_eq!(answer, first);
        assert_eq!(verified(&stage.retainit.stats()), (1, 0));
    }
}

#[tokio::test]
async fn caches_by_name() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("verified").verify(1.0).build().unwrap();
        for loaded in 1..4 {
            assert_eq!(cache.get_or_load(&1, || async move { loaded }).await, 1);
        }
        let failed: Result<u64, Failed> = cache.try_get_or_load(&1, || async { Err(Failed) }).await;
        assert_eq!((failed, verified(&cache.stats())), (Ok(1), (3, 3)));
    }
}

#[test]
fn a_fraction_is_between_0_and_1() {
    let retainit = Retainit::builder().build().unwrap();
    let text = retainit.cache::<u64>("x").verify(1.5).verify(f64::NAN).build().unwrap_err().to_string();
    assert!(text.contains("verify 1.5 is not between 0 and 1") && text.contains("verify NaN"), "{text}");
}

#[derive(Clone)]
struct Opaque;

static RUNS_OF_OPAQUE: Runs = Runs::new();

#[retain(id = "verify.opaque")]
fn opaque(id: u64) -> Opaque {
    assert!(RUNS_OF_OPAQUE.add() < 2, "{id}");
    Opaque
}

#[retain(id = "verify.by_file")]
fn by_file(id: u64) -> u64 {
    id
}

#[retain(id = "verify.disabled", verify = 1.0)]
fn disabled(id: u64) -> u64 {
    id
}

#[test]
fn files_verify_what_can_be_compared() {
    let folder = Folder::new(
        "[retainit.override.functions]\n\
         \"verify.opaque\".verify = 1.0\n\
         \"verify.by_file\".verify = 1.0\n\
         \"verify.disabled\".disabled = true\n",
    );
    let retainit = folder.builder().build().unwrap();
    let text = retainit.check().unwrap_err().to_string();
    assert!(text.contains("`verify` cannot compare the values of `verify.opaque`"), "{text}");
    assert!(!text.contains("verify.by_file"), "{text}");
    retainit::with_instance_sync(&retainit, || {
        // It runs unverified, and reports so once.
        for _ in 0..3 {
            opaque(1);
        }
        let stats = opaque::cache().stats();
        assert_eq!((stats.hits, verified(&stats), stats.errors), (2, (0, 0), 1));
        assert_eq!((by_file(1), by_file(1), verified(&by_file::cache().stats())), (1, 1, (1, 0)));
        // What is disabled neither hits nor verifies.
        assert_eq!((disabled(1), disabled(1)), (1, 1));
        let stats = disabled::cache().stats();
        assert_eq!((stats.hits, verified(&stats), stats.errors), (0, (0, 0), 0));
    });
}
