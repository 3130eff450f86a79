//! Several instances, as processes are, that share one server.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{Retainit, retain, with_instance};
use retainit_redis::RedisConfig;
use retainit_servers::{Redis, Reply};

retainit_servers::needs!(redis:
    what_one_loads_another_has,
    what_one_removes_another_loads_anew,
    namespaces_do_not_meet,
    a_sync_function_works_inside_a_runtime,
    patterns_and_clear_remove_what_they_name,
);

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(id = "shared.twice", ttl = "1h", tags("number", "number:{n}"), max_staleness = "0s")]
async fn twice(n: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::Relaxed);
    2 * n
}

#[retain(id = "shared.thrice", ttl = "1h")]
fn thrice(n: u64) -> u64 {
    3 * n
}

fn instance(redis: &Redis, namespace: &str) -> Retainit {
    let builder = Retainit::builder().namespace(namespace);
    builder.register_backend("main", RedisConfig::new(&*redis.url())).build().expect("nothing is wrong")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Calls the function and returns whether it ran.
async fn runs(instance: &Retainit, n: u64) -> bool {
    let before = RUNS.load(Ordering::Relaxed);
    assert_eq!(with_instance(instance, twice(n)).await, 2 * n);
    RUNS.load(Ordering::Relaxed) > before
}

// T-27
fn what_one_loads_another_has() {
    let redis = Redis::start();
    block_on(async {
        let (one, other) = (instance(&redis, "has"), instance(&redis, "has"));
        assert!(runs(&one, 1_001).await);
        assert!(!runs(&one, 1_001).await && !runs(&other, 1_001).await);
    });
}

fn what_one_removes_another_loads_anew() {
    let redis = Redis::start();
    block_on(async {
        let (one, other) = (instance(&redis, "removes"), instance(&redis, "removes"));
        assert!(runs(&one, 2_001).await && !runs(&other, 2_001).await);
        with_instance(&one, twice::cache().remove(&2_001)).await.expect("it is acknowledged");
        assert!(runs(&other, 2_001).await && !runs(&one, 2_001).await);
        one.invalidate_tag("number:2001").await.expect("it is acknowledged");
        assert!(runs(&other, 2_001).await && !runs(&one, 2_001).await);
    });
}

// P-04
fn namespaces_do_not_meet() {
    let redis = Redis::start();
    block_on(async {
        let (one, other) = (instance(&redis, "one"), instance(&redis, "other"));
        assert!(runs(&one, 3_001).await && runs(&other, 3_001).await);
        one.clear().await.expect("it is acknowledged");
        assert!(!runs(&other, 3_001).await && runs(&one, 3_001).await);
    });
    // Keys are text, and a pattern of `SCAN` finds those of one function.
    let found = redis.client().run(&["SCAN", "0", "MATCH", "r1:d:one:-:shared.twice@*", "COUNT", "1000"]);
    let Reply::List(parts) = found else { panic!("no page of keys") };
    assert_eq!(parts[1].words(), "r1:d:one:-:shared.twice@0:3001");
}

// T-104, T-109, T-112
#[test]
fn production_and_rights_are_reached_through_an_instance() {
    let builder = |url: &str| Retainit::builder().namespace("shop").register_backend("far", RedisConfig::new(url));
    let error = builder("redis://cache.example").security("production").build().expect_err("it is in clear");
    assert!(error.report().contains("allow_plaintext"), "{error}");
    // Building opens no connection, and neither does asking for rights.
    let instance = builder("rediss://cache.example").security("production").build().expect("it is encrypted");
    let line = instance.policy("far").expect("it has a server");
    assert!(line.starts_with("ACL SETUSER retainit on >PASSWORD resetkeys ~r1:?:shop:*"), "{line}");
    let near = Retainit::builder().register_backend("near", retainit::MemoryConfig::new()).build().expect("it is fine");
    assert_eq!(near.policy("near").expect_err("it has none").kind(), retainit::ErrorKind::Unsupported);
}

// C-31, C-35
fn a_sync_function_works_inside_a_runtime() {
    let redis = Redis::start();
    block_on(async {
        let instance = instance(&redis, "sync");
        for _ in 0..2 {
            assert_eq!(retainit::with_instance_sync(&instance, || thrice(7)), 21);
        }
        assert_eq!(instance.stats().hits, 1);
    });
}

// P-11, P-12, T-45
fn patterns_and_clear_remove_what_they_name() {
    let redis = Redis::start();
    block_on(async {
        let instance = instance(&redis, "patterns");
        for n in 4_000..4_020 {
            assert!(runs(&instance, n).await);
        }
        instance.invalidate_pattern("shared.twice:401*").await.expect("it is acknowledged");
        assert!(runs(&instance, 4_011).await && !runs(&instance, 4_001).await);
        instance.clear().await.expect("it is acknowledged");
        assert!(runs(&instance, 4_001).await);
    });
}
