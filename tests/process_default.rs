//! Tests the process-wide default: implicit, installed, closed. A binary of its own, and one test: there is only one
//! default.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{ErrorKind, MemoryConfig, Retainit, retain};

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(tags("t"))]
fn user(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id
}

#[retain(backend = "late")]
fn on_late(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id
}

fn runs() -> u64 {
    RUNS.swap(0, Ordering::SeqCst)
}

fn with_late() -> Retainit {
    let builder = Retainit::builder().register_backend("default", MemoryConfig::new());
    builder.register_backend("late", MemoryConfig::new()).build().expect("the backends are sound")
}

#[tokio::test]
async fn the_process_wide_default() {
    implicit().await;
    let first = installed_over_implicit();
    explicit_is_not_replaced(&first);
    closed_is_replaced(&first).await;
}

// P-44, C-01, T-24: nothing has to be initialised; without configuration one memory backend.
async fn implicit() {
    assert_eq!((user(1), user(1), runs()), (1, 1, 1));
    let implicit = retainit::current();
    assert_eq!((implicit.backends(), implicit.stats().hits), (vec!["memory".to_owned()], 1));
    retainit::invalidate_tag("t").await.expect("memory keeps versions");
    assert_eq!((user(1), runs()), (1, 1));
    retainit::expire_tag("t").await.expect("memory keeps versions");
    assert_eq!((user(1), runs()), (1, 1));
    let evicted = retainit::invalidate_pattern("*::user:*").await.expect("memory lists its keys");
    assert_eq!((evicted.count(), user(1), runs()), (Some(1), 1, 1));
    assert_eq!(retainit::clear().await.expect("memory counts").count(), Some(1));
    let health = retainit::health().await.expect("it is open");
    assert!(!health.is_healthy() && health.to_string().contains("on_late"), "{health}");
    assert!(retainit::stats().loads >= 4);

    // D-07, T-15: a backend that comes later, in code; its functions plan again.
    runs();
    assert_eq!((on_late(1), on_late(1), runs()), (1, 1, 2), "uncached as long as it is missing");
    let error = retainit::init().expect_err("`late` is missing there too");
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    retainit::register_backend("late", MemoryConfig::new()).expect("the name is free");
    assert_eq!((on_late(1), on_late(1), runs()), (1, 1, 1));
    assert!(retainit::health().await.expect("it is open").is_healthy());
    let again = retainit::register_backend("late", MemoryConfig::new()).expect_err("it is taken");
    assert_eq!(again.kind(), ErrorKind::Duplicate);
}

// `install()` replaces an implicit instance, whose functions plan again.
fn installed_over_implicit() -> Retainit {
    let implicit = retainit::current();
    assert_eq!((user(7), runs()), (7, 1));
    let first = with_late();
    first.install().expect("an implicit default may be replaced");
    assert_eq!((user(7), user(7), runs()), (7, 7, 1), "another instance, other entries");
    assert_eq!((first.stats().loads, first.stats().hits), (1, 1));
    let error = implicit.cache::<u8>("c").build().expect_err("the replaced one is closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    first.install().expect("installing it again changes nothing");
    assert_eq!((user(7), runs()), (7, 0));
    first
}

// … and is an error over an explicit one.
fn explicit_is_not_replaced(first: &Retainit) {
    let second = with_late();
    assert_eq!(second.install().expect_err("one was installed by hand").kind(), ErrorKind::Duplicate);
    assert_eq!((user(7), runs()), (7, 0), "the first one is still there");
    assert_eq!(retainit::with_instance_sync(&second, || (user(7), runs())), (7, 1));
    assert_eq!((user(7), runs()), (7, 0));
    assert!(first.stats().hits >= 3);
}

// P-39: close; functions answer, uncached; another may be installed then.
async fn closed_is_replaced(first: &Retainit) {
    first.close().await.expect("memory closes");
    assert_eq!((user(7), user(7), runs()), (7, 7, 2));
    assert_eq!(retainit::invalidate_tag("t").await.expect_err("it is closed").kind(), ErrorKind::Closed);
    let second = with_late();
    second.install().expect("a closed default may be replaced");
    assert_eq!((user(7), user(7), on_late(7), on_late(7), runs()), (7, 7, 7, 7, 2));
    second.close().await.expect("memory closes");
    second.close().await.expect("closing is idempotent");
}
