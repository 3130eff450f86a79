//! Ends: futures that are given up belong to their scope to the last, and a thread that is ending may use all of the
//! interface.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use retainit::{Cache, EventKind, MemoryConfig, Overrides, Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_testkit::ByteConfig;

use crate::common::{Runs, Stage};

#[retain(id = "endings.kept", ttl = "1h")]
fn cached(id: u64) -> u64 {
    id
}

/// Makes a call when it is dropped.
struct CallsAtTheEnd(u64);

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        cached(self.0);
    }
}

/// Returns a future that ends with a call, whether or not it was polled, and never by itself.
fn given_up(id: u64) -> impl Future<Output = ()> {
    let calls = CallsAtTheEnd(id);
    async move {
        let _calls = calls;
        std::future::pending().await
    }
}

fn poll_once<F: Future>(future: F) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(future).as_mut().poll(&mut cx).is_pending());
}

fn ttl_of(stage: &Stage, id: u64) -> Option<u64> {
    stage.run_sync(|| cached::cache().ttl(&id).unwrap()).map(|ttl| ttl.unwrap().as_secs())
}

#[test]
fn a_future_is_dropped_in_its_scope() {
    for stage in Stage::each() {
        let (other, one) = (Stage::memory(), &stage.retainit);
        poll_once(retainit::with_instance(one, given_up(1)));
        drop(retainit::with_instance(one, given_up(2)));
        assert_eq!((ttl_of(&stage, 1), ttl_of(&stage, 2)), (Some(3_600), Some(3_600)));

        let short = || Overrides::new().ttl("5s");
        stage.run_sync(|| poll_once(retainit::with(short(), given_up(3))));
        poll_once(retainit::with_instance(one, retainit::with(short(), given_up(4))));
        drop(retainit::with(short(), retainit::with_instance(one, given_up(5))));
        assert_eq!([3, 4, 5].map(|id| ttl_of(&stage, id)), [Some(5); 3]);

        poll_once(retainit::with_instance(one, retainit::disabled(given_up(6))));
        let carried = stage.run_sync(|| retainit::with_sync(short(), || retainit::propagate(given_up(7))));
        other.run_sync(|| poll_once(carried));
        assert_eq!((ttl_of(&stage, 6), ttl_of(&stage, 7)), (None, Some(5)));

        // A panic ends it in its scope too.
        let panics = retainit::with_instance(one, async {
            let _calls = CallsAtTheEnd(8);
            panic!("on purpose");
        });
        assert!(catch_unwind(AssertUnwindSafe(|| poll_once(panics))).is_err());
        assert_eq!(ttl_of(&stage, 8), Some(3_600));

        // And leaves nothing in force.
        other.run_sync(|| cached(9));
        assert_eq!((ttl_of(&stage, 9), ttl_of(&other, 9)), (None, Some(3_600)));
    }
}

// ------------------------------------------------------------------------------------------ thread-local destructors

/// Runs a future on a thread that is ending, which has no runtime.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(5)),
        }
    }
}

static RUNS: Runs = Runs::new();

#[retain(id = "endings.sync", tags("endings"))]
fn sync(id: u64) -> String {
    RUNS.add();
    id.to_string()
}

#[retain(id = "endings.async")]
async fn future(id: u64) -> String {
    RUNS.add();
    id.to_string()
}

#[retain(id = "endings.recursive")]
fn recursive(id: u64) -> u64 {
    if id == 0 { 0 } else { recursive(id - 1) + 1 }
}

/// Uses the whole interface through one instance.
fn use_everything(instance: &Retainit) {
    let functions = || {
        for _ in 0..3 {
            assert_eq!((sync(1), wait_for(future(1)), recursive(5)), ("1".into(), "1".into(), 5));
        }
        assert_eq!(sync::cache().get(&1).unwrap().value(), Some("1".into()));
        sync::cache().warm(2..6).unwrap();
        wait_for(future::cache().warm(2..6)).unwrap();
        assert_eq!(sync::cache().refresh(1), "1");
        assert!(sync::cache().explain(&1).unwrap().is_hit() && sync::cache().remove(&1).unwrap());
        assert_eq!(retainit::disabled_sync(|| sync(7)), "7");
        assert!(!sync::cache().exists(&7).unwrap(), "an override holds in a destructor");
        retainit::with_sync(Overrides::new().ttl("5s"), || sync(8));
        assert_eq!(sync::cache().ttl(&8).unwrap().flatten().map(|ttl| ttl.as_secs() <= 5), Some(true));
        wait_for(retainit::propagate(retainit::with(Overrides::new().ttl("5s"), future(8))));
        wait_for(future::cache().clear()).unwrap();
    };
    retainit::with_instance_sync(instance, functions);
    assert_eq!(wait_for(retainit::with_instance(instance, future(9))), "9");

    let cache: Cache<String> = instance.cache("endings").build().unwrap();
    let blocking = cache.blocking();
    assert_eq!(blocking.get_or_load(&1, || "one".into()), "one");
    blocking.set(&2, "two".into()).unwrap();
    assert_eq!(wait_for(cache.get(&2)).unwrap().value(), Some("two".into()));
    assert_eq!(wait_for(cache.get_or_load(&3, async || "three".to_owned())), "three");
    assert_eq!(wait_for(cache.get_many([1, 2, 3])).unwrap().iter().filter(|found| found.is_hit()).count(), 3);
    assert!(wait_for(cache.remove(&3)).unwrap());

    let (heard, seen) = std::sync::mpsc::channel();
    let sub = instance.events().subscribe(EventKind::CacheHit, move |_| heard.send(()).unwrap());
    retainit::with_instance_sync(instance, || (sync(4), sync(4)));
    instance.events().flush_blocking();
    assert!(seen.recv_timeout(Duration::from_secs(10)).is_ok());
    sub.unsubscribe();

    wait_for(instance.invalidate_tag("endings")).unwrap();
    instance.blocking().invalidate_pattern("endings*").unwrap();
    wait_for(instance.health()).unwrap();
    wait_for(instance.clear()).unwrap();
    instance.cleanup_expired();
    assert!(!instance.stats().storage_type.is_empty());
}

/// Acts in the destructor of a thread-local, where a panic would end the process.
struct AtTheEnd {
    work: Option<Box<dyn FnOnce() + Send>>,
    outcome: Arc<Mutex<Option<Result<(), String>>>>,
}

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let done = catch_unwind(AssertUnwindSafe(work));
        let text = |panic: Box<dyn std::any::Any + Send>| panic.downcast_ref::<String>().cloned().unwrap_or_default();
        *self.outcome.lock().unwrap() = Some(done.map_err(text));
    }
}

thread_local! {
    static FIRST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

/// Runs `before` on a thread, and `at_the_end` in destructors that run after and before those of what `before` has
/// used.
fn on_an_ending_thread(before: impl FnOnce() + Send + 'static, at_the_end: impl Fn() + Clone + Send + 'static) {
    let outcomes = [Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None))];
    let [first, last] = outcomes.clone().map(|outcome| {
        let work: Box<dyn FnOnce() + Send> = Box::new(at_the_end.clone());
        AtTheEnd { work: Some(work), outcome }
    });
    let thread = std::thread::spawn(move || {
        // Destructors run in the reverse order of registration.
        FIRST.set(Some(first));
        before();
        LAST.set(Some(last));
    });
    thread.join().unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.lock().unwrap().take(), Some(Ok(())));
    }
}

fn instances() -> (Vec<Retainit>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(20);
    let builder = || Retainit::builder().op_timeout(long);
    let build = |builder: retainit::Builder| builder.build().unwrap();
    let bytes = || ByteConfig::new().jitter(0.0);
    let instances = vec![
        build(builder().register_backend("default", MemoryConfig::new())),
        build(builder().register_backend("default", bytes())),
        build(builder().register_backend("default", bytes().blocking())),
        build(builder().register_backend("default", DiskConfig::new().base_path(folder.path()).jitter(0.0))),
    ];
    (instances, folder)
}

#[test]
fn everything_works_in_destructors_of_thread_locals() {
    let (instances, _folder) = instances();
    for instance in instances {
        // Nothing of retainit, nor of tokio, was used on the thread before; then all of it was.
        let (in_thread, at_the_end) = (instance.clone(), instance.clone());
        on_an_ending_thread(|| (), move || use_everything(&at_the_end));
        let at_the_end = instance.clone();
        on_an_ending_thread(move || use_everything(&in_thread), move || use_everything(&at_the_end));
    }
}

#[test]
fn what_a_thread_does_at_its_end_is_counted() {
    let stage = Stage::memory();
    let instance = stage.retainit.clone();
    let work = move || {
        retainit::with_instance_sync(&instance, || {
            for id in 0..10 {
                assert_eq!((cached(id), cached(id)), (id, id));
            }
        });
    };
    for _ in 0..3 {
        on_an_ending_thread(work.clone(), work.clone());
    }
    let stats = stage.retainit.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (9 * 20 - 10, 10, 10));
}
