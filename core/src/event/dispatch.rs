//! Dispatch of events to a handler, on a thread of its own or as a task on the instance's I/O runtime.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{self as plugin, ErrorKind, Event, Result, Subscriber};

use super::notice;
use super::queue::{DispatchStep, Handler, SubscriberQueue};
use crate::runtime::{Inside, block_on, caught, quietly};

/// Number of panics in a row after which a handler is disabled.
const PANICS: u32 = 3;

/// Pause before an event is handled again that failed and must not be lost.
const PAUSE: Duration = Duration::from_millis(200);

thread_local! {
    /// Id of the queue whose handler runs on this thread; 0 for none.
    static HANDLING: Cell<u64> = const { Cell::new(0) };
}

/// Returns the id of the queue whose handler makes the calls of this thread; that queue receives no events of them.
pub(crate) fn handling() -> u64 {
    HANDLING.try_with(Cell::get).unwrap_or(0)
}

/// Guard that attributes the calls of this thread to a queue's handler.
#[derive(Debug)]
pub(crate) struct Handling(u64);

impl Handling {
    pub(crate) fn enter(queue: u64) -> Handling {
        Handling(HANDLING.try_with(|here| here.replace(queue)).unwrap_or(0))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        // A thread that has lost its locals handles no events.
        HANDLING.try_with(|here| here.set(self.0)).ok();
    }
}

/// Starts the dispatcher of a queue.
pub(super) fn start(queue: &Arc<SubscriberQueue>, handler: Handler) {
    let (queue, dispatched) = (Arc::clone(queue), Arc::clone(queue));
    let started = match handler {
        Handler::Sync(_) => {
            let thread = std::thread::Builder::new().name("retainit-events".into());
            thread.spawn(move || block_on(dispatch(dispatched, handler))).map(drop).map_err(|error| error.to_string())
        }
        Handler::Async(_) => match queue.place.io.upgrade() {
            Some(io) => io.spawn(dispatch(dispatched, handler)).map_err(|error| error.report()),
            None => Err("its instance has ended".to_owned()),
        },
    };
    // The queue ends here, or callers with a blocking policy and `flush` would wait for a dispatcher that never comes.
    if let Err(error) = started {
        quietly(|| {
            tracing::error!(target: "retainit", subscriber = %queue.name, %error, "a subscriber could not be started");
        });
        queue.cut();
        queue.finished();
    }
}

/// Ends a queue even where its task is dropped together with the runtime.
struct Finish(Arc<SubscriberQueue>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.cut();
        self.0.finished();
    }
}

/// Hands events to the handler, one after the other, until the queue ends.
async fn dispatch(queue: Arc<SubscriberQueue>, mut handler: Handler) {
    let queue = Finish(queue);
    let queue = &queue.0;
    let (mut panics, mut failing) = (0, false);
    loop {
        let is_well = match poll_fn(|cx| queue.poll_next(cx)).await {
            DispatchStep::End => break,
            DispatchStep::Handle(event) => {
                // Notices of drops come before `settled`, so that `flush` waits for them too. The handler's own notice
                // goes past the queue, where it could be dropped itself.
                let mut handled = handle(queue, &mut handler, event, &mut failing).await;
                let (others, here) = queue.unreported();
                notice::report(queue, others);
                if let Some(notice) = notice::to_itself(queue, here) {
                    handled &= handle(queue, &mut handler, notice, &mut failing).await;
                }
                queue.settled();
                handled
            }
            DispatchStep::TakeSpilled => take_spilled(queue, &mut handler, &mut failing),
        };
        panics = if is_well { 0 } else { panics + 1 };
        if panics == PANICS {
            tracing::error!(
                target: "retainit", subscriber = %queue.name, "a subscriber panicked three times in a row: it is disabled"
            );
            queue.cut();
            notice::removed(queue);
        }
    }
    // `close` runs the subscriber's code, whose calls raise no events for itself either.
    let _handling = Handling::enter(queue.id);
    queue.close(handler);
}

/// Handles one event; `false` if the handler panicked.
async fn handle(queue: &Arc<SubscriberQueue>, handler: &mut Handler, event: Event, failing: &mut bool) -> bool {
    match handler {
        Handler::Sync(subscriber) => loop {
            // A failed event is repeated where the policy keeps events. `pause` ends early when the queue is cut, and
            // has spilled the event then.
            match guarded(queue, subscriber, |subscriber| subscriber.handle(&event)) {
                None => return false,
                Some(result) => {
                    if is_done(queue, result, failing) || !queue.keeps() || !queue.pause(PAUSE, Some(&event)) {
                        return true;
                    }
                }
            }
        },
        Handler::Async(handler) => {
            // Both the call that makes the future and the future itself are code of the handler.
            let started = {
                let _handling = Handling::enter(queue.id);
                plugin::caught(ErrorKind::Backend, "the handler", || handler(event))
            };
            let Ok(running) = started else { return false };
            let running = Inside::new(running, || Handling::enter(queue.id));
            let ended = caught("the handler", running).await.is_ok();
            // The other tasks of the runtime share its one worker.
            tokio::task::yield_now().await;
            ended
        }
    }
}

/// Lets the subscriber take its spilled events; `false` if it panicked.
fn take_spilled(queue: &Arc<SubscriberQueue>, handler: &mut Handler, failing: &mut bool) -> bool {
    let Handler::Sync(subscriber) = handler else { return true };
    // The bulk is taken while callers go on spilling; `end_spilling` takes the rest with callers held off, so that no
    // event is spilled behind the last one taken.
    let Some(taken) = guarded(queue, subscriber, |subscriber| subscriber.take_spilled()) else { return false };
    let taken = match taken {
        Ok(()) => {
            let mut panicked = false;
            let last = queue.end_spilling(|| {
                guarded(queue, subscriber, |subscriber| subscriber.take_spilled()).unwrap_or_else(|| {
                    panicked = true;
                    Ok(())
                })
            });
            if panicked {
                return false;
            }
            last
        }
        error => error,
    };
    if !is_done(queue, taken, failing) {
        queue.pause(PAUSE, None);
    }
    true
}

/// Calls a subscriber; `None` if it panicked.
fn guarded<T>(
    queue: &SubscriberQueue,
    subscriber: &mut Box<dyn Subscriber>,
    call: impl FnOnce(&mut dyn Subscriber) -> T,
) -> Option<T> {
    let _handling = Handling::enter(queue.id);
    plugin::caught(ErrorKind::Backend, "the subscriber", || call(subscriber.as_mut())).ok()
}

/// Returns true if a call succeeded. Logs the first failure of a series, and its end.
fn is_done(queue: &SubscriberQueue, result: Result<()>, failing: &mut bool) -> bool {
    match result {
        Ok(()) => {
            if std::mem::take(failing) {
                tracing::info!(target: "retainit", subscriber = %queue.name, "a subscriber takes events again");
            }
            true
        }
        Err(error) => {
            if !std::mem::replace(failing, true) {
                tracing::error!(target: "retainit", subscriber = %queue.name, error = error.report(), "a subscriber could not take an event");
            }
            false
        }
    }
}
