use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use retainit_plugin::{Clock, EntryAddress, InsertMode, Inserted, NewEntry};

use super::bench::{Bench, Finder, SITE, address, lasting, shown};

pub(super) fn what_went_in_is_found(bench: &Bench) {
    assert_eq!(bench.insert(b"key", "value", InsertMode::Always), Inserted::Yes);
    for _ in 0..2 {
        assert_eq!(bench.get(b"key").as_deref(), Some("value"));
        assert_eq!(bench.peek(b"key").as_deref(), Some("value"));
    }
}

pub(super) fn what_never_went_in_is_not_found(bench: &Bench) {
    assert_eq!((bench.get(b"key"), bench.peek(b"key")), (None, None));
    assert!(!bench.remove(b"key"));
    bench.set(b"other", "value");
    assert_eq!((bench.get(b"key"), bench.peek(b"key")), (None, None));
    assert!(!bench.remove(b"key"));
}

pub(super) fn an_insert_replaces_what_was_there(bench: &Bench) {
    bench.set(b"key", "first");
    bench.set(b"key", "second");
    assert_eq!(bench.get(b"key").as_deref(), Some("second"));
    assert_eq!(bench.backend.len(), 1);
}

/// Checks that one key's entry is never taken for another's; a backend may keep one entry per hash and let the others
/// go.
pub(super) fn keys_of_one_hash_are_distinct(bench: &Bench) {
    let at = EntryAddress { hash: 42, site: SITE };
    let keys = ["one", "two", "three", "four"];
    for key in keys {
        assert_eq!(bench.insert_at(at, key.as_bytes(), key, InsertMode::Always), Inserted::Yes);
        assert_eq!(bench.peek_at(at, key.as_bytes()).as_deref(), Some(key));
    }
    assert_eq!(bench.peek_at(at, b"five"), None, "the entry of another key was shown");
    assert!(!bench.backend.remove(at, &mut Finder::new(b"five")));
    let seen = keys.map(|key| bench.peek_at(at, key.as_bytes()));
    assert_eq!(seen[3].as_deref(), Some("four"), "a removal took the entry of another key");
    assert!(keys.iter().zip(&seen).all(|(key, seen)| seen.as_deref().is_none_or(|s| s == *key)));
    expect_balance(bench, keys.len());
}

pub(super) fn sites_never_meet(bench: &Bench) {
    for (site, value) in [(1, "one"), (2, "two")] {
        let inserted = bench.insert_at(address(site, b"key"), b"key", value, InsertMode::Always);
        assert_eq!(inserted, Inserted::Yes);
    }
    for (site, value) in [(1, "one"), (2, "two")] {
        assert_eq!(bench.peek_at(address(site, b"key"), b"key").as_deref(), Some(value));
    }
    let (one, two) = (EntryAddress { hash: 42, site: 1 }, EntryAddress { hash: 42, site: 2 });
    assert_eq!(bench.insert_at(one, b"key", "one", InsertMode::Always), Inserted::Yes);
    assert_eq!(bench.peek_at(two, b"key"), None, "of one hash: another site's entry was shown");
    assert!(!bench.backend.remove(two, &mut Finder::new(b"key")));
    assert_eq!(bench.peek_at(one, b"key").as_deref(), Some("one"), "another site's was removed");
    assert_eq!(bench.insert_at(two, b"key", "two", InsertMode::Always), Inserted::Yes);
    assert_eq!(bench.peek_at(two, b"key").as_deref(), Some("two"));
    assert!(bench.peek_at(one, b"key").is_none_or(|seen| seen == "one"));
    expect_balance(bench, 4);
}

/// Expects that every inserted entry is present or was reported as removed.
fn expect_balance(bench: &Bench, inserted: usize) {
    assert_eq!(bench.recorder.removals().len() + bench.backend.len(), inserted, "not reported of");
}

pub(super) fn long_and_odd_keys_are_distinct(bench: &Bench) {
    let long = vec![b'x'; 64 << 10];
    let mut other = long.clone();
    *other.last_mut().expect("it is long") = b'y';
    let keys: [&[u8]; 7] = [&long, &other, &long[1..], b"", b"\0", b"\0\0", b"\xff"];
    for (i, key) in keys.iter().enumerate() {
        bench.set(key, &i.to_string());
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(bench.peek(key), Some(i.to_string()), "key {i}");
        assert!(bench.remove(key), "key {i}");
    }
    assert!(bench.backend.is_empty());
}

pub(super) fn remove_takes_one_entry(bench: &Bench) {
    bench.set(b"key", "value");
    bench.set(b"other", "value");
    assert!(bench.remove(b"key"));
    assert!(!bench.remove(b"key"), "it was gone already");
    assert_eq!(bench.get(b"key"), None);
    assert_eq!(bench.get(b"other").as_deref(), Some("value"));
}

pub(super) fn absent_goes_in_where_nothing_lives(bench: &Bench) {
    let absent = || InsertMode::Absent { live: &|_| true };
    assert_eq!(bench.insert(b"key", "first", absent()), Inserted::Yes);
    assert_eq!(bench.insert(b"key", "second", absent()), Inserted::Present);
    assert_eq!(bench.get(b"key").as_deref(), Some("first"));
    assert!(bench.remove(b"key"));
    assert_eq!(bench.insert(b"key", "third", absent()), Inserted::Yes);
}

pub(super) fn absent_replaces_what_does_not_live(bench: &Bench) {
    bench.set(b"key", "dead");
    let put = InsertMode::Absent { live: &|cached| cached.value::<String>().is_some_and(|v| v != "dead") };
    assert_eq!(bench.insert(b"key", "new", put), Inserted::Yes);
    assert_eq!(bench.get(b"key").as_deref(), Some("new"));
    assert_eq!((bench.causes(b"key").len(), bench.backend.len()), (1, 1), "one left, one is there");
}

pub(super) fn absent_goes_in_once_under_threads(bench: &Bench) {
    for round in 0..100_u32 {
        let (key, stored) = (round.to_be_bytes(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let put = InsertMode::Absent { live: &|_| true };
                    if bench.insert(&key, "value", put) == Inserted::Yes {
                        stored.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(stored.into_inner(), 1, "in round {round}");
    }
}

pub(super) fn lengths_and_weights_add_up(bench: &Bench) {
    let backend = &bench.backend;
    assert_eq!((backend.len(), backend.is_empty(), backend.bytes()), (0, true, 0));
    bench.set(b"one", "1234567890");
    bench.set(b"two", "12345");
    assert_eq!(backend.len(), 2);
    let full = backend.bytes();
    assert!(backend.weighs() || full == 0, "weighed {full} bytes without a weight");
    assert!(!backend.weighs() || full >= 15, "{full} bytes are less than their values");
    bench.set(b"one", "1");
    assert!(!backend.weighs() || backend.bytes() == full - 9, "a replaced value still weighs");
    assert!(bench.remove(b"one") && bench.remove(b"two"));
    assert!(backend.is_empty() && backend.bytes() == 0, "{} bytes of nothing", backend.bytes());
}

pub(super) fn the_next_deadline_comes_no_later_than_an_end(bench: &Bench) {
    bench.set(b"never", "value");
    for seconds in [60, 10, 30] {
        let end = bench.clock.now().after(Duration::from_secs(seconds));
        let (key, cached) = ([seconds as u8], lasting("value".to_owned(), end));
        let entry = NewEntry { address: address(SITE, &key), key: &key, cached, bytes: 5, max_entries: None };
        assert_eq!(bench.backend.insert(entry, InsertMode::Always), Inserted::Yes);
        assert!(bench.backend.next_deadline() <= end, "an entry that ends would be swept late");
    }
}

pub(super) fn a_scan_shows_every_entry_once(bench: &Bench) {
    let mut expected = Vec::new();
    for i in 0..300_u32 {
        let (site, key, value) = (i % 3, i.to_be_bytes(), i.to_string());
        let inserted = bench.insert_at(address(site, &key), &key, &value, InsertMode::Always);
        assert_eq!(inserted, Inserted::Yes);
        expected.push((site, key.to_vec(), value));
    }
    let mut found = Vec::new();
    bench.backend.scan(&mut |entry| found.push(shown(entry)));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
