use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use retainit_plugin::{ErrorKind, Result};

use retainit_plugin as plugin;

pin_project_lite::pin_project! {
    /// A future whose panics, also of its destructor, do not reach the caller.
    #[derive(Debug)]
    pub(crate) struct Caught<F> {
        #[pin]
        future: Option<F>,
        what: &'static str,
    }

    impl<F> PinnedDrop for Caught<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            drop(plugin::caught(ErrorKind::Backend, this.what, || this.future.set(None)));
        }
    }
}

/// Polls code of others and turns its panic into an error; `what` names the code in the message.
pub(crate) fn caught<F: Future>(what: &'static str, future: F) -> Caught<F> {
    Caught { future: Some(future), what }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future.as_pin_mut().expect("only a drop takes it out");
        match plugin::caught(ErrorKind::Backend, this.what, || future.poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Writes to the log, whose panics do not reach the caller: it may be the program's code.
pub(crate) fn quietly(log: impl FnOnce()) {
    drop(plugin::caught(ErrorKind::Backend, "the log", log));
}

/// Wakes all wakers, even if one of them panics.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| quietly(|| waker.wake()));
}
