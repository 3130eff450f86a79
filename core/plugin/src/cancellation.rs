use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Informs a blocking operation that its caller has given it up: its time was over, or its future was dropped.
///
/// Nothing can end what a thread is in the middle of, so a store that was given up could come to its end at any time:
/// after a removal that was acknowledged, for example. A backend that declares
/// [`cancellation`](crate::Capabilities::cancellation) therefore checks
/// [`StoreOptions::cancelled`](crate::StoreOptions::cancelled) under the lock that every store and removal takes,
/// before it changes anything. What is given up later is over before another removal can begin.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::CancellationToken;
///
/// let token = CancellationToken::new();
/// let of_the_thread = token.clone();
/// token.cancel();
/// assert!(of_the_thread.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancellationToken(Arc<AtomicBool>);

impl CancellationToken {
    /// Makes a token of an operation that somebody waits for.
    pub fn new() -> CancellationToken {
        CancellationToken::default()
    }

    /// Cancels the operation for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the caller has stopped waiting.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
