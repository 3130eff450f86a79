use std::fmt;
use std::sync::Mutex;

use retainit_plugin::ErrorKind;

use retainit_plugin::caught;

use crate::call::{Reload, ReloadSync};
use crate::engine::How;
use crate::engine::Outcome;
use crate::overrides::Carried;
use crate::runtime::{self, gather};

/// Configures warming: how many calls run at once, and who receives the progress.
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::Warm;
///
/// let warm = Warm::new().concurrency(8).progress(|p| println!("{} of {}", p.done, p.total));
/// # let _ = warm;
/// ```
#[must_use]
pub struct Warm {
    concurrency: usize,
    progress: Option<Box<dyn FnMut(WarmProgress) + Send>>,
}

impl Default for Warm {
    fn default() -> Self {
        Warm { concurrency: 16, progress: None }
    }
}

impl fmt::Debug for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warm").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl Warm {
    /// Returns the default: sixteen calls at once, and no progress callback.
    pub fn new() -> Warm {
        Warm::default()
    }

    /// Sets how many calls run at once, at least one. Default: 16.
    pub fn concurrency(mut self, concurrency: usize) -> Warm {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Sets a callback that is called after each call. Once it has panicked it is not called again.
    pub fn progress(mut self, progress: impl FnMut(WarmProgress) + Send + 'static) -> Warm {
        self.progress = Some(Box::new(progress));
        self
    }
}

/// Progress of a warming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmProgress {
    /// Number of calls that are done.
    pub done: u64,
    /// Number of all calls.
    pub total: u64,
}

/// Outcome of a warming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Number of calls whose function ran and whose result was stored.
    pub loaded: u64,
    /// Number of calls whose result was cached already.
    pub present: u64,
    /// Number of calls whose function failed, or whose result was not stored.
    pub failed: u64,
}

/// Counts outcomes and reports the progress.
struct Tally {
    warm: Warm,
    progress: WarmProgress,
    warmed: Warmed,
}

impl Tally {
    fn new(warm: Warm, total: usize) -> Tally {
        Tally { warm, progress: WarmProgress { done: 0, total: total as u64 }, warmed: Warmed::default() }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Loaded => self.warmed.loaded += 1,
            Outcome::Present => self.warmed.present += 1,
            Outcome::Failed => self.warmed.failed += 1,
        }
        self.progress.done += 1;
        if let Some(progress) = &mut self.warm.progress
            && caught(ErrorKind::Config, "the callback", || progress(self.progress)).is_err()
        {
            self.warm.progress = None;
        }
    }
}

pub(crate) async fn warm<F: Reload>(args: impl IntoIterator<Item = F::Args>, warm: Warm) -> Warmed {
    let args: Vec<_> = args.into_iter().collect();
    let (limit, mut tally) = (warm.concurrency, Tally::new(warm, args.len()));
    // A panic of one call counts as its failure; the other calls go on.
    let calls = args.into_iter().map(|args| async move {
        let call = async move { F::reload(args, How::Warm).await.outcome };
        runtime::caught("the function", call).await.unwrap_or(Outcome::Failed)
    });
    gather(calls, limit, |outcome| tally.note(*outcome)).await;
    tally.warmed
}

/// Warms a sync function on threads of their own. They inherit the caller's overrides and its loads, so that a call
/// that needs a load of the caller's runs inline instead of waiting for it.
pub(crate) fn warm_sync<F: ReloadSync>(args: impl IntoIterator<Item = F::Args>, warm: Warm) -> Warmed
where
    F::Args: Send,
{
    let args: Vec<_> = args.into_iter().collect();
    let (wanted, total) = (warm.concurrency.min(args.len()), args.len());
    let (queue, tally) = (Mutex::new(args.into_iter()), Mutex::new(Tally::new(warm, total)));
    let next = || queue.lock().unwrap_or_else(|e| e.into_inner()).next();
    let work = || {
        while let Some(args) = next() {
            let outcome = caught(ErrorKind::Backend, "the function", || F::reload(args, How::Warm).outcome);
            let outcome = outcome.unwrap_or(Outcome::Failed);
            tally.lock().unwrap_or_else(|e| e.into_inner()).note(outcome);
        }
    };
    let carried = Carried::here();
    let on_thread = || {
        let _here = carried.enter();
        work();
    };
    std::thread::scope(|scope| {
        let start = |_: &usize| std::thread::Builder::new().name("retainit-warm".into()).spawn_scoped(scope, on_thread);
        let started = (0..wanted).filter(|_| wanted > 1).take_while(|at| start(at).is_ok()).count();
        if started == 0 {
            // Runs on the caller's thread with a concurrency of one, and where the system has no thread left.
            work();
        }
    });
    tally.into_inner().unwrap_or_else(|e| e.into_inner()).warmed
}
