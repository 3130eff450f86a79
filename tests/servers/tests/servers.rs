//! The servers start, answer and end.

use std::process::{Command, Stdio};

use retainit_servers::{Certificates, Client, Cluster, Program, Redis, Reply, Sentinels, Toxiproxy};

retainit_servers::needs!(redis:
    one_server_answers_and_is_empty_after_a_restart,
    a_cluster_serves_all_slots,
    sentinels_promote_the_replica,
    a_server_listens_on_a_socket_and_with_tls,
    a_server_ends_with_the_process_that_started_it,
);
retainit_servers::needs!(valkey: valkey_answers);
retainit_servers::needs!(toxiproxy: a_proxy_refuses_and_delays);

fn one_server_answers_and_is_empty_after_a_restart() {
    let mut redis = Redis::options().set(["maxmemory", "64mb"]).start();
    let mut client = redis.client();
    client.run(&["SET", "key", "value"]);
    assert_eq!(client.run(&["GET", "key"]), Reply::Text("value".to_owned()));
    assert_eq!((client.calls("set"), client.calls("incr")), (1, 0));
    assert_eq!(client.info("maxmemory"), (64 << 20).to_string());
    redis.kill();
    redis.start_again();
    assert_eq!(redis.client().run(&["GET", "key"]), Reply::Nil);
}

fn a_cluster_serves_all_slots() {
    let cluster = Cluster::start();
    assert_eq!((cluster.nodes().len(), cluster.primaries().len()), (6, 3));
    let moved = cluster.nodes()[0].client().ask(&["GET", "a"]);
    assert!(matches!(moved, Reply::Error(error) if error.starts_with("MOVED 15495 127.0.0.1:")));
}

fn sentinels_promote_the_replica() {
    let mut sentinels = Sentinels::start();
    sentinels.fail_over();
    assert_eq!(sentinels.replica().client().info("role"), "master");
}

fn a_server_listens_on_a_socket_and_with_tls() {
    let certificates = Certificates::new();
    let redis = Redis::options().socket().tls(&certificates).start();
    assert!(redis.socket().exists() && redis.tls_port() != redis.port());
}

fn valkey_answers() {
    let valkey = Redis::options().program(Program::Valkey).start();
    assert_eq!(valkey.client().text(&["PING"]), "PONG");
}

fn a_proxy_refuses_and_delays() {
    let (redis, toxiproxy) = (Redis::start(), Toxiproxy::start());
    let proxy = toxiproxy.proxy(redis.port());
    assert_eq!(Client::connect(proxy.port()).text(&["PING"]), "PONG");
    proxy.refuse();
    assert!(std::net::TcpStream::connect(("127.0.0.1", proxy.port())).is_err());
    proxy.accept();
    proxy.delay(20);
    assert_eq!(Client::connect(proxy.port()).text(&["PING"]), "PONG");
}

/// Name of the variable that makes this binary the process which is killed.
const VICTIM: &str = "SERVERS_VICTIM";

fn a_server_ends_with_the_process_that_started_it() {
    use std::io::{BufRead, BufReader, Write};
    if std::env::var_os(VICTIM).is_some() {
        let redis = Redis::start();
        // Not `println!`, which the harness would keep for itself.
        writeln!(std::io::stdout(), "\nport {}", redis.port()).expect("the parent reads");
        std::thread::park();
    }
    let mut victim = Command::new(std::env::current_exe().expect("it has a path"))
        .args(["--exact", "redis::a_server_ends_with_the_process_that_started_it", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be run again");
    let lines = BufReader::new(victim.stdout.take().expect("it is piped")).lines();
    let port = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok()).expect("a port");
    let mut client = Client::connect(port);
    client.run(&["PING"]);
    victim.kill().expect("it is our child");
    victim.wait().expect("it is our child");
    // Nobody answers this: the connection ends when the server does.
    let ended = std::panic::catch_unwind(move || client.run(&["BLPOP", "nothing", "0"]));
    assert!(ended.is_err());
}
