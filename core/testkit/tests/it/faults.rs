use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use retainit_plugin::{Backend, Bytes, ErrorKind, LocalBackend, Read, StoreCondition, StoreOptions, Stored};
use retainit_testkit::{ByteBackend, ByteConfig, Op, context};

fn store(backend: &ByteBackend) -> retainit_plugin::Result<Stored> {
    LocalBackend::store(backend, "k", Bytes::from("v"), StoreOptions::new(StoreCondition::Always))
}

#[test]
fn the_next_calls_fail_and_do_nothing() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    config.faults().fail(Op::Store, 2);
    for _ in 0..2 {
        let error = store(&backend).expect_err("an injected failure");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains("main"), "{error}");
    }
    assert_eq!(config.store().keys(), [] as [String; 0]);
    assert_eq!(store(&backend).expect("the third succeeds"), Stored::Yes);
    config.faults().fail_always(Op::All);
    for _ in 0..5 {
        assert!(store(&backend).is_err() && LocalBackend::health(&backend).is_err());
    }
    config.faults().heal();
    assert_eq!(store(&backend).expect("healed"), Stored::Yes);
}

#[test]
fn errors_of_each_kind() {
    let config = ByteConfig::new();
    let (backend, faults) = (config.open(&context("main")), config.faults());
    let next = |give: &dyn Fn()| {
        give();
        let error = store(&backend).expect_err("an injected failure");
        assert!(store(&backend).is_ok(), "it was one");
        (error.kind(), error.is_retryable(), error.is_unreachable())
    };
    assert_eq!(next(&|| faults.fail(Op::Store, 1)), (ErrorKind::Unreachable, true, true));
    assert_eq!(next(&|| faults.refuse(Op::Store, 1)), (ErrorKind::Refused, true, false));
    assert_eq!(next(&|| faults.deny(Op::All, 1)), (ErrorKind::Refused, false, false));
    assert_eq!(next(&|| faults.break_down(Op::Store, 1)), (ErrorKind::Backend, true, false));
}

#[test]
fn a_lost_answer_hides_what_happened() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    config.faults().lose_answer(Op::Store, 1);
    assert_eq!(store(&backend).expect_err("lost").kind(), ErrorKind::Unreachable);
    assert_eq!(config.store().entry("k"), Some("v".into()));
    assert!(store(&backend).is_ok());
}

#[test]
fn every_call_is_counted_on_its_link_and_on_the_server() {
    let config = ByteConfig::new();
    let other = config.share();
    let (one, two) = (config.open(&context("one")), other.open(&context("two")));
    other.faults().fail(Op::Store, 1);
    assert!(store(&one).is_ok() && store(&two).is_err());
    LocalBackend::read(&one, "k", Read::peek()).expect("read");
    let calls = |op| {
        let server = config.store().faults();
        [config.faults().calls(op), other.faults().calls(op), server.calls(op)]
    };
    assert_eq!(calls(Op::Store), [1, 1, 1], "a call that fails on its link reaches no server");
    assert_eq!((calls(Op::Read), calls(Op::All)), ([1, 0, 1], [2, 1, 2]));
    config.faults().reset_calls();
    assert_eq!(config.faults().calls(Op::All), 0);
}

#[test]
fn a_server_fault_is_felt_by_all_and_a_link_fault_by_one() {
    let config = ByteConfig::new();
    let (one, two) = (config.open(&context("one")), config.share().open(&context("two")));
    config.faults().fail_always(Op::All);
    assert!(store(&one).is_err() && store(&two).is_ok());
    config.faults().heal();
    config.store().faults().fail_always(Op::All);
    assert!(store(&one).is_err() && store(&two).is_err());
}

struct Woken(std::sync::atomic::AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_hanging_call_of_the_async_face_goes_on_when_healed() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    let woken = Arc::new(Woken(Default::default()));
    let waker = Waker::from(woken.clone());
    let mut waiting = Context::from_waker(&waker);
    config.faults().hang(Op::Remove);
    config.store().put("k", "v");
    let mut removal = Backend::remove(&backend, "k");
    let dropped = Backend::remove(&backend, "k");
    for _ in 0..2 {
        assert!(removal.as_mut().poll(&mut waiting).is_pending());
    }
    drop(dropped);
    assert_eq!(config.store().keys(), ["k"], "it has not begun");
    config.faults().heal();
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(matches!(removal.as_mut().poll(&mut waiting), Poll::Ready(Ok(true))));
    assert_eq!(config.faults().calls(Op::Remove), 1, "a future that was never polled is no call");
}

#[test]
fn a_hanging_call_of_the_blocking_face_goes_on_when_healed() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    config.faults().hang(Op::All);
    thread::scope(|scope| {
        let hung = scope.spawn(|| store(&backend));
        while config.faults().calls(Op::Store) == 0 {
            thread::yield_now();
        }
        assert_eq!(config.store().keys(), [] as [String; 0]);
        config.faults().heal();
        assert_eq!(hung.join().expect("no panic").expect("healed"), Stored::Yes);
    });
}

#[test]
fn a_delay_passes_in_the_time_of_tokio_and_a_dropped_call_has_done_nothing() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    config.faults().delay(Op::Store, Duration::from_secs(30));
    config.faults().delay(Op::All, Duration::from_secs(30));
    let terms = || StoreOptions::new(StoreCondition::Always);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let call = || Backend::store(&backend, "k", Bytes::from("v"), terms());
        let begun = tokio::time::Instant::now();
        assert!(tokio::time::timeout(Duration::from_secs(59), call()).await.is_err());
        assert_eq!(config.store().keys(), [] as [String; 0]);
        assert!(matches!(call().await, Ok(Stored::Yes)));
        assert!(begun.elapsed() >= Duration::from_secs(119));
    });
}

#[test]
fn the_blocking_face_waits_on_the_thread() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    config.faults().delay(Op::Health, Duration::from_millis(1));
    LocalBackend::health(&backend).expect("a delay is no failure");
}
