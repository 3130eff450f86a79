use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// Waker of a thread in [`block_on`]. It counts, because waits nest: an inner wait may take the unpark token that was
/// meant for an outer one.
struct Unpark {
    thread: Thread,
    wakes: AtomicU64,
}

impl Unpark {
    fn new() -> Arc<Unpark> {
        Arc::new(Unpark { thread: std::thread::current(), wakes: AtomicU64::new(0) })
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    static UNPARK: (Arc<Unpark>, Waker) = waker();
}

fn waker() -> (Arc<Unpark>, Waker) {
    let unpark = Unpark::new();
    (Arc::clone(&unpark), Waker::from(unpark))
}

/// Polls a future to its end on this thread.
///
/// It needs no runtime and works inside one: everything the future waits for (another caller, a timer, a connection)
/// makes progress on other threads than this one. In memory the first poll is the last.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    UNPARK
        .try_with(|unpark| drive(future.as_mut(), unpark))
        // The waker of a thread that is ending may be gone already.
        .unwrap_or_else(|_| drive(future.as_mut(), &waker()))
}

fn drive<F: Future>(mut future: Pin<&mut F>, (unpark, waker): &(Arc<Unpark>, Waker)) -> F::Output {
    let mut cx = Context::from_waker(waker);
    loop {
        // Read before the poll: a wake that comes during it changes the number, and the thread does not park.
        let seen = unpark.wakes.load(Ordering::Acquire);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        while unpark.wakes.load(Ordering::Acquire) == seen {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_during_an_inner_wait_reaches_the_outer_one() {
        let mut turn = 0;
        let done = block_on(std::future::poll_fn(|outer| {
            turn += 1;
            if turn == 2 {
                return Poll::Ready(true);
            }
            outer.waker().wake_by_ref();
            let mut first = true;
            block_on(std::future::poll_fn(|inner| {
                inner.waker().wake_by_ref();
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            }));
            Poll::Pending
        }));
        assert!(done);
    }
}
