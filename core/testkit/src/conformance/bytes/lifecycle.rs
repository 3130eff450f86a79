use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use retainit_plugin::{
    Bytes, ErrorKind, Fence, GroupVersion, Read, Result, Scan, StoreCondition, StoreOptions, Stored, Strength,
};

use super::bench::{Bench, LEASE};

pub(super) fn it_is_healthy(bench: &Bench) {
    bench.process().health().expect("it can be reached");
}

pub(super) fn a_trial_succeeds_and_leaves_nothing(bench: &Bench) {
    let key = bench.key("trial");
    for _ in 0..2 {
        bench.process().try_out(&key).expect("it can be written and read");
        assert_eq!(bench.peek(&key), None);
        assert!(!bench.remove(&key), "the trial was left");
    }
}

pub(super) fn what_is_not_declared_is_refused(bench: &Bench) {
    let (key, offered, process) = (bench.key("undeclared"), bench.capabilities(), bench.process());
    let store = |when| process.store(&key, Bytes::from("value"), StoreOptions::new(when));
    if !offered.has_fences() {
        assert_unsupported("a fenced store", store(StoreCondition::Fenced(Fence::number(1))));
        let snapshot = process.read(&key, Read::take(LEASE)).expect("a read that takes still reads");
        assert_eq!(snapshot.fence, None, "a fence that holds nothing");
    }
    if !offered.has_set_if_absent() {
        assert_unsupported("a store into an empty slot", store(StoreCondition::Absent));
    }
    if !offered.has_scan() {
        assert_unsupported("a scan", process.scan(Scan::prefix(bench.key(""))));
    }
    if !offered.has_leases() && bench.is_async() {
        assert_unsupported("a renewal", process.renew(&key, Fence::number(1), LEASE));
        assert_unsupported("a release", process.release(&key, Fence::number(1)));
    }
    if !offered.has_versions() {
        assert_unsupported("a raise", process.raise(&bench.group("g"), Strength::Hard));
    }
    assert_eq!(bench.peek(&key), None, "a refused store went in");
}

pub(super) fn another_process_sees_the_same(bench: &Bench) {
    let (key, other) = (bench.key("shared"), bench.start());
    assert_eq!(bench.store(&key, "value", StoreCondition::Always), Stored::Yes);
    assert_eq!(other.peek(&key), Some("value".into()));
    assert!(other.remove(&key).expect("remove"));
    assert_eq!(bench.peek(&key), None);
}

pub(super) fn another_process_refuses_the_load_under_way(bench: &Bench) {
    let (key, other) = (bench.key("shared"), bench.start());
    let fence = bench.fence(&key);
    other.remove(&key).expect("remove");
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused, "after a removal");
    let fence = bench.fence(&key);
    assert_eq!(other.put(&key, "set", StoreCondition::Always), Stored::Yes);
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused, "after a store");
    assert_eq!(other.peek(&key), Some("set".into()));
}

pub(super) fn entries_survive_a_restart(bench: &Bench) {
    let (key, before) = (bench.key("persistent"), bench.start());
    assert_eq!(before.put(&key, "value", StoreCondition::Always), Stored::Yes);
    before.close().expect("close");
    drop(before);
    assert_eq!(bench.start().peek(&key), Some("value".into()));
}

pub(super) fn calls_after_close_fail(bench: &Bench) {
    let (key, closed) = (bench.key("closed"), bench.start());
    closed.health().expect("it can be reached");
    closed.close().expect("close");
    assert!(closed.read(&key, Read::peek()).is_err(), "a read after close");
    let stored = closed.store(&key, Bytes::from("value"), StoreOptions::new(StoreCondition::Always));
    assert!(stored.is_err(), "a store after close");
    assert!(closed.remove(&key).is_err(), "a removal after close");
}

/// Every operation says by the kind of its error that the store cannot be reached, so that the engine's breaker counts it
/// and removals are tried again.
pub(super) fn what_cannot_be_reached_says_so(bench: &Bench) {
    let (key, process) = (bench.key("unreachable"), bench.start_unreachable());
    let store = || process.store(&key, Bytes::from("value"), StoreOptions::new(StoreCondition::Always));
    assert_unreachable("a read", process.read(&key, Read::peek()));
    assert_unreachable("a store", store());
    assert_unreachable("a removal", process.remove(&key));
    assert_unreachable("its health", process.health());
    if bench.capabilities().has_scan() {
        assert_unreachable("a scan", process.scan(Scan::prefix(bench.key(""))));
    }
    if bench.capabilities().has_versions() {
        assert_unreachable("a raise", process.raise(&bench.group("g"), Strength::Hard));
    }
    process.close().expect("it can be closed all the same");
}

fn assert_unreachable<T: Debug>(what: &str, outcome: Result<T>) {
    match outcome {
        Err(error) => assert!(error.is_unreachable() && error.is_retryable(), "{what}: {error:?}"),
        Ok(outcome) => panic!("{what} did not fail but gave {outcome:?}"),
    }
}

/// Drops each operation after each of its first polls, then looks whether the slot still works.
pub(super) fn a_dropped_future_leaves_the_store_in_order(bench: &Bench) {
    let (key, backend) = (bench.key("dropped"), bench.process().backend());
    let fences = backend.capabilities().has_fences();
    let bytes = || Bytes::from("dropped");
    for polls in 0..6 {
        drop_after(bench, polls, backend.read(&key, Read::take(LEASE)));
        expect_order(bench, &key, fences);
        let mut seal = |_: &[Option<GroupVersion>]| Ok(bytes());
        drop_after(bench, polls, backend.store_with(&key, &mut seal, StoreOptions::new(StoreCondition::Always)));
        expect_order(bench, &key, fences);
        if fences {
            let terms = StoreOptions::new(StoreCondition::Fenced(bench.fence(&key)));
            drop_after(bench, polls, backend.store(&key, bytes(), terms));
            expect_order(bench, &key, fences);
        }
        drop_after(bench, polls, backend.remove(&key));
        expect_order(bench, &key, fences);
        drop_after(bench, polls, backend.scan(Scan::prefix(bench.key(""))));
        drop_after(bench, polls, backend.health());
        expect_order(bench, &key, fences);
    }
}

/// Expects that the late write of a dropped call refuses at most one load, and none of the loads after it.
fn expect_order(bench: &Bench, key: &str, fences: bool) {
    let settled = (0..10).any(|_| {
        let when = if fences { StoreCondition::Fenced(bench.fence(key)) } else { StoreCondition::Always };
        bench.store(key, "loaded", when) == Stored::Yes && bench.peek(key) == Some("loaded".into())
    });
    assert!(settled, "the slot cannot be filled any more");
    bench.remove(key);
}

pub(super) fn drop_after<T>(bench: &Bench, polls: usize, operation: impl Future<Output = T>) {
    bench.runtime().block_on(async {
        let mut operation = pin!(operation);
        for _ in 0..polls {
            let ready = poll_fn(|context| Poll::Ready(operation.as_mut().poll(context).is_ready()));
            if ready.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
}

fn assert_unsupported<T: Debug>(what: &str, outcome: Result<T>) {
    match outcome {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error}"),
        Ok(outcome) => panic!("{what} was not refused but gave {outcome:?}"),
    }
}
