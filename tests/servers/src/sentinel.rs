use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::port::free_port;
use crate::process::Server;
use crate::{Client, Redis, RedisOptions, Reply};

/// A primary with a replica, watched by three Sentinels that call it `shop`.
#[derive(Debug)]
pub struct Sentinels {
    primary: Redis,
    replica: Redis,
    sentinels: Vec<(Server, u16)>,
}

impl Sentinels {
    /// The name by which the Sentinels know the primary.
    pub const MASTER: &'static str = "shop";

    /// Starts the servers with default options.
    pub fn start() -> Sentinels {
        Sentinels::with(RedisOptions::default())
    }

    /// Starts primary and replica with options, then the Sentinels, and waits until these know each other.
    ///
    /// # Panics
    ///
    /// If one of them does not start, with its log.
    pub fn with(options: RedisOptions) -> Sentinels {
        let primary = options.clone().start();
        let replica = options.set(["replicaof", "127.0.0.1", &primary.port().to_string()]).start();
        let mut client = replica.client();
        until(|| client.info("master_link_status") == "up", || replica.log());
        let port = primary.port();
        let sentinels: Vec<(Server, u16)> = (0..3).map(|_| start_sentinel(port)).collect();
        for (server, port) in &sentinels {
            let mut client = Client::connect(*port);
            let knows_all = || {
                let known = client.run(&["SENTINEL", "MASTER", Sentinels::MASTER]);
                field(&known, "num-other-sentinels") == "2" && field(&known, "num-slaves") == "1"
            };
            until(knows_all, || server.log());
        }
        Sentinels { primary, replica, sentinels }
    }

    /// Returns the ports of the Sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|(_, port)| *port).collect()
    }

    /// Returns the server that was primary at the start.
    pub fn primary(&mut self) -> &mut Redis {
        &mut self.primary
    }

    /// Returns the server that was replica at the start.
    pub fn replica(&mut self) -> &mut Redis {
        &mut self.replica
    }

    /// Makes the replica primary, and waits until it is.
    ///
    /// # Panics
    ///
    /// If it does not become primary.
    pub fn fail_over(&mut self) {
        Client::connect(self.sentinels[0].1).run(&["SENTINEL", "FAILOVER", Sentinels::MASTER]);
        self.wait_for_new_primary();
    }

    /// Waits until the server that was replica is primary, also by the account of all Sentinels.
    ///
    /// # Panics
    ///
    /// If it does not become primary.
    pub fn wait_for_new_primary(&self) {
        let port = self.replica.port().to_string();
        // A server closes its connections when its role changes.
        let is_primary = || {
            let role = self.replica.client().exchange(&["ROLE"]);
            role.is_ok_and(|role| matches!(&role, Reply::List(parts) if parts[0] == Reply::Text("master".to_owned())))
        };
        until(is_primary, || self.sentinels[0].0.log());
        for (server, sentinel) in &self.sentinels {
            let mut client = Client::connect(*sentinel);
            let is_told = || {
                let address = client.run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::MASTER]);
                matches!(&address, Reply::List(parts) if parts.get(1) == Some(&Reply::Text(port.clone())))
            };
            until(is_told, || server.log());
        }
    }
}

/// Returns the value behind a name in a list of names and values.
fn field(list: &Reply, name: &str) -> String {
    let Reply::List(parts) = list else { return String::new() };
    let found = parts.chunks(2).find(|pair| pair[0] == Reply::Text(name.to_owned()));
    found.map_or(String::new(), |pair| pair[1].words())
}

fn start_sentinel(master: u16) -> (Server, u16) {
    for _ in 0..5 {
        let port = free_port();
        let arguments = |folder: &Path| {
            let name = Sentinels::MASTER;
            let lines = [
                format!("port {port}"),
                "bind 127.0.0.1".to_owned(),
                format!("sentinel monitor {name} 127.0.0.1 {master} 2"),
                format!("sentinel down-after-milliseconds {name} 1000"),
                format!("sentinel failover-timeout {name} 3000"),
            ];
            let file = folder.join("sentinel.conf");
            std::fs::write(&file, lines.join("\n") + "\n").expect("the folder can be written");
            vec![file.display().to_string(), "--sentinel".to_owned()]
        };
        match Server::start(format!("Sentinel on port {port}"), crate::redis::sentinel(), "+monitor", arguments) {
            Ok(server) => return (server, port),
            Err(text) if text.contains("Address already in use") => {}
            Err(text) => panic!("{text}"),
        }
    }
    panic!("no port is free");
}

/// Waits until something holds that servers tell each other.
fn until(mut holds: impl FnMut() -> bool, log: impl Fn() -> String) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(50));
    }
    panic!("not in time\n{}", log());
}
