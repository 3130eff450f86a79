//! Clocks, logs, tasks, callbacks and handlers; and the function itself, whose panic is the caller's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use retainit::{Cache, EventKind, Lookup, MemoryConfig, Retainit, Warm, retain};
use retainit_plugin::{Clock, Moment};
use retainit_testkit::{ByteConfig, ManualClock};

use super::{TEXT, keys, told, unharmed, wait_for};
use crate::common::Stage;

#[derive(Debug)]
struct FallingClock(ManualClock, Arc<AtomicBool>);

impl Clock for FallingClock {
    fn now(&self) -> Moment {
        assert!(!self.1.load(Ordering::SeqCst), "{TEXT}");
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        assert!(!self.1.load(Ordering::SeqCst), "{TEXT}");
        self.0.wall()
    }
}

#[test]
fn a_clock_that_falls() {
    for bytes in [None, Some(ByteConfig::new()), Some(ByteConfig::new().blocking())] {
        let falls = Arc::new(AtomicBool::new(false));
        let builder = Retainit::builder().clock(FallingClock(ManualClock::new(), Arc::clone(&falls)));
        let builder = match bytes {
            Some(bytes) => builder.register_backend("default", bytes),
            None => builder.register_backend("default", MemoryConfig::new()),
        };
        let instance = builder.build().unwrap();
        let cache: Cache<u64> = instance.cache("panics.clock").ttl("1h").build().unwrap();
        for fallen in [false, true, false] {
            falls.store(fallen, Ordering::SeqCst);
            let calls = || {
                assert_eq!(cache.blocking().get_or_load(&1, || 5), 5);
                assert_eq!(wait_for(cache.get_or_load(&2, async || 6)), 6);
                cache.blocking().set(&3, 7).unwrap();
                instance.cleanup_expired();
            };
            unharmed(calls);
        }
    }
}

/// A log that panics.
struct Log;

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        panic!("{TEXT}");
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_log_that_falls() {
    for stage in Stage::each() {
        let call = || stage.run_sync(|| keys::plain(keys::Arg(13)));
        let logged = || tracing::subscriber::with_default(Log, call);
        assert_eq!(told(&stage.retainit, logged), 13);
    }
}

/// A task that panics when it is woken.
struct Falling;

impl Wake for Falling {
    fn wake(self: Arc<Self>) {
        panic!("{TEXT}");
    }
}

#[test]
fn a_task_that_falls_when_it_is_woken_keeps_nobody_from_waking() {
    let stage = Stage::memory();
    let cache: Cache<u64> = stage.retainit.cache("panics.wakers").build().unwrap();
    let (noop, falling) = (Waker::noop(), Waker::from(Arc::new(Falling)));
    let mut permits = Box::pin(tokio::sync::Notify::new());
    let gate = &*permits.as_mut();
    let mut leader = Box::pin(cache.get_or_load(&1, || async {
        gate.notified().await;
        5
    }));
    assert!(leader.as_mut().poll(&mut Context::from_waker(noop)).is_pending());
    let follower = || Box::pin(cache.get_or_load(&1, async || 6));
    let (mut first, mut second) = (follower(), follower());
    assert!(first.as_mut().poll(&mut Context::from_waker(&falling)).is_pending());
    let (sender, receiver) = std::sync::mpsc::channel();
    struct Tell(std::sync::mpsc::Sender<()>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let telling = Waker::from(Arc::new(Tell(sender)));
    assert!(second.as_mut().poll(&mut Context::from_waker(&telling)).is_pending());
    gate.notify_one();
    let led = unharmed(|| leader.as_mut().poll(&mut Context::from_waker(noop)));
    assert_eq!(led, Poll::Ready(5));
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(second.as_mut().poll(&mut Context::from_waker(&telling)), Poll::Ready(5));
    assert_eq!(first.as_mut().poll(&mut Context::from_waker(&falling)), Poll::Ready(5));
}

#[retain(id = "panics.warmed")]
fn warmed(n: u64) -> u64 {
    n
}

#[retain(id = "panics.warmed_async")]
async fn warmed_async(n: u64) -> u64 {
    n
}

#[test]
fn progress_that_falls_ends_no_warming() {
    let stage = Stage::memory();
    let warm = || Warm::new().progress(|_| panic!("{TEXT}"));
    stage.run_sync(|| {
        assert_eq!(warmed::cache().warm_with(0..20, warm()).unwrap().loaded, 20);
        assert_eq!((warmed(7), wait_for(warmed_async(8))), (7, 8));
        assert_eq!(wait_for(warmed_async::cache().warm_with(0..20, warm())).unwrap().loaded, 19);
    });
}

#[test]
fn a_handler_that_falls_when_it_is_dropped() {
    struct Handler;
    impl Drop for Handler {
        fn drop(&mut self) {
            panic!("{TEXT}");
        }
    }
    let stage = Stage::memory();
    let (handler, other) = (Handler, Handler);
    let sub = stage.retainit.events().subscribe(EventKind::CacheClear, move |_| {
        let _held = &handler;
    });
    let sub_async = stage.retainit.events().subscribe_async(EventKind::CacheClear, move |_| {
        let _held = &other;
        async {}
    });
    unharmed(|| (sub.unsubscribe(), sub_async.unsubscribe()));
    stage.retainit.blocking().clear().unwrap();
}

#[test]
fn a_panic_of_the_function_is_the_callers() {
    #[retain]
    fn falls(n: u64) -> u64 {
        panic!("{TEXT} {n}")
    }
    for stage in Stage::each() {
        let panic = catch_unwind(AssertUnwindSafe(|| stage.run_sync(|| falls(1)))).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("it falls 1"));
        let cache: Cache<u64> = stage.retainit.cache("panics.loader").build().unwrap();
        let load = || cache.blocking().get_or_load(&1, || panic!("{TEXT}"));
        assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
        assert!(matches!(cache.blocking().get(&1).unwrap(), Lookup::Miss));
    }
}
