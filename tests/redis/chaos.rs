//! Outages under load. Whatever happens to the server or the way to it: every call gets a right value and no error, and no
//! value that an invalidation ended comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{ErrorKind, Retainit, retain, with_instance};
use retainit_redis::RedisConfig;
use retainit_servers::{Proxy, Redis, RedisOptions, Toxiproxy};

retainit_servers::needs!(toxiproxy:
    connections_that_are_refused,
    a_black_hole,
    connections_that_are_reset,
    an_answer_that_comes_too_late,
    a_trickle,
    a_server_that_is_stopped,
    a_server_that_is_killed_and_comes_back_empty,
    connections_that_are_killed,
    scripts_that_are_flushed,
    a_password_that_changes,
    a_server_that_takes_no_more_clients,
    a_server_that_is_full_and_evicts_nothing,
    a_server_that_is_full_and_evicts_anything,
    a_primary_without_its_replicas,
);

const KEYS: u64 = 40;

/// Calls at once.
const CALLERS: u64 = 24;

/// Calls of one caller before the fault, while it lasts, and afterwards.
const CALLS: u64 = 60;

/// Values that the functions of one scenario read, with the least that they may still return.
#[derive(Debug)]
struct Source {
    current: Vec<AtomicU64>,
    least: Vec<AtomicU64>,
}

impl Source {
    fn new() -> Arc<Source> {
        let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Source { current: zeros(), least: zeros() })
    }
}

tokio::task_local! {
    static SOURCE: Arc<Source>;
}

#[retain(id = "chaos.version", ttl = "1h", tags("key:{key}"))]
async fn version(key: u64) -> u64 {
    let version = SOURCE.with(|source| source.current[key as usize].load(Ordering::SeqCst));
    // Loads take long enough that others come meanwhile.
    tokio::task::yield_now().await;
    version
}

/// A server behind a proxy, and an instance that uses it.
struct Scene {
    instance: Retainit,
    source: Arc<Source>,
}

impl Scene {
    fn new(config: RedisConfig) -> Scene {
        let config = config.connect_timeout("500ms").response_timeout("500ms");
        // So that the breaker opens and closes several times in each scenario.
        let config = config.breaker_timeout("200ms");
        let builder = Retainit::builder().op_timeout(Duration::from_millis(100)).register_backend("main", config);
        Scene { instance: builder.build().expect("nothing is wrong"), source: Source::new() }
    }

    /// Calls the function from many tasks while others change its source and remove keys and tags.
    async fn load(&self) {
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let (instance, source) = (self.instance.clone(), Arc::clone(&self.source));
            let calls = async move {
                for call in 0..CALLS {
                    let key = (caller * 31 + call * 7) % KEYS;
                    let of = |versions: &[AtomicU64]| versions[key as usize].load(Ordering::SeqCst);
                    let least = SOURCE.with(|source| of(&source.least));
                    let found = with_instance(&instance, version(key)).await;
                    let most = SOURCE.with(|source| of(&source.current));
                    assert!((least..=most).contains(&found), "key {key}: {found} is not in {least}..={most}");
                    if call % 20 == 3 && caller % 4 == 0 {
                        change(&instance, key, caller % 8 == 0).await;
                    }
                }
            };
            tasks.spawn(SOURCE.scope(source, calls));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no call fails");
        }
    }

    /// Calls the function until it is answered from the cache.
    async fn fill(&self) {
        let hits = || self.instance.stats().hits;
        for _ in 0..1_000 {
            let before = hits();
            SOURCE.scope(Arc::clone(&self.source), with_instance(&self.instance, version(0))).await;
            if hits() > before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it is never answered from the cache again: {:?}", self.instance.health().await);
    }
}

/// Changes what the function reads, then invalidates. Whether that was acknowledged or is pending: this process does not
/// serve the old value any more.
async fn change(instance: &Retainit, key: u64, by_tag: bool) {
    let new = SOURCE.with(|source| source.current[key as usize].fetch_add(1, Ordering::SeqCst)) + 1;
    let removed = match by_tag {
        true => instance.invalidate_tag(&format!("key:{key}")).await.map(drop),
        false => with_instance(instance, version::cache().remove(&key)).await.map(drop),
    };
    if removed.map_or_else(|error| error.kind() == ErrorKind::Pending, |()| true) {
        SOURCE.with(|source| source.least[key as usize].fetch_max(new, Ordering::SeqCst));
    }
}

/// Runs load before, during and after a fault.
fn survives(config: RedisConfig, fault: impl FnOnce(), heal: impl FnOnce()) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let scene = Scene::new(config);
    runtime.block_on(async {
        scene.fill().await;
        scene.load().await;
        tokio::task::block_in_place(fault);
        scene.load().await;
        tokio::task::block_in_place(heal);
        scene.load().await;
        scene.fill().await;
        scene.load().await;
    });
}

/// Runs a scenario of a server behind a proxy.
fn behind_a_proxy(
    options: RedisOptions,
    fault: impl FnOnce(&Redis, &Proxy<'_>),
    heal: impl FnOnce(&Redis, &Proxy<'_>),
) {
    let (redis, toxiproxy) = (options.start(), Toxiproxy::start());
    let proxy = toxiproxy.proxy(redis.port());
    survives(RedisConfig::new(&*proxy.url()), || fault(&redis, &proxy), || heal(&redis, &proxy));
}

// T-82, T-135
fn connections_that_are_refused() {
    behind_a_proxy(Redis::options(), |_, proxy| proxy.refuse(), |_, proxy| proxy.accept());
}

fn a_black_hole() {
    behind_a_proxy(Redis::options(), |_, proxy| proxy.swallow(), |_, proxy| proxy.release());
}

fn connections_that_are_reset() {
    let reset = |_: &Redis, proxy: &Proxy<'_>| proxy.poison("reset_peer", r#"{"timeout":0}"#);
    behind_a_proxy(Redis::options(), reset, |_, proxy| proxy.heal("reset_peer"));
}

fn an_answer_that_comes_too_late() {
    behind_a_proxy(Redis::options(), |_, proxy| proxy.delay(300), |_, proxy| proxy.heal("latency"));
}

fn a_trickle() {
    let slow = |_: &Redis, proxy: &Proxy<'_>| proxy.poison("bandwidth", r#"{"rate":1}"#);
    behind_a_proxy(Redis::options(), slow, |_, proxy| proxy.heal("bandwidth"));
}

fn a_server_that_is_stopped() {
    behind_a_proxy(Redis::options(), |redis, _| redis.pause(), |redis, _| redis.resume());
}

fn a_server_that_is_killed_and_comes_back_empty() {
    let redis = std::sync::Mutex::new(Redis::start());
    let config = RedisConfig::new(&*redis.lock().expect("nobody panicked").url());
    let running = || redis.lock().expect("nobody panicked");
    survives(config, || running().kill(), || running().start_again());
}

fn connections_that_are_killed() {
    let kill = |redis: &Redis, _: &Proxy<'_>| drop(redis.client().run(&["CLIENT", "KILL", "TYPE", "normal"]));
    behind_a_proxy(Redis::options(), kill, kill);
}

fn scripts_that_are_flushed() {
    let flush = |redis: &Redis, _: &Proxy<'_>| drop(redis.client().run(&["SCRIPT", "FLUSH"]));
    behind_a_proxy(Redis::options(), flush, flush);
}

fn a_password_that_changes() {
    let change = |redis: &Redis, to: &str| {
        let mut client = redis.client();
        client.run(&["AUTH", "default", "hush"]);
        client.run(&["ACL", "SETUSER", "shop", "resetpass", &format!(">{to}")]);
        client.run(&["CLIENT", "KILL", "USER", "shop"]);
    };
    let redis = Redis::options().set(["requirepass", "hush"]).start();
    let mut client = redis.client();
    client.run(&["AUTH", "hush"]);
    client.run(&["ACL", "SETUSER", "shop", "on", ">old", "~*", "+@all"]);
    let config = RedisConfig::new(&*redis.url()).username("shop").password("old");
    survives(config, || change(&redis, "new"), || change(&redis, "old"));
}

fn a_server_that_takes_no_more_clients() {
    let redis = Redis::start();
    // It keeps its place when there are no more.
    let client = std::sync::Mutex::new(redis.client());
    let limit = |most: &str| {
        let mut client = client.lock().expect("nobody panicked");
        client.run(&["CONFIG", "SET", "maxclients", most]);
        client.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    };
    survives(RedisConfig::new(&*redis.url()), || limit("1"), || limit("100"));
}

/// Fills a server to the last byte that it may take.
fn fill_up(redis: &Redis) {
    let mut client = redis.client();
    let used: u64 = client.info("used_memory").parse().expect("a number");
    client.run(&["CONFIG", "SET", "maxmemory", &used.to_string()]);
}

fn make_room(redis: &Redis) {
    redis.client().run(&["CONFIG", "SET", "maxmemory", "0"]);
}

fn a_server_that_is_full_and_evicts_nothing() {
    let options = Redis::options().set(["maxmemory-policy", "noeviction"]);
    behind_a_proxy(options, |redis, _| fill_up(redis), |redis, _| make_room(redis));
}

fn a_server_that_is_full_and_evicts_anything() {
    let options = Redis::options().set(["maxmemory-policy", "allkeys-lru"]);
    behind_a_proxy(options, |redis, _| fill_up(redis), |redis, _| make_room(redis));
}

fn a_primary_without_its_replicas() {
    let wanted = |redis: &Redis, count: &str| {
        redis.client().run(&["CONFIG", "SET", "min-replicas-to-write", count]);
    };
    behind_a_proxy(Redis::options(), |redis, _| wanted(redis, "1"), |redis, _| wanted(redis, "0"));
}
