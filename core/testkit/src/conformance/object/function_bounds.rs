use std::thread;

use retainit_plugin::{CachedEntry, EntryMeta, InsertMode, Inserted, Moment, NewEntry, RemovalCause};

use super::bench::{Bench, SITE, address};

const MOST: u64 = 8;
const OTHER: u32 = SITE + 1;

fn fill(bench: &Bench, from: u8, to: u8) {
    for key in from..to {
        assert_eq!(bench.insert_bounded(SITE, &[key], MOST, InsertMode::Always), Inserted::Yes);
    }
}

pub(super) fn a_site_keeps_its_bound_and_others_are_left_alone(bench: &Bench) {
    for key in 0..50_u8 {
        bench.insert_at(address(OTHER, &[key]), &[key], "value", InsertMode::Always);
    }
    fill(bench, 0, 30);
    assert_eq!((bench.held(SITE), bench.held(OTHER)), (8, 50));
    assert!(bench.peek(&[29]).is_some(), "the newest stays");
    let evicted = bench.recorder.take_removals();
    assert_eq!(evicted.len(), 22);
    assert!(evicted.iter().all(|removed| removed.site == SITE && removed.cause == RemovalCause::Evicted));
}

pub(super) fn a_replaced_entry_evicts_no_other(bench: &Bench) {
    fill(bench, 0, 8);
    fill(bench, 0, 8);
    assert_eq!(bench.held(SITE), 8);
    assert!(bench.recorder.take_removals().iter().all(|removed| removed.cause == RemovalCause::Replaced));
}

pub(super) fn a_removal_makes_room(bench: &Bench) {
    fill(bench, 0, 8);
    assert!(bench.remove(&[3]) && bench.remove(&[4]));
    let removed = bench.backend.retain(&mut |entry| (entry.key == [5]).then_some(RemovalCause::Expired));
    assert_eq!(removed, 1);
    bench.recorder.take_removals();
    fill(bench, 20, 23);
    assert_eq!((bench.held(SITE), bench.recorder.take_removals()), (8, vec![]));
    fill(bench, 23, 24);
    assert_eq!(bench.held(SITE), 8);
}

pub(super) fn a_bound_that_comes_later_or_is_lowered_holds_from_the_next_insert(bench: &Bench) {
    for key in 0..30_u8 {
        bench.set(&[key], "value");
    }
    assert_eq!(bench.insert_bounded(SITE, b"new", MOST, InsertMode::Always), Inserted::Yes);
    assert_eq!(bench.held(SITE), 8);
    assert_eq!(bench.insert_bounded(SITE, b"newer", 2, InsertMode::Always), Inserted::Yes);
    assert_eq!((bench.held(SITE), bench.peek(b"newer").is_some()), (2, true));
    for key in 40..60_u8 {
        bench.set(&[key], "value");
    }
    assert_eq!(bench.held(SITE), 22, "without a bound it grows again");
}

pub(super) fn a_refused_insert_evicts_nothing(bench: &Bench) {
    fill(bench, 0, 8);
    let fence = bench.fence(b"new");
    bench.set(b"new", "first");
    bench.remove(b"new");
    bench.recorder.take_removals();
    assert_eq!(bench.insert_bounded(SITE, b"new", MOST, InsertMode::Fenced(fence)), Inserted::Refused);
    assert_eq!((bench.held(SITE), bench.recorder.take_removals()), (8, vec![]));
}

pub(super) fn an_eviction_leaves_the_fences_of_loads_under_way(bench: &Bench) {
    fill(bench, 0, 8);
    let fences: Vec<_> = (100..140_u8).map(|key| (key, bench.fence(&[key]))).collect();
    for (key, fence) in fences {
        assert_eq!(bench.insert_bounded(SITE, &[key], MOST, InsertMode::Fenced(fence)), Inserted::Yes);
    }
    assert_eq!(bench.held(SITE), 8);
}

pub(super) fn what_is_read_stays_longer(bench: &Bench) {
    for key in 0..8_u8 {
        let mut times = super::bench::times(Moment::NEVER);
        times.extra = Some(EntryMeta::default());
        let cached = CachedEntry::new("value".to_owned(), times);
        let key = &[key][..];
        let entry = NewEntry { cached, max_entries: Some(MOST), ..bench.entry(address(SITE, key), key, "value") };
        assert_eq!(bench.backend.insert(entry, InsertMode::Always), Inserted::Yes);
    }
    // As the engine notes a read.
    bench.backend.scan(&mut |entry| {
        if entry.key == [0] {
            entry.cached.touch(Moment::from_millis(1_000));
        }
    });
    fill(bench, 20, 27);
    assert!(bench.peek(&[0]).is_some(), "it was read since it came");
    assert_eq!(bench.held(SITE), 8);
}

pub(super) fn a_bound_holds_at_every_moment_under_threads(bench: &Bench) {
    thread::scope(|threads| {
        for thread in 0..4_u8 {
            threads.spawn(move || {
                for round in 0..250_u32 {
                    let key = [thread, (round % 16) as u8];
                    if round % 5 == 0 {
                        bench.backend.remove(address(SITE, &key), &mut super::bench::Says { key: &key, known: true });
                    }
                    bench.insert_bounded(SITE, &key, MOST, InsertMode::Always);
                }
            });
        }
        threads.spawn(|| {
            for _ in 0..500 {
                assert!(bench.backend.len() <= 8, "more than its bound");
            }
        });
    });
    assert_eq!(bench.held(SITE), bench.backend.len());
}
