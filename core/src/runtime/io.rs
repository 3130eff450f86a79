use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Process, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{Inside, caught};

/// Own runtime of an instance: connections, timers and background work of byte backends run on its one worker.
///
/// It starts with the first operation on a byte backend. Callers poll operations from any executor; only the reactor is
/// this runtime's, so an instance outlives the runtime that first used it.
#[derive(Debug)]
pub(crate) struct Io {
    runtime: OnceLock<Option<Runtime>>,
    /// Process whose threads the runtime has.
    process: Process,
}

impl Default for Io {
    fn default() -> Io {
        Io { runtime: OnceLock::new(), process: Process::current() }
    }
}

impl Io {
    fn handle(&self) -> Result<Handle> {
        if !self.process.is_current() {
            return Err(Error::new(ErrorKind::Closed, "the I/O runtime is of the process that forked this one"));
        }
        let runtime = self.runtime.get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(64)
                .thread_name("retainit-io")
                .enable_all()
                .build()
                .inspect_err(|error| tracing::error!(%error, "the I/O runtime could not be started"))
                .ok()
        });
        match runtime {
            Some(runtime) => Ok(runtime.handle().clone()),
            None => Err(Error::new(ErrorKind::Backend, "the I/O runtime could not be started")),
        }
    }

    /// Runs an operation for at most `limit`, polled on the caller's thread.
    pub(crate) async fn within<T>(&self, limit: Duration, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let handle = self.handle()?;
        let operation = async { caught("the backend", operation).await? };
        if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
            // The thread is ending and has lost the locals that tokio's timers need.
            return operation.await;
        }
        // Polled and dropped with this runtime entered: sockets and timers find the reactor in the thread's context.
        let enter = || handle.enter();
        let timed = {
            let _entered = enter();
            tokio::time::timeout(limit, operation)
        };
        let timed = Inside::new(timed, enter).await;
        timed.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}"))))
    }

    /// Spawns a background task, for as long as this runtime lives.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        self.handle()?.spawn(task);
        Ok(())
    }

    /// Runs a blocking operation on a thread of the pool.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.handle()?.spawn_blocking(operation).await.unwrap_or_else(|e| Err(broken(e)))
    }

    /// Runs an operation that continues after its caller has stopped waiting, because of `limit` or by being dropped.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        limit: Duration,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.handle()?.spawn(operation);
        let ended = async { task.await.unwrap_or_else(|e| Err(broken(e))) };
        self.within(limit, ended).await
    }
}

fn broken(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Backend, "the operation did not end").with_source(error)
}

impl Drop for Io {
    fn drop(&mut self) {
        // An instance may end inside a caller's runtime, where waiting for another is forbidden.
        if let Some(Some(runtime)) = self.runtime.take() {
            if !self.process.is_current() {
                // The threads are the parent's: a shutdown would wait for them in vain.
                return std::mem::forget(runtime);
            }
            runtime.shutdown_background();
        }
    }
}
