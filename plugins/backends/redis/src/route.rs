//! Finds the server that a key is on, and follows the answers that say it is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retainit_plugin::ErrorKind;

use crate::client::{Command, Reply};
use crate::cluster::Cluster;
use crate::dial::error_of;
use crate::error::Problem;
use crate::line::Open;
use crate::node::{LargeValues, Node};
use crate::options::{Options, Servers};
use crate::script::Script;
use crate::sentinel::Primary;

/// A call is sent so often at most: each time but the last an answer named another server or wanted the whole script.
const SENDS: usize = 6;

/// A command about one key, or about keys that share a slot with it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) key: &'a str,
    command: Arc<Command>,
    script: Option<&'static Script>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(key: &'a str, command: Command) -> Call<'a> {
        Call { key, command: Arc::new(command), script: None }
    }

    /// Runs a script.
    pub(crate) fn script(key: &'a str, script: &'static Script, command: Command) -> Call<'a> {
        Call { key, command: Arc::new(command), script: Some(script) }
    }
}

/// The servers, and the connections to them.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) options: Arc<Options>,
    way: Way,
    pub(crate) large: LargeValues,
    is_closed: AtomicBool,
}

#[derive(Debug)]
enum Way {
    One(Arc<Node>),
    Sentinels(Primary),
    Cluster(Cluster),
}

impl Router {
    pub(crate) fn new(options: Options) -> Router {
        let options = Arc::new(options);
        let way = match &options.servers {
            Servers::One(address) => Way::One(Arc::new(Node::new(&options, address.clone()))),
            Servers::Sentinels { .. } => Way::Sentinels(Primary::new(&options)),
            Servers::Cluster(_) => Way::Cluster(Cluster::new(&options)),
        };
        Router { options, way, large: LargeValues::default(), is_closed: AtomicBool::new(false) }
    }

    /// Sends a call to the server of its key and returns its reply, which is no error.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let node = self.node(call.key).await?;
        self.call_at(node, call).await
    }

    /// Sends a call to a server; where that is not the one of the key, to the one that it names.
    pub(crate) async fn call_at(&self, mut node: Arc<Node>, call: &Call<'_>) -> Result<Reply, Problem> {
        let (mut command, mut is_asking) = (Arc::clone(&call.command), false);
        for _ in 0..SENDS {
            let open = self.opened(&node, call.key).await?;
            let sent = match is_asking {
                false => open.connection.send(&command).await,
                true => open.connection.send_asking(&command).await,
            };
            is_asking = false;
            let reply = sent.map_err(|problem| self.failed(&node, problem))?;
            let Some((code, details)) = error_of(&reply) else { return Ok(reply) };
            match (code, call.script, &self.way) {
                // Its scripts were flushed, or it was restarted.
                ("NOSCRIPT", Some(script), _) => command = script.whole(&command),
                ("MOVED", _, Way::Cluster(cluster)) => node = cluster.moved(&node, details)?,
                ("ASK", _, Way::Cluster(cluster)) => {
                    node = cluster.asked(&node, details)?;
                    is_asking = true;
                }
                _ => {
                    let commands = call.script.map_or(&[][..], |script| script.commands);
                    return Err(self.failed(&node, Problem::answered(code, details, commands)));
                }
            }
        }
        Err(Problem::new(ErrorKind::Refused, "the nodes of the cluster send this key from one to the other"))
    }

    /// Returns the connection for a key.
    pub(crate) async fn open(&self, key: &str) -> Result<Arc<Open>, Problem> {
        let node = self.node(key).await?;
        self.opened(&node, key).await
    }

    async fn opened(&self, node: &Arc<Node>, key: &str) -> Result<Arc<Open>, Problem> {
        node.open(&self.options, &self.large, key).await.map_err(|problem| self.failed(node, problem))
    }

    fn check_open(&self) -> Result<(), Problem> {
        match self.is_closed.load(Ordering::Relaxed) {
            true => Err(Problem::new(ErrorKind::Closed, "the backend was closed")),
            false => Ok(()),
        }
    }

    async fn node(&self, key: &str) -> Result<Arc<Node>, Problem> {
        self.check_open()?;
        match &self.way {
            Way::One(node) => Ok(Arc::clone(node)),
            Way::Sentinels(primary) => primary.node(&self.options).await,
            Way::Cluster(cluster) => cluster.node(&self.options, key).await,
        }
    }

    /// Returns all servers that keys are on, in the order of their addresses.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Problem> {
        self.check_open()?;
        match &self.way {
            Way::Cluster(cluster) => cluster.primaries(&self.options).await,
            _ => Ok(vec![self.node("").await?]),
        }
    }

    /// Draws the consequences of a failure: a server that is gone, or not primary any more, is looked for elsewhere.
    fn failed(&self, node: &Arc<Node>, problem: Problem) -> Problem {
        if problem.is_unreachable() || problem.is_read_only() {
            match &self.way {
                // Its name may lead to another machine by now.
                Way::One(node) if problem.is_read_only() => node.close(),
                Way::One(_) => {}
                Way::Sentinels(primary) => primary.forget(node),
                Way::Cluster(cluster) => cluster.look_again(&self.options),
            }
        }
        problem.at(&node.address)
    }

    /// Ends all connections; calls after it fail.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        match &self.way {
            Way::One(node) => node.close(),
            Way::Sentinels(primary) => primary.close(),
            Way::Cluster(cluster) => cluster.close(),
        }
    }
}
