use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{FutureExt, select_ok};
use retainit_plugin::lock::RwLock;

use crate::address::Address;
use crate::attempt::Attempt;
use crate::client::{Reply, command};
use crate::dial::{error_of, text};
use crate::error::Problem;
use crate::node::{LargeValues, Node};
use crate::options::{Options, Servers};
use crate::slot::{SLOTS, slot_of};

/// The nodes of a cluster and the slots they serve.
#[derive(Debug)]
pub(crate) struct Cluster {
    map: Arc<RwLock<Map>>,
    looking: Attempt<()>,
    options: Arc<Options>,
}

#[derive(Debug, Default)]
struct Map {
    /// The primary of each slot; empty before the first look.
    owners: Vec<Option<Arc<Node>>>,
    nodes: BTreeMap<Address, Arc<Node>>,
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.owners.get(usize::from(slot)).cloned().flatten()
    }

    fn node(&mut self, options: &Options, address: Address) -> Arc<Node> {
        let node = || Arc::new(Node::new(options, address.clone()));
        Arc::clone(self.nodes.entry(address.clone()).or_insert_with(node))
    }

    /// Takes over what a node says of all slots. Connections to nodes that are primaries still are kept.
    fn replace(&mut self, options: &Options, ranges: Vec<(u16, u16, Address)>) {
        let mut owners = vec![None; usize::from(SLOTS)];
        let mut used = BTreeMap::new();
        for (first, last, address) in ranges {
            let node = self.node(options, address.clone());
            owners[usize::from(first)..=usize::from(last)].fill(Some(Arc::clone(&node)));
            used.insert(address, node);
        }
        (self.owners, self.nodes) = (owners, used);
    }
}

impl Cluster {
    pub(crate) fn new(options: &Arc<Options>) -> Cluster {
        Cluster { map: Arc::default(), looking: Attempt::default(), options: Arc::clone(options) }
    }

    /// Returns the primary of a key's slot.
    pub(crate) async fn node(&self, options: &Arc<Options>, key: &str) -> Result<Arc<Node>, Problem> {
        let slot = slot_of(key);
        if let Some(node) = self.map.read().owner(slot) {
            return Ok(node);
        }
        self.look(options).await?;
        let unserved = || {
            let text = format!("no node of the cluster serves the slot {slot}");
            Problem::new(retainit_plugin::ErrorKind::Refused, text)
        };
        self.map.read().owner(slot).ok_or_else(unserved)
    }

    /// Returns all primaries, in the order of their addresses.
    pub(crate) async fn primaries(&self, options: &Arc<Options>) -> Result<Vec<Arc<Node>>, Problem> {
        if self.map.read().owners.is_empty() {
            self.look(options).await?;
        }
        Ok(self.map.read().nodes.values().cloned().collect())
    }

    async fn look(&self, options: &Arc<Options>) -> Result<(), Problem> {
        self.looking.join(|| look(Arc::clone(options), Arc::clone(&self.map))).await
    }

    /// Asks again which node serves what, beside the callers.
    pub(crate) fn look_again(&self, options: &Arc<Options>) {
        // Without a runtime there is no connection either: the next call that has one looks.
        drop(self.looking.start(|| look(Arc::clone(options), Arc::clone(&self.map))));
    }

    /// Follows a slot to the node that serves it from now on: `3999 127.0.0.1:6381`.
    pub(crate) fn moved(&self, from: &Node, details: &str) -> Result<Arc<Node>, Problem> {
        let (slot, address) = redirection(from, details)?;
        let node = {
            let mut map = self.map.write();
            let node = map.node(&self.options, address);
            if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
                *owner = Some(Arc::clone(&node));
            }
            node
        };
        // One slot that has moved is seldom the only one.
        self.look_again(&self.options);
        Ok(node)
    }

    /// Returns the node that a slot is moving to, for one command.
    pub(crate) fn asked(&self, from: &Node, details: &str) -> Result<Arc<Node>, Problem> {
        let (_, address) = redirection(from, details)?;
        Ok(self.map.write().node(&self.options, address))
    }

    pub(crate) fn close(&self) {
        self.looking.abort();
        let mut map = self.map.write();
        map.nodes.values().for_each(|node| node.close());
        *map = Map::default();
    }
}

fn redirection(from: &Node, details: &str) -> Result<(u16, Address), Problem> {
    let strange = || Problem::unreachable(format!("the cluster sends a key to `{details}`"));
    let (slot, address) = details.split_once(' ').ok_or_else(strange)?;
    // A node that does not know its own name means that which we have for it.
    let address = match (address.strip_prefix(':'), &*from.address) {
        (Some(port), Address::Tcp { host, .. }) => format!("{host}:{port}"),
        _ => address.to_owned(),
    };
    let slot = slot.parse().ok().filter(|slot| *slot < SLOTS).ok_or_else(strange)?;
    Ok((slot, Address::parse(&address, 6379).map_err(|_| strange())?))
}

/// Asks all nodes that are known at once; the first that answers decides.
async fn look(options: Arc<Options>, map: Arc<RwLock<Map>>) -> Result<(), Problem> {
    let Servers::Cluster(seeds) = &options.servers else { return Ok(()) };
    let mut nodes: Vec<Arc<Node>> = map.read().nodes.values().cloned().collect();
    for seed in seeds {
        if !nodes.iter().any(|node| *node.address == *seed) {
            nodes.push(Arc::new(Node::new(&options, seed.clone())));
        }
    }
    let asked = nodes.iter().map(|node| ask(&options, node).boxed());
    let (ranges, _) = select_ok(asked).await?;
    map.write().replace(&options, ranges);
    Ok(())
}

async fn ask(options: &Arc<Options>, node: &Node) -> Result<Vec<(u16, u16, Address)>, Problem> {
    let open = node.open(options, &LargeValues::default(), "").await?;
    let mut slots = command("CLUSTER");
    slots.arg("SLOTS");
    let reply = tokio::time::timeout(options.connect_timeout, open.connection.send(&Arc::new(slots))).await;
    let reply = reply.map_err(|_| Problem::unreachable("the node did not answer").at(&node.address))??;
    if let Some((code, details)) = error_of(&reply) {
        return Err(Problem::answered(code, details, &["cluster|slots"]).at(&node.address));
    }
    let ranges = ranges(&node.address, &reply).filter(|ranges| !ranges.is_empty());
    ranges.ok_or_else(|| Problem::unreachable("the node serves no slots and knows none that does").at(&node.address))
}

/// Reads the answer to `CLUSTER SLOTS`: for each range its first and last slot, its primary, its replicas.
fn ranges(asked: &Address, reply: &Reply) -> Option<Vec<(u16, u16, Address)>> {
    let Reply::Array(ranges) = reply else { return None };
    let one = |range: &Reply| {
        let Reply::Array(range) = range else { return None };
        let [Reply::Int(first), Reply::Int(last), Reply::Array(primary), ..] = range.as_slice() else { return None };
        let Some(Reply::Int(port)) = primary.get(1) else { return None };
        let host = primary.first().and_then(text).filter(|host| !host.is_empty() && host != "?");
        let host = match (host, asked) {
            (Some(host), _) => host,
            (None, Address::Tcp { host, .. }) => host.clone(),
            (None, Address::Unix(_)) => return None,
        };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        let address = Address::Tcp { host, port: u16::try_from(*port).ok()? };
        (first <= last && last < SLOTS).then_some((first, last, address))
    };
    ranges.iter().map(one).collect()
}
