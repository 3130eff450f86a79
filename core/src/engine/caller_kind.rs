use std::future::Future;
use std::pin::Pin;

use crate::runtime::block_on;

/// Kind of a caller: a thread or a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerKind {
    Blocking,
    Async,
}

impl CallerKind {
    /// Runs a part that only byte stores need outside the caller's frame, so that nested loads in memory do not reserve
    /// room for it: a thread runs it in a frame of its own, a future boxes it.
    pub(super) async fn apart<F: Future>(self, part: impl FnOnce() -> F) -> F::Output {
        match self {
            CallerKind::Blocking => wait_for(part),
            CallerKind::Async => boxed(part).await,
        }
    }
}

#[inline(never)]
fn wait_for<F: Future>(part: impl FnOnce() -> F) -> F::Output {
    block_on(part())
}

#[inline(never)]
fn boxed<F: Future>(part: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(part())
}
