use std::future::Future;

use retainit_plugin::lock::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::error::Problem;

/// Work that several callers wait for and none of them drives: it goes on when one gives up, and is done once for all.
#[derive(Debug)]
pub(crate) struct Attempt<T> {
    running: Mutex<Option<Running<T>>>,
}

type Outcome<T> = Option<Result<T, Problem>>;

#[derive(Debug)]
struct Running<T> {
    outcome: watch::Receiver<Outcome<T>>,
    task: AbortHandle,
}

impl<T> Default for Attempt<T> {
    fn default() -> Attempt<T> {
        Attempt { running: Mutex::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Attempt<T> {
    /// Waits for the work under way; begins it if there is none.
    pub(crate) async fn join<F>(&self, begin: impl FnOnce() -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let mut outcome = self.start(begin)?;
        let ended = outcome.wait_for(Option::is_some).await;
        let lost = || Problem::unreachable("the runtime of the connection has ended");
        ended.map_or_else(|_| Err(lost()), |outcome| outcome.clone().unwrap_or_else(|| Err(lost())))
    }

    /// Begins the work, unless it is under way.
    pub(crate) fn start<F>(&self, begin: impl FnOnce() -> F) -> Result<watch::Receiver<Outcome<T>>, Problem>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let mut running = self.running.lock();
        if let Some(running) = &*running {
            let has_outcome = running.outcome.borrow().is_some();
            // The task may have ended with its runtime, and tells nobody then.
            if !has_outcome && running.outcome.has_changed().is_ok() {
                return Ok(running.outcome.clone());
            }
        }
        let runtime = Handle::try_current().map_err(|_| Problem::unreachable("there is no runtime to connect on"))?;
        let (tell, outcome) = watch::channel(None);
        let work = begin();
        let task = runtime.spawn(async move {
            let result = work.await;
            tell.send_replace(Some(result));
        });
        *running = Some(Running { outcome: outcome.clone(), task: task.abort_handle() });
        Ok(outcome)
    }

    /// Stops the work under way.
    pub(crate) fn abort(&self) {
        if let Some(running) = self.running.lock().take() {
            running.task.abort();
        }
    }
}

impl<T> Drop for Attempt<T> {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut() {
            running.task.abort();
        }
    }
}
