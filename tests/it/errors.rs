//! Errors: their kinds, and texts that name what exists.

use retainit::{ErrorKind, Evicted, MemoryConfig, Retainit, retain};
use retainit_testkit::{ByteConfig, Op};
use serde::Serialize;

use crate::common::{Runs, Stage, recovered};

// T-15, T-23, D-07
#[test]
fn names_of_backends() {
    let builder = || Retainit::builder().register_backend("near", MemoryConfig::new());
    let error = builder().register_backend("near", MemoryConfig::new()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    assert!(error.to_string().contains("near"), "{error}");

    let error = builder().default_backend("nera").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    for part in ["nera", "near", "memory", "default_backend"] {
        assert!(error.to_string().contains(part), "{error}");
    }

    let retainit = builder().build().unwrap();
    let error = retainit.register_backend("near", MemoryConfig::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    retainit.register_backend("far", ByteConfig::new()).unwrap();
    assert_eq!(retainit.backends(), ["far", "near"]);
    let error = retainit.cache::<u8>("c").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("far, near"), "{error}");
}

#[test]
fn names_in_code_are_among_all_problems() {
    let builder = || Retainit::builder().register_backend("near", MemoryConfig::new().max_entries(0));
    let error = builder().default_backend("naer").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["near.max_entries", "default_backend", "`naer`", "did you mean `near`"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let twice = builder().register_backend("near", MemoryConfig::new().jitter(7.0)).build().unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Duplicate);
    for part in ["two backends are called `near`", "near.max_entries", "near.jitter"] {
        assert!(twice.to_string().contains(part), "{part}: {twice}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = Retainit::builder()
        .register_backend("one", MemoryConfig::new().max_entries(0).ttl("x"))
        .register_backend("two", ByteConfig::new().jitter(2.0))
        .namespace("")
        .op_timeout(std::time::Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["one", "max_entries", "ttl", "two", "jitter", "namespace", "op_timeout"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

static RUNS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[retain(id = "errors.plain")]
async fn plain(id: u64) -> u64 {
    RUNS.add();
    id
}

#[retain(id = "errors.sync")]
fn plain_sync(id: u64) -> u64 {
    RUNS.add();
    id
}

// P-39: idempotent; later `get` and `set` are errors of a kind, functions and loaders answer uncached.
#[tokio::test]
async fn a_closed_instance() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u8>("c").build().unwrap();
        cache.set(&1, 1).await.unwrap();
        stage.run(plain(1)).await;
        stage.run_sync(|| plain_sync(1));
        stage.retainit.close().await.unwrap();
        stage.retainit.close().await.unwrap();

        RUNS.take();
        for _ in 0..2 {
            assert_eq!((stage.run(plain(1)).await, stage.run_sync(|| plain_sync(1))), (1, 1));
        }
        assert_eq!(RUNS.take(), 4, "they answer, uncached");
        assert_eq!(cache.get_or_load(&1, || async { 2 }).await, 2);
        assert_eq!(cache.try_get_or_load(&1, || async { Err::<u8, _>("e") }).await, Err("e"));
        assert_eq!(stage.run(plain::cache().refresh(5)).await, 5);

        let closed = |error: retainit::Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        closed(cache.get(&1).await.unwrap_err());
        closed(cache.set(&1, 1).await.unwrap_err());
        closed(cache.set_if_absent(&1, 1).await.unwrap_err());
        closed(cache.remove(&1).await.unwrap_err());
        closed(cache.exists(&1).await.unwrap_err());
        closed(cache.get_many([1]).await.unwrap_err());
        closed(cache.get_many([0_u8; 0]).await.unwrap_err());
        closed(cache.keys().collect().await.unwrap_err());
        closed(stage.retainit.keys("").collect().await.unwrap_err());
        closed(stage.run_sync(|| plain_sync::cache().keys().unwrap_err()));
        closed(stage.retainit.cache::<u8>("d").build().unwrap_err());
        closed(stage.retainit.cache::<u8>("d").build_local().unwrap_err());
        closed(stage.retainit.register_backend("other", MemoryConfig::new()).unwrap_err());
        closed(stage.retainit.install().unwrap_err());
        closed(stage.retainit.reload().unwrap_err());
        closed(cache.clear().await.unwrap_err());
        closed(stage.retainit.invalidate_tag("t").await.unwrap_err());
        closed(stage.retainit.invalidate_pattern("*").await.unwrap_err());
        closed(stage.retainit.clear().await.unwrap_err());
        closed(stage.retainit.health().await.unwrap_err());
        closed(stage.run(plain::cache().get(&1)).await.unwrap_err());
        closed(stage.run(plain::cache().remove(&1)).await.unwrap_err());
        closed(stage.run(plain::cache().warm([1])).await.unwrap_err());
        assert!(cache.explain(&1).await.unwrap().to_string().contains("closed"));
    }
}

/// Fails to serialize, so it cannot be a key.
struct NoKey;

impl Serialize for NoKey {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no key today"))
    }
}

#[retain(id = "errors.no_key")]
fn no_key(key: &NoKey) -> u64 {
    let NoKey = key;
    RUNS_OF_NO_KEY.add()
}

static RUNS_OF_NO_KEY: Runs = Runs::new();

// T-83: a key that cannot be written is never the caller's failure.
#[test]
fn a_key_that_cannot_be_written() {
    for stage in Stage::each() {
        RUNS_OF_NO_KEY.take();
        assert_eq!(stage.run_sync(|| (no_key(&NoKey), no_key(&NoKey))), (1, 2));
        assert!(stage.retainit.stats().errors > 0);
        let cache = stage.retainit.cache::<u8>("c").build().unwrap();
        let error = cache.blocking().set(&NoKey, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert_eq!(
            format!("{error}"),
            "the key has no canonical form",
            "its cause is the source, which reports print once"
        );
        assert_eq!(format!("{error:#}"), "the key has no canonical form: no key today");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("no key today"));
        assert_eq!(cache.blocking().get_or_load(&NoKey, || 7), 7);
    }
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct NoBytes;

impl Serialize for NoBytes {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no bytes today"))
    }
}

#[retain(id = "errors.no_bytes")]
fn no_bytes(id: u64) -> Vec<NoBytes> {
    RUNS_OF_NO_BYTES.add();
    vec![NoBytes; id as usize]
}

static RUNS_OF_NO_BYTES: Runs = Runs::new();

// T-83: nor is a value that cannot be written, or not read back.
#[tokio::test]
async fn a_value_that_cannot_be_written_or_read() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let stage = Stage::bytes();
    RUNS_OF_NO_BYTES.take();
    stage.run_sync(|| (no_bytes(2), no_bytes(2)));
    assert_eq!(RUNS_OF_NO_BYTES.so_far(), 2);
    let cache = stage.retainit.cache::<Vec<NoBytes>>("c").build().unwrap();
    assert_eq!(cache.set(&1, vec![NoBytes]).await.unwrap_err().kind(), ErrorKind::Codec);

    let store = stage.bytes.as_ref().unwrap().store();
    stage.run(plain(3)).await;
    let key = store.keys().into_iter().find(|key| key.contains("errors.plain")).unwrap();
    RUNS.take();
    for garbage in [&b""[..], b"\xc1", b"not an envelope", &[0x97, 0, 0, 0, 0, 0, 0, 0]] {
        store.put(key.clone(), garbage.to_vec());
        assert_eq!(stage.run(plain(3)).await, 3);
        assert_eq!(stage.run(plain(3)).await, 3, "the load has replaced it");
        assert_eq!(RUNS.take(), 1);
    }
    assert!(stage.retainit.stats().errors >= 4);
}

// What the backend answers becomes an error of the handle, with the backend's name, and never of a call.
#[tokio::test]
async fn errors_of_backends_name_the_backend() {
    let stage = Stage::bytes();
    let config = stage.bytes.clone().unwrap();
    config.faults().fail_always(Op::All);
    let cache = stage.retainit.cache::<u8>("c").build().unwrap();
    let error = cache.get(&1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.is_retryable() && error.to_string().contains("default"), "{error}");
    assert!(!stage.retainit.health().await.unwrap().is_healthy());
    let error = cache.remove(&1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pending);
    config.faults().heal();
    recovered(&stage.retainit).await;
    assert!(stage.retainit.health().await.unwrap().is_healthy());
    assert_eq!(cache.clear().await.unwrap(), Evicted::Exact(0));
}

static PANICS: Runs = Runs::new();

#[retain(err_ttl = "1h", none_ttl = "1h")]
fn panics(id: u64) -> Result<Option<u64>, String> {
    assert!(PANICS.add() > 1, "as it should");
    Ok(Some(id))
}

// A panic is never stored, and reaches the caller.
#[test]
fn a_panic_is_not_stored() {
    for stage in Stage::each() {
        PANICS.take();
        let call = || stage.run_sync(|| std::panic::catch_unwind(|| panics(1)));
        assert!(call().is_err());
        assert_eq!(call().unwrap(), Ok(Some(1)));
        assert_eq!(call().unwrap(), Ok(Some(1)));
        assert_eq!(PANICS.take(), 2);
    }
}
