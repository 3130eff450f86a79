use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use retainit_plugin::{Bytes, Read, StoreCondition, StoreOptions, Stored};

use super::bench::{Bench, LEASE, SHORT};

pub(super) fn a_fenced_read_of_an_empty_slot_shows_nothing(bench: &Bench) {
    let key = bench.key("empty");
    let snapshot = bench.process().read(&key, Read::fenced(LEASE)).expect("fenced read");
    assert_eq!(snapshot.entry, None);
    assert!(snapshot.fence.is_some(), "fences are declared");
    assert_eq!(bench.peek(&key), None, "a placeholder was shown");
    let again = bench.process().read(&key, Read::fenced(LEASE)).expect("fenced read");
    assert_eq!(again.entry, None, "a placeholder was shown");
    assert!(!bench.remove(&key), "a placeholder is no entry");
}

pub(super) fn a_fence_of_an_empty_slot_stores_once(bench: &Bench) {
    let key = bench.key("once");
    let fence = bench.fence(&key);
    assert_eq!(bench.store(&key, "first", StoreCondition::Fenced(fence)), Stored::Yes);
    assert_eq!(bench.store(&key, "second", StoreCondition::Fenced(fence)), Stored::Refused);
    assert_eq!(bench.peek(&key), Some("first".into()));
}

pub(super) fn concurrent_loaders_store_once_between_them(bench: &Bench) {
    let key = bench.key("shared");
    let (one, other) = (bench.fence(&key), bench.fence(&key));
    assert_eq!(bench.store(&key, "one", StoreCondition::Fenced(one)), Stored::Yes, "the other took its fence away");
    assert_eq!(bench.store(&key, "other", StoreCondition::Fenced(other)), Stored::Refused);
    assert_eq!(bench.peek(&key), Some("one".into()));
}

pub(super) fn a_fence_of_a_present_slot_replaces_what_was_seen(bench: &Bench) {
    let key = bench.key("present");
    assert_eq!(bench.store(&key, "first", StoreCondition::Always), Stored::Yes);
    let snapshot = bench.process().read(&key, Read::fenced(LEASE)).expect("fenced read");
    assert_eq!(snapshot.entry, Some("first".into()), "taking the fence hid the entry");
    let fence = snapshot.fence.expect("fences are declared");
    assert_eq!(bench.peek(&key), Some("first".into()), "taking the fence took the entry");
    assert_eq!(bench.store(&key, "second", StoreCondition::Fenced(fence)), Stored::Yes);
    assert_eq!(bench.store(&key, "third", StoreCondition::Fenced(fence)), Stored::Refused, "it saw the first");
    assert_eq!(bench.peek(&key), Some("second".into()));
}

pub(super) fn a_peek_takes_no_fence(bench: &Bench) {
    let key = bench.key("peeked");
    assert_eq!(bench.process().read(&key, Read::peek()).expect("read").fence, None);
    let fence = bench.fence(&key);
    assert_eq!(bench.peek(&key), None);
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Yes, "a peek broke the fence");
}

pub(super) fn a_removal_refuses_the_load_under_way(bench: &Bench) {
    let key = bench.key("removed");
    let fence = bench.fence(&key);
    assert!(!bench.remove(&key), "a placeholder is no entry");
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused);
    assert_eq!(bench.peek(&key), None);
}

pub(super) fn a_removal_refuses_the_reload_under_way(bench: &Bench) {
    let key = bench.key("removed");
    assert_eq!(bench.store(&key, "old", StoreCondition::Always), Stored::Yes);
    let fence = bench.fence(&key);
    assert!(bench.remove(&key));
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused);
    let next = bench.fence(&key);
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused, "beside a new loader");
    assert_eq!(bench.store(&key, "new", StoreCondition::Fenced(next)), Stored::Yes);
}

pub(super) fn a_store_in_any_case_refuses_the_load_under_way(bench: &Bench) {
    let key = bench.key("set");
    for round in 0..2 {
        let fence = bench.fence(&key);
        assert_eq!(bench.store(&key, "set", StoreCondition::Always), Stored::Yes);
        let stored = bench.store(&key, "stale", StoreCondition::Fenced(fence));
        assert_eq!(stored, Stored::Refused, "of slot {}", ["empty", "present"][round]);
        assert_eq!(bench.peek(&key), Some("set".into()));
    }
}

pub(super) fn a_fence_taken_after_a_removal_holds(bench: &Bench) {
    let key = bench.key("after");
    bench.fence(&key);
    bench.remove(&key);
    let fence = bench.fence(&key);
    assert_eq!(bench.store(&key, "new", StoreCondition::Fenced(fence)), Stored::Yes);
    assert_eq!(bench.peek(&key), Some("new".into()));
}

pub(super) fn a_slot_is_usable_after_its_lease(bench: &Bench) {
    let key = bench.key("leased");
    let snapshot = bench.process().read(&key, Read::fenced(SHORT)).expect("fenced read");
    assert!(snapshot.fence.is_some(), "fences are declared");
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&key), None);
    let fence = bench.fence(&key);
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Yes);
}

/// Loaders read a source that changes before each removal: what is there in the end must be the last.
pub(super) fn an_acknowledged_removal_wins_under_threads(bench: &Bench) {
    let (key, source) = (bench.key("raced"), AtomicU64::new(0));
    for round in 0..100 {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let fence = bench.fence(&key);
                    let loaded = Bytes::from(source.load(Ordering::SeqCst).to_string());
                    let terms = StoreOptions::new(StoreCondition::Fenced(fence));
                    bench.process().store(&key, loaded, terms).expect("store");
                });
            }
            source.fetch_add(1, Ordering::SeqCst);
            bench.remove(&key);
        });
        let current = Bytes::from(source.load(Ordering::SeqCst).to_string());
        assert!(bench.peek(&key).is_none_or(|seen| seen == current), "stale after round {round}");
    }
}
