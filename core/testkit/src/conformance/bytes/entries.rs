use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use retainit_plugin::{Bytes, StoreCondition, StoreOptions, Stored};

use super::bench::{Bench, SHORT};

pub(super) fn an_empty_slot_reads_as_none(bench: &Bench) {
    let key = bench.key("empty");
    assert_eq!(bench.peek(&key), None);
    assert!(!bench.remove(&key), "nothing was there to remove");
    assert_eq!(bench.peek(&key), None);
}

pub(super) fn bytes_come_back_as_they_were(bench: &Bench) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    for (name, bytes) in [("none", Vec::new()), ("every", every_byte), ("large", large)] {
        let key = bench.key(name);
        let stored = bench.process().store(&key, bytes.clone().into(), StoreOptions::new(StoreCondition::Always));
        assert_eq!(stored.expect("store"), Stored::Yes);
        assert!(bench.peek(&key) == Some(Bytes::from(bytes)), "{name}: other bytes came back");
    }
}

//
pub(super) fn keys_of_every_shape_are_distinct(bench: &Bench) {
    let long = "x".repeat(512);
    let names = [
        "a",
        "A",
        "a/b",
        "a:b",
        "a_b",
        "a%2Fb",
        "a.b",
        "a b",
        "a//b",
        "../a",
        ".",
        "a.",
        "ä",
        "%00",
        "a\\b",
        "#a",
        "(1,\"x\")",
        "a@2",
        "a~",
        "-",
        &long,
        &format!("{long}y"),
    ];
    for name in names {
        let terms = StoreOptions::new(StoreCondition::Always);
        let stored = bench.process().store(&bench.key(name), name.to_owned().into(), terms);
        assert_eq!(stored.expect("store"), Stored::Yes, "{name}");
    }
    for name in names {
        assert_eq!(bench.peek(&bench.key(name)), Some(name.to_owned().into()), "{name}");
    }
}

pub(super) fn a_store_replaces_what_was_there(bench: &Bench) {
    let key = bench.key("replaced");
    for entry in ["first, and a longer one", "second"] {
        assert_eq!(bench.store(&key, entry, StoreCondition::Always), Stored::Yes);
        assert_eq!(bench.peek(&key), Some(entry.into()));
    }
}

pub(super) fn remove_says_whether_an_entry_was_there(bench: &Bench) {
    let (key, other) = (bench.key("removed"), bench.key("kept"));
    assert_eq!(bench.store(&key, "value", StoreCondition::Always), Stored::Yes);
    assert_eq!(bench.store(&other, "value", StoreCondition::Always), Stored::Yes);
    assert!(bench.remove(&key));
    assert!(!bench.remove(&key), "it was gone already");
    assert_eq!(bench.peek(&key), None);
    assert_eq!(bench.peek(&other), Some("value".into()));
}

pub(super) fn an_entry_goes_when_its_ttl_ends(bench: &Bench) {
    let key = bench.key("short");
    bench.store_for(&key, "value", SHORT);
    assert_eq!(bench.peek(&key), Some("value".into()), "its ttl has not ended");
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&key), None);
    assert!(!bench.remove(&key), "it has left");
}

pub(super) fn an_entry_without_a_ttl_stays(bench: &Bench) {
    let key = bench.key("long");
    assert_eq!(bench.store(&key, "value", StoreCondition::Always), Stored::Yes);
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&key), Some("value".into()));
}

pub(super) fn a_store_brings_its_own_ttl(bench: &Bench) {
    let (longer, shorter) = (bench.key("longer"), bench.key("shorter"));
    bench.store_for(&longer, "first", SHORT);
    assert_eq!(bench.store(&longer, "second", StoreCondition::Always), Stored::Yes);
    assert_eq!(bench.store(&shorter, "first", StoreCondition::Always), Stored::Yes);
    bench.store_for(&shorter, "second", SHORT);
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&longer), Some("second".into()), "the ttl of the first store still counted");
    assert_eq!(bench.peek(&shorter), None, "the ttl of the second store did not count");
}

pub(super) fn absent_goes_only_into_an_empty_slot(bench: &Bench) {
    let key = bench.key("absent");
    assert_eq!(bench.store(&key, "first", StoreCondition::Absent), Stored::Yes);
    assert_eq!(bench.store(&key, "second", StoreCondition::Absent), Stored::Refused);
    assert_eq!(bench.peek(&key), Some("first".into()));
    assert!(bench.remove(&key));
    assert_eq!(bench.store(&key, "third", StoreCondition::Absent), Stored::Yes);
}

pub(super) fn absent_counts_a_placeholder_as_empty(bench: &Bench) {
    let key = bench.key("placeholder");
    let fence = bench.fence(&key);
    assert_eq!(bench.store(&key, "set", StoreCondition::Absent), Stored::Yes);
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Refused, "the fence fell");
    assert_eq!(bench.peek(&key), Some("set".into()));
}

pub(super) fn absent_goes_in_once_under_threads(bench: &Bench) {
    for round in 0..20 {
        let (key, stored) = (bench.key(&format!("round{round}")), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if bench.store(&key, "value", StoreCondition::Absent) == Stored::Yes {
                        stored.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(stored.into_inner(), 1, "in round {round}");
    }
}
