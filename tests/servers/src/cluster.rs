use std::thread::sleep;
use std::time::Duration;

use crate::port::free_port;
use crate::{Client, Redis, RedisOptions};

/// Number of slots of every cluster.
const SLOTS: usize = 16_384;

/// Attempts, a twentieth of a second apart, until a cluster has agreed on something.
const ATTEMPTS: usize = 600;

/// A cluster of three primaries with a replica each.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts six nodes and waits until all of them see a whole cluster.
    pub fn start() -> Cluster {
        Cluster::with(RedisOptions::default())
    }

    /// Starts six nodes with options.
    ///
    /// # Panics
    ///
    /// If the cluster is not whole after half a minute, with the logs of its nodes.
    pub fn with(options: RedisOptions) -> Cluster {
        let nodes: Vec<(Redis, u16)> = (0..6)
            .map(|_| {
                let bus = free_port();
                let options = options.clone().set(["cluster-enabled", "yes"]).set(["cluster-node-timeout", "2000"]);
                (options.set(["cluster-port", &bus.to_string()]).start(), bus)
            })
            .collect();
        let ids: Vec<String> = nodes.iter().map(|(node, _)| node.client().text(&["CLUSTER", "MYID"])).collect();
        for (number, (node, _)) in nodes.iter().enumerate() {
            let mut client = node.client();
            client.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            if number < 3 {
                let (first, last) = (SLOTS * number / 3, SLOTS * (number + 1) / 3 - 1);
                client.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            }
            let (first, bus) = &nodes[0];
            client.run(&["CLUSTER", "MEET", "127.0.0.1", &first.port().to_string(), &bus.to_string()]);
        }
        let cluster = Cluster { nodes: nodes.into_iter().map(|(node, _)| node).collect() };
        for (number, node) in cluster.nodes.iter().enumerate().skip(3) {
            let mut client = node.client();
            let primary = &ids[number - 3];
            cluster.until("a replica knows its primary", || client.text(&["CLUSTER", "NODES"]).contains(primary));
            client.run(&["CLUSTER", "REPLICATE", primary]);
        }
        cluster.wait_until_whole();
        cluster
    }

    fn wait_until_whole(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let mut client = node.client();
            self.until("all slots are served", || client.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
            self.until("all nodes are known", || {
                let nodes = client.text(&["CLUSTER", "NODES"]);
                nodes.lines().count() == 6 && nodes.matches("slave").count() == 3 && !nodes.contains("handshake")
            });
            if number >= 3 {
                self.until("a replica has its data", || client.info("master_link_status") == "up");
            }
        }
    }

    /// Waits until something holds that nodes tell each other by gossip.
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..ATTEMPTS {
            if holds() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let logs: Vec<String> = self.nodes.iter().map(Redis::log).collect();
        panic!("not in time: {what}\n{}", logs.join("\n----\n"));
    }

    /// Returns the nodes: three primaries, then their replicas in the same order, as it was at the start.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Returns a node to kill or start again.
    pub fn node(&mut self, number: usize) -> &mut Redis {
        &mut self.nodes[number]
    }

    /// Returns a connection to each node that is primary by its own account.
    pub fn primaries(&self) -> Vec<Client> {
        let clients = self.nodes.iter().map(Redis::client);
        clients.filter_map(|mut client| (client.info("role") == "master").then_some(client)).collect()
    }
}
