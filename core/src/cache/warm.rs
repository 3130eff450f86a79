use std::fmt;
use std::sync::Mutex;

use crate::engine::Outcome;
use crate::rt::{How, Reload, ReloadSync};
use crate::runtime::{caught, gather};

/// How to warm.
///
/// ```
/// use retainit_core::Warm;
///
/// let warm = Warm::new().concurrency(8).progress(|p| println!("{} of {}", p.done, p.total));
/// # let _ = warm;
/// ```
#[must_use]
pub struct Warm {
    concurrency: usize,
    progress: Option<Box<dyn FnMut(Progress) + Send>>,
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
    /// Sixteen at once, in silence.
    pub fn new() -> Warm {
        Warm::default()
    }

    /// How many run at once, at least one. Default: 16.
    pub fn concurrency(mut self, concurrency: usize) -> Warm {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Hears of every call that is done.
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Warm {
        self.progress = Some(Box::new(progress));
        self
    }
}

/// How far a warming is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Calls that are done.
    pub done: u64,
    /// All calls.
    pub total: u64,
}

/// What a warming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// The function ran and its result was stored.
    pub loaded: u64,
    /// It was there already.
    pub present: u64,
    /// The function failed, or returned what is not stored.
    pub failed: u64,
}

/// Counts outcomes and tells the progress.
struct Tally {
    warm: Warm,
    progress: Progress,
    warmed: Warmed,
}

impl Tally {
    fn new(warm: Warm, total: usize) -> Tally {
        Tally { warm, progress: Progress { done: 0, total: total as u64 }, warmed: Warmed::default() }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Loaded => self.warmed.loaded += 1,
            Outcome::Present => self.warmed.present += 1,
            Outcome::Failed => self.warmed.failed += 1,
        }
        self.progress.done += 1;
        if let Some(progress) = &mut self.warm.progress {
            progress(self.progress);
        }
    }
}

pub(crate) async fn warm<F: Reload>(args: impl IntoIterator<Item = F::Args>, warm: Warm) -> Warmed {
    let args: Vec<_> = args.into_iter().collect();
    let (limit, mut tally) = (warm.concurrency, Tally::new(warm, args.len()));
    // A panic of one call is its failure, not the warming's.
    let calls = args.into_iter().map(|args| async move {
        caught(async move { F::reload(args, How::Warm).await.outcome }).await.unwrap_or(Outcome::Failed)
    });
    gather(calls, limit, |outcome| tally.note(*outcome)).await;
    tally.warmed
}

/// Sync functions run on threads of their own, which inherit the overrides of the caller.
pub(crate) fn warm_sync<F: ReloadSync>(args: impl IntoIterator<Item = F::Args>, warm: Warm) -> Warmed
where
    F::Args: Send,
{
    let args: Vec<_> = args.into_iter().collect();
    let (threads, total) = (warm.concurrency.min(args.len()), args.len());
    let (queue, tally) = (Mutex::new(args.into_iter()), Mutex::new(Tally::new(warm, total)));
    let scope = crate::overrides::current();
    let next = || queue.lock().unwrap_or_else(|e| e.into_inner()).next();
    let work = || {
        crate::overrides::inherit(scope.clone(), || {
            while let Some(args) = next() {
                let run = std::panic::AssertUnwindSafe(|| F::reload(args, How::Warm).outcome);
                let outcome = std::panic::catch_unwind(run).unwrap_or(Outcome::Failed);
                tally.lock().unwrap_or_else(|e| e.into_inner()).note(outcome);
            }
        });
    };
    if threads <= 1 {
        work();
    } else {
        std::thread::scope(|threads_scope| (0..threads).for_each(|_| drop(threads_scope.spawn(work))));
    }
    tally.into_inner().unwrap_or_else(|e| e.into_inner()).warmed
}
