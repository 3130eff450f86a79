use retainit_plugin::{Fence, Read, StoreCondition, Stored};

use super::bench::{Bench, LEASE, SHORT};

pub(super) fn a_placeholder_is_kept_while_it_is_renewed(bench: &Bench) {
    let key = bench.key("renewed");
    let taken = bench.process().read(&key, Read::take(SHORT)).expect("read that takes");
    assert!(taken.placed);
    let fence = taken.fence.expect("fences are declared");
    assert!(bench.process().renew(&key, fence, SHORT * 4).expect("renew"));
    bench.pass(SHORT * 2);
    assert_eq!(bench.peek(&key), None, "a placeholder is no entry");
    assert_eq!(bench.fence(&key), fence, "it has ended with its first lease");
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Yes);
}

pub(super) fn what_is_released_is_an_empty_slot(bench: &Bench) {
    let key = bench.key("released");
    let fence = bench.fence(&key);
    assert!(bench.process().release(&key, fence).expect("release"));
    assert_eq!(bench.store(&key, "stale", StoreCondition::Fenced(fence)), Stored::Refused);
    let again = bench.process().read(&key, Read::take(LEASE)).expect("read that takes");
    assert!(again.placed && again.fence != Some(fence));
}

/// Checks that only the placeholder of a fence is renewed and released: whoever was stopped for longer than its lease
/// must not take that of another.
pub(super) fn what_is_of_another_is_neither_renewed_nor_released(bench: &Bench) {
    let (key, process) = (bench.key("another's"), bench.process());
    let neither = |fence: Fence, what: &str| {
        assert!(!process.renew(&key, fence, LEASE).expect("renew"), "renewed: {what}");
        assert!(!process.release(&key, fence).expect("release"), "released: {what}");
    };
    let first = process.read(&key, Read::take(SHORT)).expect("read that takes").fence.expect("a fence");
    bench.pass(SHORT * 2);
    neither(first, "its lease has ended");
    let second = bench.fence(&key);
    neither(first, "the slot has another placeholder");
    bench.remove(&key);
    neither(second, "it was removed");
    let third = bench.fence(&key);
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(third)), Stored::Yes);
    neither(third, "an entry has taken its place");
    let of_entry = process.read(&key, Read::seen()).expect("look").fence.expect("a fence");
    neither(of_entry, "an entry is no placeholder");
    assert_eq!(bench.peek(&key), Some("loaded".into()));
}
