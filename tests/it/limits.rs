//! Tests the limits of an entry's groups and header, when it is written and when it is read.

use std::time::Duration;

use retainit::{CallOptions, ErrorKind, EventKind, retain};
use retainit_testkit::Op;
use twox_hash::XxHash3_64;

use crate::common::{Runs, Stage};

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

/// Writes a whole entry of wire version 1 that never expires, with these groups and a `u64` of 7.
fn entry(groups: &[String], serializer: &str) -> Vec<u8> {
    let mut out = b"RI\x01\x00".to_vec();
    number(&mut out, 1_750_000_000_000);
    (0..5).for_each(|_| number(&mut out, 0));
    number(&mut out, groups.len() as u64);
    for group in groups {
        text(&mut out, group);
        number(&mut out, 1);
        number(&mut out, 1);
    }
    out.extend([0; 8]);
    text(&mut out, serializer);
    // No compressor, encryption, key, nonce, digest, etag.
    out.extend([0; 6]);
    let checksum = XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&[7]), &out);
    out.extend(checksum.to_le_bytes());
    out.push(7);
    out
}

fn tags(many: usize) -> Vec<String> {
    (0..many).map(|tag| format!("r1:t:default:-:tag{tag}")).collect()
}

static LOADS: Runs = Runs::new();

#[retain(id = "limits.value")]
fn value(id: u64) -> u64 {
    LOADS.add();
    id
}

const KEY: &str = "r1:d:default:-:limits.value@0:1";

// An entry has at most 256 groups. More are refused before a version of any is asked for.
#[test]
fn an_entry_with_more_groups_than_it_may_have_costs_nothing() {
    for stage in [Stage::bytes(), Stage::local()] {
        let config = stage.bytes.clone().unwrap();
        let (store, faults) = (config.store(), config.faults());
        let long = |many: usize, len: usize| (0..many).map(|n| format!("{n}{}", "x".repeat(len))).collect::<Vec<_>>();
        for (groups, what) in [
            (tags(257), "257 groups"),
            (tags(40_000), "40000 groups"),
            (vec!["r1:t:default:-:same".into(); 100_000], "100000 groups"),
            (long(256, 64 << 10), "a header of"),
            (long(1, 70_000), "a header of"),
        ] {
            store.put(KEY, entry(&groups, "msgpack"));
            faults.reset_calls();
            LOADS.take();
            let looked = stage.run_sync(|| (value::cache().get(&1), faults.calls(Op::All)));
            assert!(!looked.0.unwrap().is_hit());
            assert_eq!(looked.1, 1, "{what}: it is read, and nothing is asked for it");
            let why = stage.run_sync(|| value::cache().explain(&1).unwrap().to_string());
            assert!(why.contains(what) && why.contains("256") || why.contains("65536"), "{why}");
            assert_eq!(stage.run_sync(|| (value(1), value(1))), (1, 1));
            assert_eq!(LOADS.take(), 1, "{what}: a load replaces it");
        }
        let errors = stage.run_sync(|| value::cache().stats().errors_by_operation["read"]);
        assert_eq!(
            errors, 11,
            "each read of it is told: by `get`, by the call, and by the take that makes the versions"
        );
    }
}

// Up to the bound groups are compared, each with its own, in any order and however often it is named.
#[test]
fn as_many_groups_as_an_entry_may_have_are_compared() {
    for stage in [Stage::bytes(), Stage::local()] {
        let store = stage.bytes.as_ref().unwrap().store();
        let cache = stage.retainit.cache::<u64>("many").build().unwrap();
        let mut tags: Vec<String> = (0..254).map(|tag| format!("tag{tag}")).collect();
        tags.reverse();
        cache.blocking().set_with(&1, 7, CallOptions::new().tags(tags.clone()).tags(tags)).unwrap();
        assert!(cache.blocking().get(&1).unwrap().is_hit());
        stage.retainit.blocking().invalidate_tag("tag253").unwrap();
        assert!(!cache.blocking().get(&1).unwrap().is_hit());

        cache.blocking().set_with(&2, 7, CallOptions::new().tags(["a", "b", "a"])).unwrap();
        let key = store.keys().into_iter().find(|key| key.ends_with(":2")).unwrap();
        let stored = store.entry(&key).unwrap();
        let named = |tag: &str| stored.windows(tag.len()).filter(|part| *part == tag.as_bytes()).count();
        assert_eq!((named("r1:t:default:-:a"), named("r1:t:default:-:b")), (1, 1), "a tag is noted once");
    }
}

// A name that comes from an entry is shown as far as it is short, without control characters.
#[test]
fn a_name_from_an_entry_is_not_shown_as_it_is() {
    let stage = Stage::bytes();
    let (told, tell) = std::sync::mpsc::channel();
    stage.retainit.events().subscribe(EventKind::CacheError, move |event| {
        told.send(event.error().unwrap_or_default().to_owned()).unwrap();
    });
    let name = format!("\n2025-01-01 forged\u{1b}[2J{}", "x".repeat(5_000));
    stage.bytes.as_ref().unwrap().store().put(KEY, entry(&[], &name));
    assert_eq!(stage.run_sync(|| value(1)), 1);
    let text = tell.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(text.contains(r"serializer `\n2025-01-01 forged\u{1b}[2J") && text.len() < 300, "{text}");
}

// Storing more is an error.
#[test]
fn more_tags_than_an_entry_may_have_are_an_error() {
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<u64>("tagged").tags(["one"]).build().unwrap();
        let set = |tags: Vec<String>| cache.blocking().set_with(&1, 7, CallOptions::new().tags(tags));
        let many = |tags: usize| (0..tags).map(|tag| format!("tag{tag}")).collect::<Vec<_>>();
        set(many(253)).unwrap();
        set(vec!["same".to_owned(); 10_000]).unwrap();
        let error = set(many(254)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("254 tags") && error.to_string().contains("255"), "{error}");
        let error = stage.retainit.cache::<u64>("c").tags(many(255)).build().unwrap_err();
        assert!(error.to_string().contains("254 tags"), "{error}");

        let long = set(vec!["x".repeat(70_000)]);
        match stage.is_memory() {
            true => long.unwrap(),
            false => assert_eq!(long.unwrap_err().kind(), ErrorKind::Unsupported),
        }
        assert!(cache.blocking().get(&1).unwrap().is_hit(), "what was there stays, or is replaced");
    }
}

static TAGGED: Runs = Runs::new();

#[retain(id = "limits.tagged", tags("tag:{id}"))]
fn tagged(id: String) -> usize {
    TAGGED.add();
    id.len()
}

// A call whose entry could not be read again runs uncached, which is reported; the backend is not called.
#[test]
fn a_call_whose_tags_are_too_long_runs_uncached() {
    for stage in Stage::each() {
        TAGGED.take();
        for _ in 0..2 {
            assert_eq!(stage.run_sync(|| tagged("x".repeat(70_000))), 70_000);
            assert_eq!(stage.run_sync(|| tagged("x".into())), 1);
        }
        let errors = stage.run_sync(|| tagged::cache().stats()).errors;
        match &stage.bytes {
            None => assert_eq!((TAGGED.take(), errors), (2, 0)),
            Some(config) => {
                assert_eq!((TAGGED.take(), errors), (3, 2));
                assert_eq!(config.faults().calls(Op::All), 4, "a miss and a hit of the other");
            }
        }
    }
}
