use std::sync::Arc;

use retainit_plugin::lock::RwLock;

use crate::address::Address;
use crate::attempt::Attempt;
use crate::client::Connection;
use crate::dial::{Greeting, dial};
use crate::error::Problem;
use crate::options::Options;

/// A place for one connection to a server: opened by the first call that needs it, opened anew after it was lost.
#[derive(Debug, Default)]
pub(crate) struct Line {
    current: Arc<RwLock<Option<Arc<Open>>>>,
    opening: Attempt<Arc<Open>>,
}

/// An open connection, and what the server said of itself.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) connection: Connection,
    pub(crate) greeting: Greeting,
}

impl Line {
    /// Returns the connection, which is opened if there is none.
    ///
    /// Opening goes on when its caller gives up, so that calls with little patience get a connection after all.
    pub(crate) async fn open(&self, options: &Arc<Options>, address: &Arc<Address>) -> Result<Arc<Open>, Problem> {
        if let Some(open) = &*self.current.read()
            && open.connection.is_open()
        {
            return Ok(Arc::clone(open));
        }
        self.opening
            .join(|| {
                let (options, address, current) = (Arc::clone(options), Arc::clone(address), Arc::clone(&self.current));
                async move {
                    // Somebody may have opened it between the look and the attempt.
                    let found = current.read().as_ref().filter(|open| open.connection.is_open()).map(Arc::clone);
                    if let Some(open) = found {
                        return Ok(open);
                    }
                    let (connection, greeting) = dial(&options, &address).await?;
                    let open = Arc::new(Open { connection, greeting });
                    *current.write() = Some(Arc::clone(&open));
                    Ok(open)
                }
            })
            .await
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.opening.abort();
        *self.current.write() = None;
    }
}
