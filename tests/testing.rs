//! A binary of tests as a user would write them: in parallel, on threads and runtimes of every kind, one process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::testing::{isolated, record, use_instance};
use retainit::{EventKind, MemoryConfig, Overrides, Retainit, retain};
use tracing::span;

static RUNS: AtomicU64 = AtomicU64::new(0);

/// Returns the number of its run, so that two calls with one result are one load.
#[retain(id = "testing.run", ttl = "1h")]
async fn run(id: u64) -> (u64, u64) {
    (id, RUNS.fetch_add(1, Ordering::SeqCst))
}

#[retain(id = "testing.run_sync", ttl = "1h")]
fn run_sync(id: u64) -> (u64, u64) {
    (id, RUNS.fetch_add(1, Ordering::SeqCst))
}

#[retain(id = "testing.on_disk", backend = "persistent")]
fn on_disk(id: u64) -> (u64, u64) {
    (id, RUNS.fetch_add(1, Ordering::SeqCst))
}

// ---------------------------------------------------------------------------------------------- the guard of a test

/// Expects an empty cache, and one load for every kind of caller on this runtime.
async fn alone_on_a_runtime() {
    let cache = isolated();
    let first = run(1).await;
    let spawned: Vec<_> = (0..8).map(|_| tokio::spawn(run(1))).collect();
    for task in spawned {
        assert_eq!(task.await.expect("it does not panic"), first, "spawned tasks use the test's instance");
    }
    let blocking = tokio::task::spawn_blocking(|| run_sync(1)).await.expect("it does not panic");
    assert_eq!(run_sync(1), blocking);
    assert_eq!((cache.stats().loads, run::cache().stats().loads), (2, 1));
    cache.clock().advance(Duration::from_secs(3_600));
    assert_ne!(run(1).await, first);
}

#[tokio::test]
async fn a_runtime_of_one_thread() {
    alone_on_a_runtime().await;
}

#[tokio::test]
async fn another_one_beside_it() {
    alone_on_a_runtime().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_runtime_of_several_threads() {
    alone_on_a_runtime().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_guard_may_move_to_another_task() {
    let moved = tokio::spawn(async {
        let cache = isolated();
        tokio::task::yield_now().await;
        (cache, run(2).await)
    });
    let (cache, first) = moved.await.expect("it does not panic");
    assert_eq!((run(2).await, cache.stats().loads), (first, 1));
}

fn alone_on_a_thread() {
    let cache = isolated();
    let first = run_sync(1);
    assert_eq!((run_sync(1), cache.stats().loads), (first, 1));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let other = runtime.block_on(run(1));
    assert_eq!((runtime.block_on(run(1)), cache.stats().loads), (other, 2), "`block_on` stays on this thread");
    let by_thread = std::thread::scope(|threads| {
        threads.spawn(|| retainit::with_instance_sync(&cache, || run_sync(1))).join().expect("it does not panic")
    });
    assert_eq!(by_thread, first);
}

#[test]
fn a_thread() {
    alone_on_a_thread();
}

#[test]
fn another_thread_beside_it() {
    alone_on_a_thread();
}

#[test]
fn one_after_the_other_on_one_thread() {
    let caches: Vec<_> = (0..3).map(|_| run_in_isolation()).collect();
    assert_eq!(caches.iter().collect::<BTreeSet<_>>().len(), 3, "each began empty");
    // The newest is in force, in whatever order they end.
    let outer = isolated();
    let in_outer = run_sync(3);
    let inner = isolated();
    let in_inner = run_sync(3);
    drop(outer);
    assert_eq!(run_sync(3), in_inner);
    drop(inner);
    assert_ne!(in_outer, in_inner);
    assert!(![in_outer, in_inner].contains(&run_sync(3)), "without a guard it is the installed instance again");
}

fn run_in_isolation() -> (u64, u64) {
    let _cache = isolated();
    run_sync(3)
}

// A named backend is in memory; overrides and `with_instance` nest inside.
#[tokio::test]
async fn what_nests_in_a_guard() {
    let cache = isolated();
    assert_eq!(on_disk(1), on_disk(1));
    assert_eq!((cache.stats().loads, cache.stats().uncached), (1, 0));

    let first = run(1).await;
    assert_ne!(retainit::disabled(run(1)).await, first);
    retainit::with(Overrides::new().ttl("1s"), async {
        run(2).await;
        assert_eq!(run::cache().ttl(&2).await.expect("in memory"), Some(Some(Duration::from_secs(1))));
        // A guard inside an override: the override holds, the instance is the guard's.
        let inner = isolated();
        run(2).await;
        assert_eq!((inner.stats().loads, cache.stats().loads), (1, 3));
        assert_eq!(run::cache().ttl(&2).await.expect("in memory"), Some(Some(Duration::from_secs(1))));
    })
    .await;
    let own = Retainit::builder().register_backend("default", MemoryConfig::new()).build().expect("nothing is wrong");
    retainit::with_instance(&own, run(1)).await;
    assert_eq!((own.stats().loads, cache.stats().loads), (1, 3));
    let _guard = use_instance(&own);
    tokio::spawn(run(1)).await.expect("it does not panic");
    assert_eq!((own.stats().loads, own.stats().hits), (1, 1));
}

#[test]
fn the_context_of_a_guard_is_carried() {
    let cache = isolated();
    let first = run_sync(5);
    let carried = retainit::propagate(async { run_sync(5) });
    let elsewhere = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        runtime.block_on(carried)
    });
    assert_eq!((elsewhere.join().expect("it does not panic"), cache.stats().loads), (first, 1));
}

// ---------------------------------------------------------------------------------------------------------- events

#[tokio::test]
async fn events_are_recorded_in_order() {
    let cache = isolated();
    let recorded = record(&cache, [EventKind::CacheHit, EventKind::CacheMiss]);
    run(1).await;
    run(1).await;
    let events = recorded.take();
    let seen: Vec<_> = events.iter().map(|event| (event.kind(), event.key().unwrap_or_default())).collect();
    assert_eq!(seen, [(EventKind::CacheMiss, "1"), (EventKind::CacheHit, "1")]);
    assert!(recorded.take().is_empty());
    drop(recorded);
    run(1).await;
}

// ------------------------------------------------------------------------------------------------------ `init_test`

// T-57: the second call of a binary returns what the first installed; nothing under another test is closed or emptied.
fn has_the_test_instance() {
    let installed = retainit::init_test().expect("every test may ask for it");
    let mine = run_sync(std::process::id().into());
    for _ in 0..50 {
        let again = retainit::init_test().expect("every test may ask for it");
        assert_eq!(again.effective().get("namespace").map(|it| it.value().to_owned()).as_deref(), Some("test"));
        assert_eq!(run_sync(std::process::id().into()), mine);
    }
    assert!(installed.cache::<u8>("still open").build().is_ok());
}

#[test]
fn a_test_installs_the_test_instance() {
    has_the_test_instance();
}

#[test]
fn so_does_another() {
    has_the_test_instance();
}

#[tokio::test]
async fn and_an_async_one() {
    has_the_test_instance();
}

// ---------------------------------------------------------------------------------------------------- the debug log

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(format!("{} ", event.metadata().level()));
        event.record(&mut fields);
        self.0.lock().expect("no thread panics").push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[retain(id = "testing.sent")]
async fn sent_away(id: u64) -> u64 {
    id
}

#[tokio::test]
async fn work_that_left_its_instance_is_logged() {
    retainit::init_test().expect("every test may ask for it");
    let log = Log::default();
    // For the whole process, of which every thread may be the one that meets this record first.
    tracing::subscriber::set_global_default(log.clone()).expect("no other test has a log");
    let take = || {
        let mut records = log.0.lock().expect("no thread panics");
        std::mem::take(&mut *records).into_iter().filter(|it| it.contains("\"sent_away\"")).collect::<Vec<_>>()
    };
    let own = Retainit::builder().register_backend("default", MemoryConfig::new()).build().expect("nothing is wrong");
    retainit::with_instance(&own, async {
        sent_away(1).await;
        tokio::spawn(retainit::propagate(sent_away(2))).await.expect("it does not panic");
        assert_eq!((take(), own.stats().loads), (vec![], 2));

        tokio::spawn(sent_away(3)).await.expect("it does not panic");
        let records = take();
        assert!(records.len() == 1 && records[0].starts_with("DEBUG"), "{records:?}");
        assert!(records[0].contains("propagate") && own.stats().loads == 2, "{records:?}");
    })
    .await;
}
