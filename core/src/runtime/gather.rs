use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Runs futures side by side, at most `limit` at once, and returns their outputs in order. `done` receives each when it
/// is there.
pub(crate) async fn gather<F: Future>(
    futures: impl IntoIterator<Item = F>,
    limit: usize,
    mut done: impl FnMut(&F::Output),
) -> Vec<F::Output> {
    let mut waiting = futures.into_iter().enumerate();
    let mut active: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut outputs: Vec<Option<F::Output>> = Vec::new();
    std::future::poll_fn(|cx| {
        loop {
            while active.len() < limit.max(1)
                && let Some((at, future)) = waiting.next()
            {
                outputs.push(None);
                active.push((at, Box::pin(future)));
            }
            let before = active.len();
            active.retain_mut(|(at, future)| match future.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(output) => {
                    done(&output);
                    outputs[*at] = Some(output);
                    false
                }
            });
            if active.is_empty() && before == 0 {
                return Poll::Ready(());
            }
            if active.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_in_order_and_never_too_many_run() {
        use std::cell::Cell;
        let (running, most) = (Cell::new(0), Cell::new(0));
        let work = (0..20).map(|n| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                let mut turns = 1 + n % 3;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    turns -= 1;
                    if turns < 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                running.set(running.get() - 1);
                n
            }
        });
        let mut received = 0;
        let outputs = crate::runtime::block_on(gather(work, 4, |_| received += 1));
        assert_eq!(outputs, (0..20).collect::<Vec<i32>>());
        assert_eq!((received, most.get()), (20, 4));
    }
}
