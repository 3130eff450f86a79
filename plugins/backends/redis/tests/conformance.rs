//! The Redis backend against the suite that every byte backend has to pass, on every kind of server.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use retainit_plugin::{BackendConfig, Built, Context};
use retainit_redis::RedisConfig;
use retainit_servers::{Certificates, Client, Cluster, Program, Redis, Reply, Sentinels};
use retainit_testkit::conformance::{self, Report};

retainit_servers::needs!(redis:
    it_conforms_on_one_server,
    it_conforms_where_fences_are_taken_by_a_script,
    it_conforms_as_a_user_with_the_smallest_rights,
    it_conforms_over_tls,
    it_conforms_on_a_socket,
    it_conforms_behind_sentinels,
    it_conforms_on_a_cluster,
    it_conforms_with_several_connections,
);
retainit_servers::needs!(valkey: it_conforms_on_valkey);

/// The suites, by the name of the test that waits for each.
const SUITES: [(&str, fn()); 8] = [
    ("it_conforms_on_one_server", conforms_on_one_server),
    ("it_conforms_where_fences_are_taken_by_a_script", conforms_where_fences_are_taken_by_a_script),
    ("it_conforms_as_a_user_with_the_smallest_rights", conforms_as_a_user_with_the_smallest_rights),
    ("it_conforms_over_tls", conforms_over_tls),
    ("it_conforms_on_a_socket", conforms_on_a_socket),
    ("it_conforms_behind_sentinels", conforms_behind_sentinels),
    ("it_conforms_on_a_cluster", conforms_on_a_cluster),
    ("it_conforms_with_several_connections", conforms_with_several_connections),
];

macro_rules! tests {
    ($($test:ident),* $(,)?) => {$(
        fn $test() {
            wait_for(stringify!($test));
        }
    )*};
}

tests!(
    it_conforms_on_one_server,
    it_conforms_where_fences_are_taken_by_a_script,
    it_conforms_as_a_user_with_the_smallest_rights,
    it_conforms_over_tls,
    it_conforms_on_a_socket,
    it_conforms_behind_sentinels,
    it_conforms_on_a_cluster,
    it_conforms_with_several_connections
);

/// Waits for a suite. The first test starts all that are asked for, because they spend their time waiting for ttls to end.
fn wait_for(name: &'static str) {
    static RUNNING: LazyLock<Mutex<HashMap<&str, JoinHandle<()>>>> = LazyLock::new(|| {
        let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        let is_wanted =
            |name: &str| filters.is_empty() || filters.iter().any(|it| format!("redis::{name}").contains(it));
        let wanted = SUITES.into_iter().filter(|(name, _)| is_wanted(name));
        Mutex::new(wanted.map(|(name, run)| (name, thread::spawn(run))).collect())
    });
    let started = RUNNING.lock().expect("nobody panicked under it").remove(name);
    let suite = || SUITES.iter().find(|(found, _)| *found == name).expect("every test has a suite").1;
    if let Err(panic) = started.unwrap_or_else(|| thread::spawn(suite())).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs the suite on what `make` builds; the ports are those of the servers that lose the versions of groups.
fn conforms(ports: Vec<u16>, make: impl Fn(Context) -> Built + Send + Sync + 'static) {
    let suite = conformance::ByteSuite::new(make).real_time();
    let nobody = |context| build(&RedisConfig::new("redis://127.0.0.1:1"), context);
    let lose = move || ports.iter().for_each(|port| lose_versions(*port));
    let Report { skipped, .. } = suite.lose_versions(lose).unreachable(nobody).run();
    let skipped: Vec<_> = skipped.iter().map(|(case, _)| *case).collect();
    // What is given up was sent already: the fence makes up for that.
    assert_eq!(skipped, ["a_store_that_was_given_up_changes_nothing", "a_store_that_somebody_waits_for_goes_in"]);
}

fn build(config: &RedisConfig, context: Context) -> Built {
    config.build(context).expect("the configuration is valid")
}

/// Removes the versions of all groups from a server.
fn lose_versions(port: u16) {
    let mut client = Client::connect(port);
    let Reply::List(keys) = client.run(&["KEYS", "r1:[te]:*"]) else { panic!("no list of keys") };
    for key in keys {
        client.run(&["DEL", &key.words()]);
    }
}

// C-19, C-31, R-03
fn conforms_on_one_server() {
    let redis = Redis::start();
    let config = RedisConfig::new(&*redis.url());
    conforms(vec![redis.port()], move |context| build(&config, context));
}

fn conforms_where_fences_are_taken_by_a_script() {
    let redis = Redis::start();
    let config = RedisConfig::new(&*redis.url());
    conforms(vec![redis.port()], move |context| config.build_for_old_servers(context).expect("it is valid"));
    // Nothing but the trips of the suite's own.
    assert!(redis.client().calls("set") > 0);
}

// T-107, T-109
fn conforms_as_a_user_with_the_smallest_rights() {
    let redis = Redis::start();
    let config = RedisConfig::new(&*redis.url()).username("shop").password("hush");
    // Its keys are of many namespaces.
    let line = config.acl_line("", (7, 0)).replace(">PASSWORD", ">hush");
    redis.client().run(&line.split(' ').collect::<Vec<_>>());
    conforms(vec![redis.port()], move |context| build(&config, context));
    assert_eq!(redis.client().run(&["ACL", "LOG"]), Reply::List(Vec::new()));
}

// T-21, T-104
fn conforms_over_tls() {
    let certificates = Certificates::new();
    let redis = Redis::options().tls(&certificates).start();
    let config = RedisConfig::new(&*format!("rediss://localhost:{}", redis.tls_port()))
        .ca_certs(&*certificates.file("ca.crt"))
        .client_cert(&*certificates.file("client.crt"))
        .client_key(&*certificates.file("client.key"));
    conforms(vec![redis.port()], move |context| build(&config, context));
}

fn conforms_on_a_socket() {
    let redis = Redis::options().socket().start();
    let config = RedisConfig::new(&*format!("unix://{}?db=2", redis.socket().display()));
    // The versions are in another database, where a plain connection does not look.
    let port = redis.port();
    let suite = conformance::ByteSuite::new(move |context| build(&config, context)).real_time();
    suite.run();
    let mut client = Client::connect(port);
    assert_eq!(client.run(&["DBSIZE"]), Reply::Int(0));
}

fn conforms_behind_sentinels() {
    let mut sentinels = Sentinels::start();
    let addresses: Vec<String> = sentinels.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let config = RedisConfig::default().sentinels(addresses).master_name(Sentinels::MASTER);
    let port = sentinels.primary().port();
    conforms(vec![port], move |context| build(&config, context));
}

// T-30, A-49
fn conforms_on_a_cluster() {
    let cluster = Cluster::start();
    let config = RedisConfig::new(&*cluster.nodes()[0].url()).cluster(true);
    let ports = cluster.nodes()[..3].iter().map(Redis::port).collect();
    conforms(ports, move |context| build(&config, context));
}

fn conforms_with_several_connections() {
    let redis = Redis::start();
    let config = RedisConfig::new(&*redis.url()).connections(4);
    conforms(vec![redis.port()], move |context| build(&config, context));
}

//
fn it_conforms_on_valkey() {
    let valkey = Redis::options().program(Program::Valkey).start();
    let config = RedisConfig::new(&*format!("valkey://127.0.0.1:{}", valkey.port()));
    conforms(vec![valkey.port()], move |context| build(&config, context));
}
