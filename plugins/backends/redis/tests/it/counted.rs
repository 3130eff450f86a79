//! Commands that an operation costs, by the server's own statistics.

use retainit_plugin::{Read, Strength};
use retainit_servers::{Client, Redis};

use crate::process::{LEASE, Process};

retainit_servers::needs!(redis:
    a_hit_is_one_get,
    a_miss_is_a_look_a_take_and_a_store,
    a_removal_and_a_tag_are_one_script_each,
    removals_of_many_keys_go_in_one_trip,
    nothing_is_listed_or_flushed_or_configured,
    keys_are_readable_and_have_a_ttl,
    connections_have_a_name,
);

/// Runs something and returns what the server counted meanwhile, without commands of connecting.
fn counted(client: &mut Client, what: impl FnOnce()) -> Vec<(String, u64)> {
    client.run(&["CONFIG", "RESETSTAT"]);
    what();
    let mut calls = client.all_calls();
    calls.retain(|(name, _)| !matches!(name.as_str(), "info" | "config|resetstat" | "hello"));
    calls
}

fn calls(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect()
}

fn a_hit_is_one_get() {
    let (redis, mut client);
    redis = Redis::start();
    client = redis.client();
    let process = Process::at(&redis.url());
    process.fill("r1:d:shop:-:f@1:1", "value");
    let hit = counted(&mut client, || assert!(process.entry("r1:d:shop:-:f@1:1").is_some()));
    assert_eq!(hit, calls(&[("get", 1)]));
    // Versions come in the same trip, of all groups together.
    let groups = ["r1:t:shop:-:a", "r1:t:shop:-:b", "r1:t:shop:-:c"];
    let read = process.backend.read("r1:d:shop:-:f@1:1", Read::seen().groups(&groups));
    assert_eq!(counted(&mut client, || drop(process.run(read))), calls(&[("get", 1), ("mget", 1)]));
}

fn a_miss_is_a_look_a_take_and_a_store() {
    let redis = Redis::start();
    let mut client = redis.client();
    let (process, key) = (Process::at(&redis.url()), "r1:d:shop:-:f@1:1");
    // The server has the scripts.
    process.fill("r1:d:shop:-:f@1:0", "value");
    let look = counted(&mut client, || assert!(process.look(key).expect("look").fence.is_none()));
    assert_eq!(look, calls(&[("get", 1)]));
    let mut fence = None;
    assert_eq!(counted(&mut client, || fence = Some(process.take(key))), calls(&[("set", 1)]));
    let store = counted(&mut client, || drop(process.store(key, "value", fence.expect("it was taken"))));
    assert_eq!(store, calls(&[("evalsha", 1), ("getrange", 1), ("set", 1)]));
    // Where something lies the look shows the fence.
    assert!(process.look(key).expect("look").fence.is_some());
}

fn a_removal_and_a_tag_are_one_script_each() {
    let redis = Redis::start();
    let mut client = redis.client();
    let process = Process::at(&redis.url());
    process.fill("r1:d:shop:-:f@1:1", "value");
    let remove = || process.run(process.backend.remove("r1:d:shop:-:f@1:1")).expect("remove");
    assert!(remove());
    let counts = counted(&mut client, || assert!(!remove()));
    assert_eq!(counts, calls(&[("evalsha", 1), ("getrange", 1), ("unlink", 1)]));
    let versions = process.backend.versions().expect("it has versions");
    let raise = || process.run(versions.raise("r1:t:shop:-:user", Strength::Hard)).expect("raise");
    let first = raise();
    let counts = counted(&mut client, || assert_eq!(raise().hard, first.hard + 1));
    assert_eq!(counts, calls(&[("evalsha", 1), ("get", 1), ("set", 1)]));
}

fn removals_of_many_keys_go_in_one_trip() {
    let redis = Redis::start();
    let process = Process::at(&redis.url());
    let keys: Vec<String> = (0..600).map(|number| format!("r1:d:shop:-:f@1:{number}")).collect();
    for key in &keys[..300] {
        process.fill(key, "value");
    }
    process.take(&keys[300]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // A placeholder is no entry.
    assert_eq!(process.run(process.backend.remove_many(&keys)).expect("remove"), 300);
    assert_eq!(redis.client().text(&["INFO", "keyspace"]).trim(), "# Keyspace");
}

// P-12
fn nothing_is_listed_or_flushed_or_configured() {
    let redis = Redis::options().set(["rename-command", "KEYS", ""]).set(["rename-command", "FLUSHDB", ""]).start();
    let process = Process::at(&redis.url());
    process.fill("r1:d:shop:-:f@1:1", "value");
    let page = process.run(process.backend.scan(retainit_plugin::Scan::prefix("r1:d:shop:"))).expect("scan");
    assert_eq!(page.keys, ["r1:d:shop:-:f@1:1"]);
    assert_eq!(redis.client().calls("config|set"), 0);
}

fn keys_are_readable_and_have_a_ttl() {
    let redis = Redis::start();
    let process = Process::at(&redis.url());
    let groups = ["r1:t:shop:-:user"];
    process.run(process.backend.read("r1:d:shop:-:f@1:1", Read::take(LEASE).groups(&groups))).expect("take");
    process.fill("r1:d:shop:-:f@1:2", "value");
    let mut client = redis.client();
    for key in ["r1:d:shop:-:f@1:1", "r1:d:shop:-:f@1:2", "r1:t:{shop}:-:user"] {
        let left = client.run(&["TTL", key]).words().parse::<i64>().expect("a number");
        assert!(left > 0, "{key}: {left}");
    }
    let version = client.text(&["GET", "r1:t:{shop}:-:user"]);
    assert_eq!(version.split(' ').filter(|number| number.parse::<u64>().is_ok()).count(), 2, "{version}");
}

fn connections_have_a_name() {
    let redis = Redis::start();
    let process = Process::at(&redis.url());
    process.health().expect("it answers");
    let clients = redis.client().text(&["CLIENT", "LIST"]);
    assert!(clients.contains("name=retainit:default "), "{clients}");
}
