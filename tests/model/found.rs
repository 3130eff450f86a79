//! Interleavings that the model or a review found broken, one by one.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use retainit::{ErrorKind, MemoryConfig, Retainit, retain};
use retainit_testkit::{ByteConfig, Op};

/// Holds a load until the test opens it.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<(bool, Option<Waker>)>>);

impl Door {
    async fn pass(&self) {
        std::future::poll_fn(|cx| {
            let mut door = self.0.lock().unwrap();
            door.1 = Some(cx.waker().clone());
            if door.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }

    fn open(&self) {
        let waker = {
            let mut door = self.0.lock().unwrap();
            door.0 = true;
            door.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::new(Nobody))))
}

// T-46, T-135
#[tokio::test]
async fn a_set_that_timed_out_does_not_come_after_a_removal() {
    let config = ByteConfig::new();
    let faults = config.faults();
    let builder = Retainit::builder().register_backend("default", config).op_timeout(Duration::from_millis(20));
    let cache = builder.build().unwrap().cache::<u64>("numbers").build().unwrap();
    faults.hang(Op::Store);
    assert_eq!(cache.set(&1, 1).await.unwrap_err().kind(), ErrorKind::Timeout);
    cache.remove(&1).await.unwrap();
    faults.heal();
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(cache.get(&1).await.unwrap().is_miss());
    }
}

// T-46, T-82, T-135
#[tokio::test]
async fn a_load_that_could_not_ask_the_store_is_not_joined_after_a_removal() {
    let config = ByteConfig::new();
    let faults = config.faults();
    let retainit = Retainit::builder().register_backend("default", config).build().unwrap();
    let cache = retainit.cache::<u64>("numbers").tags(["t"]).build().unwrap();
    for way in 0..4 {
        let door = Door::default();
        faults.fail(Op::Read, 1);
        let mut before = pin!(cache.get_or_load(&way, || async {
            door.pass().await;
            1
        }));
        assert!(poll(before.as_mut()).is_pending());
        match way {
            0 => drop(cache.remove(&way).await.unwrap()),
            1 => retainit.invalidate_tag("t").await.unwrap(),
            2 => drop(cache.clear().await.unwrap()),
            _ => drop(retainit.clear().await.unwrap()),
        }
        faults.fail(Op::Read, 1);
        let mut after = pin!(cache.get_or_load(&way, || async { 2 }));
        assert_eq!(poll(after.as_mut()), Poll::Ready(2), "way {way}");
        door.open();
        assert_eq!(before.await, 1);
    }
}

static DOOR: std::sync::LazyLock<Door> = std::sync::LazyLock::new(Door::default);

#[retain(id = "found.counted")]
async fn counted(first: bool) -> u64 {
    static RUNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
    if run > 1 && first {
        DOOR.pass().await;
    }
    run
}

// T-45
#[tokio::test]
async fn a_pattern_for_other_keys_does_not_leave_what_a_refresh_was_to_replace() {
    let retainit = Retainit::builder().register_backend("default", MemoryConfig::new()).build().unwrap();
    retainit::with_instance(&retainit, async {
        assert_eq!(counted(true).await, 1);
        let handle = counted::cache();
        let mut refresh = pin!(handle.refresh(true));
        assert!(poll(refresh.as_mut()).is_pending());
        retainit.invalidate_pattern("others:*").await.unwrap();
        DOOR.open();
        assert_eq!(refresh.await, 2);
        assert_ne!(handle.get(&true).await.unwrap().value(), Some(1));
    })
    .await;
    retainit.close().await.unwrap();
}

#[retain(id = "found.refreshed")]
async fn refreshed(add: bool) -> u64 {
    static RUNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + u64::from(add)
}

// T-135
#[tokio::test]
async fn a_refresh_that_could_not_be_stored_leaves_nothing_old() {
    for (op, n) in [(Op::Store, 1), (Op::Take, 1), (Op::All, 2)] {
        let config = ByteConfig::new();
        let faults = config.faults();
        let retainit = Retainit::builder().register_backend("default", config).build().unwrap();
        retainit::with_instance(&retainit, async {
            let old = refreshed(false).await;
            faults.fail(op, n);
            assert!(refreshed::cache().refresh(false).await > old);
            // While the removal of the old value is pending, the cache says so and shows nothing.
            let found = refreshed::cache().get(&false).await;
            assert!(!found.is_ok_and(|found| found.value() == Some(old)), "{op:?}");
        })
        .await;
        retainit.close().await.unwrap();
    }
}

/// Is dropped with the clock it is in.
#[derive(Debug)]
struct Clock(#[expect(dead_code, reason = "only its life matters")] Arc<()>);

impl retainit_plugin::Clock for Clock {
    fn now(&self) -> retainit_plugin::Moment {
        retainit_plugin::Moment::from_millis(1_000)
    }

    fn wall(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH
    }
}

// T-133
#[tokio::test]
async fn a_closed_instance_is_forgotten() {
    let life = Arc::new(());
    let builder = Retainit::builder().clock(Clock(Arc::clone(&life)));
    let retainit = builder.register_backend("default", MemoryConfig::new()).build().unwrap();
    retainit::with_instance(&retainit, refreshed(true)).await;
    retainit.close().await.unwrap();
    retainit::with_instance(&retainit, refreshed(true)).await;
    drop(retainit);
    assert_eq!(Arc::strong_count(&life), 1);
}
