use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Thread-local context in which a future is polled and dropped: an override, the loads it is part of.
pub(crate) trait Surroundings {
    /// Guard that restores the thread's context.
    type Entered;

    /// Installs the context on this thread.
    fn enter(&mut self) -> Self::Entered;
}

impl<G, E: FnMut() -> G> Surroundings for E {
    type Entered = G;

    fn enter(&mut self) -> G {
        self()
    }
}

pin_project_lite::pin_project! {
    /// A future that is polled in its surroundings, and dropped there too: a destructor may make calls, and those
    /// belong to the same context.
    #[derive(Debug)]
    pub(crate) struct Inside<F, S: Surroundings> {
        #[pin]
        future: Option<F>,
        surroundings: S,
    }

    impl<F, S: Surroundings> PinnedDrop for Inside<F, S> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.surroundings.enter();
            this.future.set(None);
        }
    }
}

impl<F, S: Surroundings> Inside<F, S> {
    pub(crate) fn new(future: F, surroundings: S) -> Self {
        Inside { future: Some(future), surroundings }
    }

    pub(crate) fn surroundings(&self) -> &S {
        &self.surroundings
    }
}

impl<F: Future, S: Surroundings> Future for Inside<F, S> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.surroundings.enter();
        this.future.as_pin_mut().expect("only a drop takes it out").poll(cx)
    }
}
