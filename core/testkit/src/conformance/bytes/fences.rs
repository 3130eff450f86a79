use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use retainit_plugin::{Bytes, GroupVersion, Read, StoreCondition, StoreOptions, Stored};

use super::bench::{Bench, LEASE, SHORT};
use super::lifecycle::drop_after;

pub(super) fn a_fenced_read_of_an_empty_slot_shows_nothing(bench: &Bench) {
    let key = bench.key("empty");
    let snapshot = bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
    assert_eq!(snapshot.entry, None);
    assert!(snapshot.fence.is_some(), "fences are declared");
    assert_eq!(bench.peek(&key), None, "a placeholder was shown");
    let again = bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
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
    let snapshot = bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
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

/// Checks that a look leaves an empty slot as it was: a hit must not pay for a write.
pub(super) fn a_look_writes_nothing(bench: &Bench) {
    let key = bench.key("looked");
    let look = || bench.process().read(&key, Read::seen()).expect("look");
    let (first, second) = (look(), look());
    assert!(first.entry.is_none() && !first.placed && !second.placed);
    assert_eq!(first.fence, second.fence, "the first look has changed the slot");
    let taken = bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
    match first.fence {
        // A counter beside the slot.
        Some(fence) => assert_eq!(taken.fence, Some(fence), "taking the fence has changed it"),
        None => assert!(taken.placed, "a look has left a placeholder"),
    }
}

pub(super) fn a_look_shows_the_fence_there_is(bench: &Bench) {
    let key = bench.key("shown");
    let seen = || bench.process().read(&key, Read::seen()).expect("look").fence.expect("the slot has a fence");
    let taken = bench.fence(&key);
    assert_eq!(seen(), taken, "of a placeholder");
    assert_eq!(bench.store(&key, "first", StoreCondition::Fenced(seen())), Stored::Yes);
    let of_first = seen();
    assert_ne!(of_first, taken, "each store has a fence of its own");
    assert_eq!(bench.store(&key, "second", StoreCondition::Fenced(of_first)), Stored::Yes, "of an entry");
    assert_eq!(bench.store(&key, "third", StoreCondition::Fenced(of_first)), Stored::Refused);
    let of_second = seen();
    bench.remove(&key);
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(of_second)), Stored::Refused, "it was removed");
    assert_eq!(bench.peek(&key), None);
}

pub(super) fn a_take_says_what_it_has_placed(bench: &Bench) {
    let key = bench.key("placed");
    let take = || bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
    let shows_empty_slots = bench.process().read(&key, Read::seen()).expect("look").fence.is_some();
    let (first, second) = (take(), take());
    assert_eq!(first.placed, !shows_empty_slots);
    assert!(!second.placed, "the placeholder of the first was there");
    assert_eq!(first.fence, second.fence, "concurrent loaders share a placeholder");
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(bench.fence(&key))), Stored::Yes);
    let third = take();
    assert!(!third.placed && third.entry == Some("loaded".into()), "a take shows an entry that came in between");
}

/// Checks that an empty slot does not accept what was seen before it became empty: the removal may have found it empty
/// already.
pub(super) fn a_removal_after_the_end_of_a_slot_refuses_too(bench: &Bench) {
    let (expired, leased) = (bench.key("expired"), bench.key("leased"));
    bench.store_for(&expired, "old", SHORT);
    let of_entry = bench.process().read(&expired, Read::seen()).expect("look").fence.expect("of an entry");
    let of_placeholder = bench.process().read(&leased, Read::take(SHORT)).expect("read that takes").fence;
    let of_placeholder = of_placeholder.expect("fences are declared");
    bench.pass(SHORT * 2);
    for (key, fence) in [(&expired, of_entry), (&leased, of_placeholder)] {
        assert!(!bench.remove(key), "its time is over");
        assert_eq!(bench.store(key, "stale", StoreCondition::Fenced(fence)), Stored::Refused);
        assert_eq!(bench.peek(key), None);
    }
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
    let snapshot = bench.process().read(&key, Read::take(SHORT)).expect("read that takes");
    assert!(snapshot.fence.is_some(), "fences are declared");
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&key), None);
    let fence = bench.fence(&key);
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Yes);
}

pub(super) fn what_nobody_loads_goes_in_beside_others(bench: &Bench) {
    let key = bench.key("crowded");
    for round in 0..20 {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(bench.store(&key, "set", StoreCondition::Always), Stored::Yes));
            }
        });
        assert_eq!(bench.peek(&key), Some("set".into()), "in round {round}");
    }
}

/// Checks that a store whose caller has left does not follow a removal that was acknowledged.
pub(super) fn what_was_given_up_does_not_follow_a_removal(bench: &Bench) {
    let (key, backend) = (bench.key("left"), bench.process().backend());
    for polls in 0..6 {
        let mut seal = |_: &[Option<GroupVersion>]| Ok(Bytes::from("late"));
        drop_after(bench, polls, backend.store_with(&key, &mut seal, StoreOptions::new(StoreCondition::Always)));
        bench.remove(&key);
        for _ in 0..3 {
            assert_eq!(bench.peek(&key), None, "given up after {polls} polls");
        }
    }
}

pub(super) fn several_keys_are_removed_together(bench: &Bench) {
    let keys: Vec<String> = (0..600).map(|number| bench.key(&format!("many/{number}"))).collect();
    for key in keys.iter().step_by(100) {
        assert_eq!(bench.store(key, "entry", StoreCondition::Always), Stored::Yes);
    }
    let left = bench.key("left");
    assert_eq!(bench.store(&left, "entry", StoreCondition::Always), Stored::Yes);
    let fences = bench.capabilities().has_fences().then(|| (bench.fence(&keys[0]), bench.fence(&keys[1])));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(bench.process().remove_many(&keys).expect("removals"), 6, "placeholders are no entries");
    assert_eq!(bench.process().remove_many(&keys).expect("removals"), 0);
    assert_eq!(bench.process().remove_many(&[]).expect("no removals"), 0);
    assert!(keys.iter().all(|key| bench.peek(key).is_none()));
    assert_eq!(bench.peek(&left), Some("entry".into()));
    if let Some((of_entry, of_empty)) = fences {
        assert_eq!(bench.store(keys[0], "stale", StoreCondition::Fenced(of_entry)), Stored::Refused);
        assert_eq!(bench.store(keys[1], "stale", StoreCondition::Fenced(of_empty)), Stored::Refused);
    }
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
