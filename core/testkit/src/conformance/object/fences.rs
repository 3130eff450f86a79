use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use retainit_plugin::{InsertMode, Inserted, RemovalCause};

use super::bench::Bench;

pub(super) fn a_fenced_insert_goes_in(bench: &Bench) {
    for value in ["first", "second"] {
        let fence = bench.fence(b"key");
        assert_eq!(bench.insert(b"key", value, InsertMode::Fenced(fence)), Inserted::Yes);
        assert_eq!(bench.get(b"key").as_deref(), Some(value));
    }
}

pub(super) fn a_fenced_insert_leaves_the_fences_of_others(bench: &Bench) {
    let (one, other) = (bench.fence(b"key"), bench.fence(b"key"));
    assert_eq!(bench.insert(b"key", "one", InsertMode::Fenced(one)), Inserted::Yes);
    assert_eq!(bench.insert(b"key", "other", InsertMode::Fenced(other)), Inserted::Yes);
}

pub(super) fn a_removal_refuses_the_load_under_way(bench: &Bench) {
    for present in [false, true] {
        if present {
            bench.set(b"key", "old");
        }
        let fence = bench.fence(b"key");
        assert_eq!(bench.remove(b"key"), present);
        let inserted = bench.insert(b"key", "stale", InsertMode::Fenced(fence));
        assert_eq!(inserted, Inserted::Refused, "an entry was there: {present}");
        assert_eq!(bench.peek(b"key"), None);
        let next = bench.fence(b"key");
        assert_eq!(bench.insert(b"key", "new", InsertMode::Fenced(next)), Inserted::Yes);
        assert!(bench.remove(b"key"));
    }
}

pub(super) fn a_store_in_any_case_refuses_the_load_under_way(bench: &Bench) {
    for round in 0..2 {
        let fence = bench.fence(b"key");
        bench.set(b"key", "set");
        let inserted = bench.insert(b"key", "stale", InsertMode::Fenced(fence));
        assert_eq!(inserted, Inserted::Refused, "of slot {}", ["empty", "present"][round]);
        assert_eq!(bench.get(b"key").as_deref(), Some("set"));
    }
}

pub(super) fn a_refresh_is_fenced_and_refuses_the_load_under_way(bench: &Bench) {
    let (refresh, load) = (bench.fence(b"key"), bench.fence(b"key"));
    assert_eq!(bench.insert(b"key", "refreshed", InsertMode::Replace(refresh)), Inserted::Yes);
    assert_eq!(bench.insert(b"key", "stale", InsertMode::Fenced(load)), Inserted::Refused);
    assert_eq!(bench.insert(b"key", "stale", InsertMode::Replace(refresh)), Inserted::Refused);
    assert_eq!(bench.get(b"key").as_deref(), Some("refreshed"));
}

pub(super) fn a_store_into_an_empty_slot_refuses_the_load_under_way(bench: &Bench) {
    let fence = bench.fence(b"key");
    let put = InsertMode::Absent { live: &|_| true };
    assert_eq!(bench.insert(b"key", "set", put), Inserted::Yes);
    assert_eq!(bench.insert(b"key", "stale", InsertMode::Fenced(fence)), Inserted::Refused);
    assert_eq!(bench.get(b"key").as_deref(), Some("set"));
}

pub(super) fn broken_fences_refuse_every_load_under_way(bench: &Bench) {
    bench.set(&[0], "old");
    let fences: Vec<_> = (0..100).map(|key| (key, bench.fence(&[key]))).collect();
    bench.backend.break_fences();
    for (key, fence) in fences {
        let inserted = bench.insert(&[key], "stale", InsertMode::Fenced(fence));
        assert_eq!(inserted, Inserted::Refused, "key {key}");
    }
    assert_eq!(bench.get(&[0]).as_deref(), Some("old"), "broken fences remove no entry");
    let next = bench.fence(b"key");
    assert_eq!(bench.insert(b"key", "new", InsertMode::Fenced(next)), Inserted::Yes);
}

pub(super) fn a_refused_insert_changes_nothing(bench: &Bench) {
    let fence = bench.fence(b"key");
    bench.set(b"key", "set");
    let before = (bench.backend.len(), bench.backend.bytes());
    assert_eq!(bench.insert(b"key", "a longer one", InsertMode::Fenced(fence)), Inserted::Refused);
    assert_eq!((bench.backend.len(), bench.backend.bytes()), before);
    assert_eq!(bench.get(b"key").as_deref(), Some("set"));
}

pub(super) fn retain_leaves_fences_alone(bench: &Bench) {
    bench.set(b"key", "dead");
    let fence = bench.fence(b"key");
    assert_eq!(bench.backend.retain(&mut |_| Some(RemovalCause::Expired)), 1);
    assert_eq!(bench.insert(b"key", "loaded", InsertMode::Fenced(fence)), Inserted::Yes, "retain");
}

/// Loaders read a source that changes before each removal: what is there in the end must be the last.
pub(super) fn an_acknowledged_removal_wins_under_threads(bench: &Bench) {
    const LOADERS: usize = 2;
    const ROUNDS: usize = 1_000;
    let (source, begin, end) = (AtomicU64::new(0), Barrier::new(LOADERS + 1), Barrier::new(LOADERS + 1));
    let load = || {
        let fence = bench.fence(b"key");
        let loaded = source.load(Ordering::SeqCst).to_string();
        thread::yield_now();
        bench.insert(b"key", &loaded, InsertMode::Fenced(fence));
    };
    let mut stale = Vec::new();
    thread::scope(|scope| {
        for _ in 0..LOADERS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    begin.wait();
                    load();
                    end.wait();
                }
            });
        }
        for round in 0..ROUNDS {
            begin.wait();
            let current = source.fetch_add(1, Ordering::SeqCst) + 1;
            bench.remove(b"key");
            end.wait();
            // Collected, for a panic here would leave the loaders at their barrier.
            stale.extend(bench.peek(b"key").filter(|seen| *seen != current.to_string()).map(|_| round));
        }
    });
    assert!(stale.is_empty(), "stale after rounds {stale:?}");
}
