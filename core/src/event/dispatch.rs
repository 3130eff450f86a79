//! How events reach a handler: on a thread of its own, or as a task on the instance's I/O runtime.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{self as plugin, ErrorKind, Event, Result, Subscriber};

use super::lane::{Handler, Lane, Next};
use super::notice;
use crate::runtime::{Inside, block_on, caught, quietly};

/// After so many panics in a row, a handler hears nothing more.
const PANICS: u32 = 3;

/// So long an event waits that could not be handled and must not be lost.
const PAUSE: Duration = Duration::from_millis(200);

thread_local! {
    /// The lane whose handler runs here; 0 for none.
    static HANDLING: Cell<u64> = const { Cell::new(0) };
}

/// The lane whose handler makes the calls of this thread: it does not hear of them.
pub(crate) fn handling() -> u64 {
    HANDLING.try_with(Cell::get).unwrap_or(0)
}

/// Makes the calls of this thread those of a lane's handler until dropped.
#[derive(Debug)]
pub(crate) struct Handling(u64);

impl Handling {
    pub(crate) fn enter(lane: u64) -> Handling {
        Handling(HANDLING.try_with(|here| here.replace(lane)).unwrap_or(0))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        // A thread without it handles nothing.
        HANDLING.try_with(|here| here.set(self.0)).ok();
    }
}

/// Starts the dispatcher of a lane.
pub(super) fn start(lane: &Arc<Lane>, handler: Handler) {
    let (lane, dispatched) = (Arc::clone(lane), Arc::clone(lane));
    let started = match handler {
        Handler::Sync(_) => {
            let thread = std::thread::Builder::new().name("retainit-events".into());
            thread.spawn(move || block_on(dispatch(dispatched, handler))).map(drop).map_err(|error| error.to_string())
        }
        Handler::Async(_) => match lane.place.io.upgrade() {
            Some(io) => io.spawn(dispatch(dispatched, handler)).map_err(|error| error.to_string()),
            None => Err("its instance has ended".to_owned()),
        },
    };
    if let Err(error) = started {
        quietly(|| {
            tracing::error!(target: "retainit", subscriber = %lane.name, %error, "a subscriber could not be started");
        });
        lane.cut();
        lane.finished();
    }
}

/// Marks the end of a lane also where its task is dropped with its runtime.
struct Finish(Arc<Lane>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.cut();
        self.0.finished();
    }
}

async fn dispatch(lane: Arc<Lane>, mut handler: Handler) {
    let lane = Finish(lane);
    let lane = &lane.0;
    let (mut panics, mut failing) = (0, false);
    loop {
        let is_well = match poll_fn(|cx| lane.poll_next(cx)).await {
            Next::End => break,
            Next::Handle(event) => {
                let mut handled = handle(lane, &mut handler, event, &mut failing).await;
                let (others, here) = lane.untold();
                notice::tell(lane, others);
                if let Some(notice) = notice::to_itself(lane, here) {
                    handled &= handle(lane, &mut handler, notice, &mut failing).await;
                }
                lane.settled();
                handled
            }
            Next::TakeSpilled => take_spilled(lane, &mut handler, &mut failing),
        };
        panics = if is_well { 0 } else { panics + 1 };
        if panics == PANICS {
            tracing::error!(
                target: "retainit", subscriber = %lane.name, "a subscriber panicked three times in a row: it is disabled"
            );
            lane.cut();
            notice::removed(lane);
        }
    }
    let _handling = Handling::enter(lane.id);
    handler.close(&lane.name);
}

/// Handles one event. False if that panicked.
async fn handle(lane: &Arc<Lane>, handler: &mut Handler, event: Event, failing: &mut bool) -> bool {
    match handler {
        Handler::Sync(subscriber) => loop {
            match guarded(lane, subscriber, |subscriber| subscriber.handle(&event)) {
                None => return false,
                Some(result) => {
                    if is_done(lane, result, failing) || !lane.keeps() || lane.is_cut() {
                        return true;
                    }
                    lane.pause(PAUSE);
                }
            }
        },
        Handler::Async(handler) => {
            let started = {
                let _handling = Handling::enter(lane.id);
                plugin::caught(ErrorKind::Backend, "the handler", || handler(event))
            };
            let Ok(running) = started else { return false };
            let running = Inside::new(running, || Handling::enter(lane.id));
            let ended = caught("the handler", running).await.is_ok();
            // Others share the one worker.
            tokio::task::yield_now().await;
            ended
        }
    }
}

fn take_spilled(lane: &Arc<Lane>, handler: &mut Handler, failing: &mut bool) -> bool {
    let Handler::Sync(subscriber) = handler else { return true };
    // The bulk of it while callers go on, the rest while they wait.
    let Some(taken) = guarded(lane, subscriber, |subscriber| subscriber.take_spilled()) else { return false };
    let taken = match taken {
        Ok(()) => {
            let mut panicked = false;
            let last = lane.end_spilling(|| {
                guarded(lane, subscriber, |subscriber| subscriber.take_spilled()).unwrap_or_else(|| {
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
    if !is_done(lane, taken, failing) {
        lane.pause(PAUSE);
    }
    true
}

/// Calls a subscriber. `None` if it panicked.
fn guarded<T>(
    lane: &Lane,
    subscriber: &mut Box<dyn Subscriber>,
    call: impl FnOnce(&mut dyn Subscriber) -> T,
) -> Option<T> {
    let _handling = Handling::enter(lane.id);
    plugin::caught(ErrorKind::Backend, "the subscriber", || call(subscriber.as_mut())).ok()
}

/// Whether it went well. The first failure of a row is told, and its end.
fn is_done(lane: &Lane, result: Result<()>, failing: &mut bool) -> bool {
    match result {
        Ok(()) => {
            if std::mem::take(failing) {
                tracing::info!(target: "retainit", subscriber = %lane.name, "a subscriber takes events again");
            }
            true
        }
        Err(error) => {
            if !std::mem::replace(failing, true) {
                tracing::error!(target: "retainit", subscriber = %lane.name, %error, "a subscriber could not take an event");
            }
            false
        }
    }
}
