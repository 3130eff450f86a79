use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use retainit_plugin::{InsertMode, Inserted, RemovalCause};

use super::bench::{Bench, SITE, address, text};
use crate::Removed;

pub(super) fn a_replaced_entry_is_reported_once(bench: &Bench) {
    bench.set(b"key", "first");
    assert_eq!(bench.recorder.removals(), [], "an insert into an empty slot removes nothing");
    bench.set(b"key", "second");
    assert_eq!(bench.causes(b"key"), [RemovalCause::Replaced]);
    let fence = bench.fence(b"key");
    assert_eq!(bench.insert(b"key", "third", InsertMode::Fenced(fence)), Inserted::Yes);
    assert_eq!(bench.causes(b"key"), [RemovalCause::Replaced; 2]);
}

pub(super) fn a_removed_entry_is_reported_once(bench: &Bench) {
    bench.set(b"key", "value");
    bench.set(b"other", "value");
    assert!(bench.remove(b"key"));
    bench.remove(b"key");
    bench.remove(b"nothing");
    let reported = Removed { cause: RemovalCause::Removed, site: SITE, key: b"key".to_vec() };
    assert_eq!(bench.recorder.removals(), [reported]);
}

pub(super) fn retain_takes_what_it_is_reported_and_counts(bench: &Bench) {
    for i in 0..90_u32 {
        bench.insert_at(address(i % 3, &i.to_be_bytes()), &i.to_be_bytes(), &i.to_string(), InsertMode::Always);
    }
    let mut seen = 0;
    let removed = bench.backend.retain(&mut |entry| {
        seen += 1;
        assert_eq!(text(entry.cached).parse::<u32>().ok().map(|i| i % 3), Some(entry.site));
        match entry.site {
            0 => Some(RemovalCause::Invalidated),
            1 => Some(RemovalCause::Removed),
            _ => None,
        }
    });
    assert_eq!((seen, removed, bench.backend.len()), (90, 60, 30));
    let reported = bench.recorder.take_removals();
    assert_eq!(reported.len(), 60, "each removal is reported once");
    let expected = [RemovalCause::Invalidated, RemovalCause::Removed];
    assert!(reported.iter().all(|removed| Some(&removed.cause) == expected.get(removed.site as usize)));
    assert_eq!(bench.backend.retain(&mut |_| None), 0);
    assert_eq!(bench.recorder.removals(), []);
}

pub(super) fn what_was_refused_is_not_reported(bench: &Bench) {
    let fence = bench.fence(b"key");
    bench.set(b"key", "set");
    assert_eq!(bench.insert(b"key", "stale", InsertMode::Fenced(fence)), Inserted::Refused);
    let put = InsertMode::Absent { live: &|_| true };
    assert_eq!(bench.insert(b"key", "second", put), Inserted::Present);
    assert_eq!(bench.recorder.removals(), []);
}

/// Checks that every inserted entry is present or was reported as removed, and none was reported twice.
pub(super) fn every_entry_leaves_once_under_threads(bench: &Bench) {
    const KEYS: u32 = 16;
    let inserted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let inserted = &inserted;
            scope.spawn(move || {
                for step in 0..2_000_u32 {
                    let key = (step.wrapping_mul(thread * 2 + 7) % KEYS).to_be_bytes();
                    match (step + thread) % 8 {
                        0 | 1 => drop(bench.remove(&key)),
                        2 => drop(
                            bench.backend.retain(&mut |entry| (entry.key == key).then_some(RemovalCause::Invalidated)),
                        ),
                        3 => {
                            let put = InsertMode::Fenced(bench.fence(&key));
                            let went_in = bench.insert(&key, "value", put) == Inserted::Yes;
                            inserted.fetch_add(usize::from(went_in), Ordering::Relaxed);
                        }
                        _ => {
                            bench.set(&key, "value");
                            inserted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let reported = bench.recorder.removals().len();
    assert_eq!(inserted.into_inner(), reported + bench.backend.len(), "{reported} removals were reported");
}
