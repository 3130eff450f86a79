//! A connection. This module alone uses the redis crate.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::select;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use retainit_plugin::ErrorKind;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::Problem;
use crate::stream::{Heard, Stream};

pub(crate) use redis::{Arg as Argument, Cmd as Command, RedisError as ClientError, Value as Reply};

/// Returns an empty command of that name.
pub(crate) fn command(name: &str) -> Command {
    redis::cmd(name)
}

/// Returns the digest by which a server finds a script.
pub(crate) fn digest(code: &str) -> String {
    redis::Script::new(code).get_hash().to_owned()
}

/// Bound on what waits for answers, of one connection.
///
/// What was sent waits for its answer also when its caller does not: a server that does not answer must not cost memory
/// without end, nor have to execute what nobody waits for.
#[derive(Debug)]
struct Window {
    most: usize,
    waiting: AtomicUsize,
}

impl Window {
    fn enter(self: &Arc<Window>) -> Result<Permit, Problem> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let text = format!("{} commands wait for an answer of this connection already", self.most);
            return Err(Problem::new(ErrorKind::Refused, text).field("max_in_flight"));
        }
        Ok(Permit(Arc::clone(self)))
    }
}

#[derive(Debug)]
struct Permit(Arc<Window>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection that any number of callers use at once.
#[derive(Debug)]
pub(crate) struct Connection {
    line: MultiplexedConnection,
    window: Arc<Window>,
    is_open: Arc<AtomicBool>,
    driver: AbortHandle,
    runtime: Handle,
}

impl Connection {
    /// Speaks Redis' protocol over a stream, driven by a task of the current runtime.
    ///
    /// The connection ends when nothing came from the server for `silence` while something waited for it.
    pub(crate) async fn open(stream: Stream, max_in_flight: usize, silence: Duration) -> Result<Connection, Problem> {
        let window = Arc::new(Window { most: max_in_flight, waiting: AtomicUsize::new(0) });
        let (stream, heard) = Heard::new(stream);
        // Whoever waits has a limit of its own; that of the client would end the wait and keep the connection.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        // What a connection begins with is said by `dial`, which knows what answers mean.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name().set_protocol(ProtocolVersion::RESP2);
        let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (line, driver) = opened.map_err(|error| Problem::lost(&error))?;
        let is_open = Arc::new(AtomicBool::new(true));
        let runtime = Handle::current();
        let (still_open, watched) = (Arc::clone(&is_open), Arc::clone(&window));
        let task = runtime.spawn(async move {
            select(pin!(driver), pin!(silent(&heard, &watched, silence))).await;
            still_open.store(false, Ordering::Release);
        });
        Ok(Connection { line, window, is_open, driver: task.abort_handle(), runtime })
    }

    /// Returns whether it can be used. One whose runtime has ended cannot.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire) && !self.driver.is_finished()
    }

    /// Sends a command and waits for its reply; an error that the server answers is one.
    pub(crate) async fn send(&self, command: &Arc<Command>) -> Result<Reply, Problem> {
        let (mut line, command) = (self.line.clone(), Arc::clone(command));
        self.wait(async move { line.send_packed_command(&command).await }).await
    }

    /// Sends a command that a node of a cluster executes for a slot which is on its way to it.
    pub(crate) async fn send_asking(&self, command: &Arc<Command>) -> Result<Reply, Problem> {
        let (mut line, mut both) = (self.line.clone(), redis::pipe());
        both.cmd("ASKING").add_command(Command::clone(command));
        let sent = async move { line.send_packed_commands(&both, 1, 1).await };
        self.wait(async move { sent.await.map(|mut replies| replies.pop().unwrap_or(Reply::Nil)) }).await
    }

    async fn wait(
        &self,
        reply: impl Future<Output = Result<Reply, ClientError>> + Send + 'static,
    ) -> Result<Reply, Problem> {
        let permit = self.window.enter()?;
        let waiting = Waiting { reply: Some((Box::pin(reply), permit)), was_polled: false, runtime: &self.runtime };
        waiting.await.map_err(|error| Problem::lost(&error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Waits until nothing came from the server for `silence` while something waited.
async fn silent(heard: &Heard, window: &Window, silence: Duration) {
    /// So many looks in a row have to find nothing new; what waits may have begun just before the first.
    const LOOKS: u32 = 4;
    let (mut before, mut in_vain) = (heard.count(), 0);
    while in_vain <= LOOKS {
        tokio::time::sleep(silence / LOOKS).await;
        let now = heard.count();
        let is_silent = now == before && window.waiting.load(Ordering::Relaxed) > 0;
        (before, in_vain) = (now, if is_silent { in_vain + 1 } else { 0 });
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply, ClientError>> + Send>>;

/// A reply that is waited for. What was sent keeps its place in the window until the server has answered it, also when
/// the caller has gone.
struct Waiting<'a> {
    reply: Option<(Answer, Permit)>,
    was_polled: bool,
    runtime: &'a Handle,
}

impl Future for Waiting<'_> {
    type Output = Result<Reply, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.was_polled = true;
        let Some((answer, _)) = &mut self.reply else { return Poll::Pending };
        let polled = answer.as_mut().poll(context);
        if polled.is_ready() {
            self.reply = None;
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // What was never polled was not sent.
        if let Some((answer, permit)) = self.reply.take().filter(|_| self.was_polled) {
            self.runtime.spawn(async move {
                drop(answer.await);
                drop(permit);
            });
        }
    }
}
