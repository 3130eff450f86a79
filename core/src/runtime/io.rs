use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::{Inside, caught};
use crate::{Error, ErrorKind, Result};

/// The instance's own runtime: connections, timers and background work of byte backends live on its one worker.
///
/// It starts with the first operation on a byte backend. Callers poll operations from whatever executor they are on;
/// only the reactor is ours, so an instance outlives the runtime that first used it.
#[derive(Debug, Default)]
pub(crate) struct Io {
    runtime: OnceLock<Option<Runtime>>,
}

impl Io {
    fn handle(&self) -> Result<Handle> {
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

    /// Runs an operation for at most `limit`, polled where the caller is.
    pub(crate) async fn within<T>(&self, limit: Duration, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let handle = self.handle()?;
        let operation = async { caught("the backend", operation).await? };
        if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
            // The thread is ending and has lost what tokio's timers need in it.
            return operation.await;
        }
        let enter = || handle.enter();
        let timed = {
            let _entered = enter();
            tokio::time::timeout(limit, operation)
        };
        let timed = Inside::new(timed, enter).await;
        timed.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}"))))
    }

    /// Runs a task in the background, for as long as this runtime lives.
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

    /// Runs an operation that goes on when its caller stops waiting: after `limit`, or because it was dropped.
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
    Error::new(ErrorKind::Backend, "the operation did not end").source(error)
}

impl Drop for Io {
    fn drop(&mut self) {
        // An instance may end inside a caller's runtime, where waiting for this one is forbidden.
        if let Some(Some(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
