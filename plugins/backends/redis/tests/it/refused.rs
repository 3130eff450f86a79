//! Bad input: one readable error each, with the field and what to do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use retainit_plugin::{BackendConfig, ErrorKind};
use retainit_redis::RedisConfig;
use retainit_servers::{Certificates, Cluster, Redis, Sentinels};

use crate::process::Process;

retainit_servers::needs!(redis:
    a_wrong_password_is_named,
    a_missing_permission_names_the_command,
    an_unknown_master_is_named,
    tls_to_a_plain_port_and_the_reverse,
    a_certificate_of_another_authority,
    the_address_of_a_replica,
    a_node_of_a_cluster_and_a_server_that_is_none,
    a_sentinel_that_is_taken_for_a_server_and_the_reverse,
    a_database_that_is_not_there,
);

/// Returns the error of a configuration that cannot be built.
fn unusable(config: &RedisConfig) -> String {
    let error = config.build(retainit_testkit::context("shared")).expect_err("it cannot be used");
    assert_eq!(error.kind(), ErrorKind::Config);
    error.report()
}

/// Returns the field and the text of the error that a server's answer leads to.
#[track_caller]
fn refused(config: &RedisConfig, field: &str, text: &str) {
    let error = Process::new(config).health().expect_err("it is refused");
    let report = error.report();
    assert!(error.field() == Some(field) && report.contains(text), "{field}, {text}: {report}");
    assert!(error.is_unreachable(), "{error:?}");
    assert!(!report.contains("hush"), "{report}");
}

fn url(redis: &Redis) -> RedisConfig {
    RedisConfig::new(&*redis.url())
}

#[test]
fn a_configuration_that_cannot_be_used_says_why() {
    for (config, expected) in [
        (
            RedisConfig::new("memcached://:hush@cache"),
            "url: `memcached://` is no scheme of this backend: expected `redis://`",
        ),
        (RedisConfig::new("redis://cache").host("other"), "host: `url` names the server already: remove one"),
        (
            RedisConfig::default().cluster(true).db(3),
            "db: a cluster has only database 0: remove `db`, or `cluster = true`",
        ),
        (RedisConfig::new("redis://cache/3").cluster(true), "db: a cluster has only database 0"),
        (RedisConfig::default().nodes(["one:7000"]), "nodes: they are nodes of a cluster: set `cluster = true`"),
        (
            RedisConfig::default().sentinels(["one:26379"]),
            "master_name: the Sentinels know the primary by a name: set it",
        ),
        (RedisConfig::default().master_name("shop"), "master_name: only Sentinels know it: set `sentinels`"),
        (
            RedisConfig::default().sentinels(["one:x"]).master_name("shop"),
            "sentinels: expected `host:port`, got \"one:x\"",
        ),
        (RedisConfig::default().sentinel_password("hush"), "sentinel_password: there are no Sentinels"),
        (RedisConfig::default().ca_certs("/ca.pem"), "ca_certs: it has no effect without TLS"),
        (RedisConfig::default().tls(true).client_cert("/c.pem"), "client_key: a certificate needs its key"),
        (RedisConfig::default().connections(0), "connections: expected 1 to 64, got 0"),
        (RedisConfig::default().client_name("my shop"), "client_name: expected ASCII without blanks"),
        (RedisConfig::default().port(0), "port: expected 1 to 65535"),
        (RedisConfig::new("file:/there/is/no/such/file"), "url: the file /there/is/no/such/file cannot be read"),
    ] {
        let problem = unusable(&config);
        assert!(problem.contains(expected) && !problem.contains("hush"), "{expected}: {problem}");
    }
}

// T-104, T-112
#[test]
fn production_refuses_what_could_be_overheard() {
    let build = |config: &RedisConfig| config.build(retainit_testkit::context("far").production(true));
    let error = build(&RedisConfig::new("redis://cache.example")).expect_err("it is another machine");
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("tls")));
    assert!(error.report().contains("`allow_plaintext = true`"), "{error}");
    for config in [
        RedisConfig::new("rediss://cache.example"),
        RedisConfig::new("redis://localhost"),
        RedisConfig::new("unix:///run/redis.sock"),
        RedisConfig::new("redis://cache.example").allow_plaintext(true),
    ] {
        build(&config).expect("it is safe, or meant to be so");
    }
}

#[test]
fn a_server_that_is_too_old() {
    // What Redis 6.0 answers to `HELLO`.
    let old = "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.16\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n\
        $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
    refused(&scripted(old), "url", "the server is too old: it has version 6.0, 6.2 or later is needed");
    let older = "-ERR unknown command `HELLO`, with args beginning with: `2`, \r\n";
    refused(&scripted(older), "url", "the server is too old, Redis 6.2 or later is needed");
}

/// Returns the configuration of a server that answers everything in one way.
fn scripted(answer: &'static str) -> RedisConfig {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut request = [0; 1024];
        while stream.read(&mut request).is_ok_and(|length| length > 0) {
            stream.write_all(answer.as_bytes()).expect("somebody reads");
        }
    });
    RedisConfig::new(&*format!("redis://127.0.0.1:{port}"))
}

fn a_wrong_password_is_named() {
    let redis = Redis::options().set(["requirepass", "hush"]).start();
    refused(&url(&redis).password("guess"), "password", "the server refuses this password of the user `default`");
    refused(&url(&redis).username("shop").password("guess"), "password", "of the user `shop`");
    refused(&url(&redis), "password", "the server wants a password: set `password`");
    Process::new(&url(&redis).password("hush")).health().expect("the right one is accepted");
}

fn a_missing_permission_names_the_command() {
    let redis = Redis::start();
    let config = url(&redis).username("shop").password("hush");
    redis.client().run(&["ACL", "SETUSER", "shop", "on", ">hush", "~*", "+@all", "-get", "-unlink"]);
    let process = Process::new(&config);
    let error = process.look("key").expect_err("it may not");
    assert!(error.report().contains("'get'") && error.kind() == ErrorKind::Refused, "{error:?}");
    // A script says no more than that it may not.
    let error = process.run(process.backend.remove("key")).expect_err("it may not");
    assert!(error.report().contains("`unlink`") && !error.is_retryable(), "{error:?}");
}

fn an_unknown_master_is_named() {
    let sentinels = Sentinels::start();
    let addresses: Vec<String> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let config = RedisConfig::default().sentinels(addresses).master_name("shelf");
    refused(&config, "master_name", "the Sentinel watches no primary called `shelf`");
}

fn tls_to_a_plain_port_and_the_reverse() {
    let certificates = Certificates::new();
    let redis = Redis::options().tls(&certificates).start();
    let config = RedisConfig::new(&*format!("rediss://127.0.0.1:{}", redis.port()));
    let config = config.ca_certs(&*certificates.file("ca.crt")).connect_timeout("1s");
    refused(&config, "tls", "it does not speak TLS on this port");
    let config = RedisConfig::new(&*format!("redis://127.0.0.1:{}", redis.tls_port()));
    refused(&config, "tls", "use `rediss://` or `tls = true`");
}

fn a_certificate_of_another_authority() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let redis = Redis::options().tls(&certificates).start();
    let config = RedisConfig::new(&*format!("rediss://127.0.0.1:{}", redis.tls_port()));
    let wrong = config.clone().ca_certs(&*others.file("ca.crt"));
    refused(&wrong, "ca_certs", "its certificate is signed by none of the authorities in `ca_certs`");
    refused(&config, "ca_certs", "its certificate is signed by none of the authorities");
    let missing = config.clone().ca_certs(&*certificates.file("none.crt"));
    refused(&missing, "ca_certs", "none.crt cannot be read");
    Process::new(&config.cert_reqs("none")).health().expect("nothing is checked");
}

fn the_address_of_a_replica() {
    let primary = Redis::start();
    let replica = Redis::options().set(["replicaof", "127.0.0.1", &primary.port().to_string()]).start();
    refused(&url(&replica), "host", "it is a replica, which takes no writes: name its primary");
}

fn a_node_of_a_cluster_and_a_server_that_is_none() {
    let (cluster, redis) = (Cluster::start(), Redis::start());
    refused(&url(&cluster.nodes()[0]), "cluster", "it is a node of a cluster: set `cluster = true`");
    refused(&url(&redis).cluster(true), "cluster", "it is no node of a cluster: remove `cluster = true`");
}

fn a_sentinel_that_is_taken_for_a_server_and_the_reverse() {
    let mut sentinels = Sentinels::start();
    let sentinel = RedisConfig::new(&*format!("redis://127.0.0.1:{}", sentinels.ports()[0]));
    refused(&sentinel, "sentinels", "it is a Sentinel: name it in `sentinels`");
    let server = format!("127.0.0.1:{}", sentinels.primary().port());
    let config = RedisConfig::default().sentinels([server]).master_name(Sentinels::MASTER);
    refused(&config, "sentinels", "it is no Sentinel but a server in the mode `standalone`");
}

fn a_database_that_is_not_there() {
    let redis = Redis::options().set(["databases", "2"]).start();
    refused(&RedisConfig::new(&*format!("{}/7", redis.url())), "db", "the database cannot be selected");
}
