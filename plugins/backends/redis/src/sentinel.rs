use std::sync::Arc;

use futures_util::future::{FutureExt, select_ok};
use retainit_plugin::lock::RwLock;

use crate::address::Address;
use crate::attempt::Attempt;
use crate::client::{Reply, command};
use crate::dial::{dial_sentinel, error_of, text};
use crate::error::Problem;
use crate::node::Node;
use crate::options::{Credentials, Options, Servers};

/// The primary that Sentinels name, asked for again whenever it is lost or takes no writes.
#[derive(Debug)]
pub(crate) struct Primary {
    current: Arc<RwLock<Option<Arc<Node>>>>,
    looking: Attempt<Arc<Node>>,
}

impl Primary {
    pub(crate) fn new(_options: &Options) -> Primary {
        Primary { current: Arc::default(), looking: Attempt::default() }
    }

    /// Returns the primary.
    pub(crate) async fn node(&self, options: &Arc<Options>) -> Result<Arc<Node>, Problem> {
        if let Some(node) = &*self.current.read() {
            return Ok(Arc::clone(node));
        }
        self.looking
            .join(|| {
                let (options, current) = (Arc::clone(options), Arc::clone(&self.current));
                async move {
                    let address = ask_all(&options).await?;
                    let node = Arc::new(Node::new(&options, address));
                    *current.write() = Some(Arc::clone(&node));
                    Ok(node)
                }
            })
            .await
    }

    /// Forgets a primary that is none any more, so that the next call asks.
    pub(crate) fn forget(&self, node: &Arc<Node>) {
        let mut current = self.current.write();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, node)) {
            *current = None;
        }
    }

    pub(crate) fn close(&self) {
        self.looking.abort();
        if let Some(node) = self.current.write().take() {
            node.close();
        }
    }
}

/// Asks all Sentinels at once; the first that knows the primary decides.
async fn ask_all(options: &Arc<Options>) -> Result<Address, Problem> {
    let Servers::Sentinels { sentinels, master, credentials } = &options.servers else {
        return Err(Problem::unreachable("no Sentinels are configured").field("sentinels"));
    };
    let asked = sentinels.iter().map(|sentinel| ask(options, sentinel, master, credentials).boxed());
    select_ok(asked).await.map(|(address, _)| address)
}

async fn ask(
    options: &Options,
    sentinel: &Address,
    master: &str,
    credentials: &Credentials,
) -> Result<Address, Problem> {
    let connection = dial_sentinel(options, sentinel, credentials).await?;
    let mut ask = command("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let reply = tokio::time::timeout(options.connect_timeout, connection.send(&Arc::new(ask))).await;
    let reply = reply.map_err(|_| Problem::unreachable("the Sentinel did not answer").at(sentinel))??;
    if let Some((code, details)) = error_of(&reply) {
        return Err(Problem::answered(code, details, &[]).at(sentinel));
    }
    let unknown = || {
        let text = format!("the Sentinel watches no primary called `{master}`: `SENTINEL MASTERS` lists those it does");
        Problem::unreachable(text).field("master_name").at(sentinel)
    };
    let Reply::Array(parts) = &reply else { return Err(unknown()) };
    let (Some(host), Some(port)) = (parts.first().and_then(text), parts.get(1).and_then(text)) else {
        return Err(unknown());
    };
    let port = port.parse().map_err(|_| Problem::unreachable(format!("the Sentinel named the port {port:?}")))?;
    Ok(Address::Tcp { host, port })
}
