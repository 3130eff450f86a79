use std::future::Future;
use std::pin::Pin;

use crate::runtime::block_on;

/// Whether the caller is a future or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Sync,
    Async,
}

impl Face {
    /// Does a part that only byte stores need, in room of its own: loads in memory, which nest, do not carry it. A
    /// thread has the room on its stack, for no longer than that part takes.
    pub(super) async fn apart<F: Future>(self, part: impl FnOnce() -> F) -> F::Output {
        match self {
            Face::Sync => wait_for(part),
            Face::Async => boxed(part).await,
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
