//! Keys and primaries that move from one server to another.

use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Scan};
use retainit_redis::RedisConfig;
use retainit_servers::{Cluster, Redis, Reply, Sentinels};

use crate::process::Process;

retainit_servers::needs!(redis:
    a_slot_that_moves_is_followed,
    a_scan_sees_every_primary,
    a_replica_takes_over_from_its_primary_in_a_cluster,
    a_replica_takes_over_by_sentinel,
);

/// Repeats an operation until it succeeds.
fn until_ok<T>(mut operation: impl FnMut() -> retainit_plugin::Result<T>) -> T {
    let mut last = None;
    for _ in 0..1_000 {
        match operation() {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never succeeds: {last:?}");
}

/// The slot of this key is 15495, on the last primary.
const KEY: &str = "a";

fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start();
    let process = Process::new(&RedisConfig::new(&*cluster.nodes()[0].url()).cluster(true));
    process.fill(KEY, "value");
    let (from, to) = (&cluster.nodes()[2], &cluster.nodes()[0]);
    let id = |node: &Redis| node.client().text(&["CLUSTER", "MYID"]);
    let (source, target) = (id(from), id(to));
    to.client().run(&["CLUSTER", "SETSLOT", "15495", "IMPORTING", &source]);
    from.client().run(&["CLUSTER", "SETSLOT", "15495", "MIGRATING", &target]);
    let port = to.port().to_string();
    from.client().run(&["MIGRATE", "127.0.0.1", &port, KEY, "0", "5000"]);
    // The key is there already, the slot is not: for one command each, the old node sends to the new one.
    assert_eq!(process.entry(KEY).as_deref(), Some(&b"value"[..]));
    process.fill(KEY, "newer");
    for node in cluster.nodes() {
        // Replicas learn it from their primaries.
        drop(node.client().ask(&["CLUSTER", "SETSLOT", "15495", "NODE", &target]));
    }
    assert_eq!(until_ok(|| process.look(KEY)).entry.as_deref(), Some(&b"newer"[..]));
}

// T-45
fn a_scan_sees_every_primary() {
    let cluster = Cluster::start();
    let process = Process::new(&RedisConfig::new(&*cluster.nodes()[1].url()).cluster(true));
    let keys: Vec<String> = (0..300).map(|number| format!("r1:d:shop:-:f@1:{number:03}")).collect();
    keys.iter().for_each(|key| process.fill(key, "value"));
    let (mut found, mut scan) = (Vec::new(), Scan::prefix("r1:d:shop:"));
    loop {
        let page = process.run(process.backend.scan(scan)).expect("scan");
        found.extend(page.keys);
        let Some(next) = page.next else { break };
        scan = Scan::prefix("r1:d:shop:").after(next);
    }
    found.sort();
    found.dedup();
    assert_eq!(found, keys);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(process.run(process.backend.remove_many(&keys)).expect("remove"), 300);
    for mut primary in cluster.primaries() {
        assert_eq!(primary.run(&["DBSIZE"]), Reply::Int(0));
    }
}

fn a_replica_takes_over_from_its_primary_in_a_cluster() {
    let mut cluster = Cluster::start();
    let process = Process::new(&RedisConfig::new(&*cluster.nodes()[0].url()).cluster(true));
    process.fill(KEY, "value");
    cluster.nodes()[2].client().run(&["WAIT", "1", "5000"]);
    cluster.node(2).kill();
    let found = until_ok(|| process.look(KEY));
    assert_eq!(found.entry.as_deref(), Some(&b"value"[..]));
    process.fill(KEY, "newer");
}

fn a_replica_takes_over_by_sentinel() {
    let mut sentinels = Sentinels::start();
    let addresses: Vec<String> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let process = Process::new(&RedisConfig::default().sentinels(addresses).master_name(Sentinels::MASTER));
    process.fill("key", "value");
    sentinels.primary().client().run(&["WAIT", "1", "5000"]);
    sentinels.fail_over();
    // Until it is told, the old one takes writes that are lost: a limit of every asynchronous failover.
    until_ok(|| match sentinels.primary().client().info("role").as_str() {
        "slave" => Ok(()),
        role => Err(Error::new(ErrorKind::Pending, format!("still a {role}"))),
    });
    assert!(until_ok(|| process.look("key")).entry.is_some());
    until_ok(|| process.run(process.backend.remove("key")));
    assert_eq!(sentinels.replica().client().run(&["EXISTS", "key"]), Reply::Int(0));
}
