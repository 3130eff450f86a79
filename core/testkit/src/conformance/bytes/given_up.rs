use retainit_plugin::{Bytes, CancellationToken, ErrorKind, StoreCondition, StoreOptions, Stored};

use super::bench::Bench;

/// Checks that nothing changes, whatever the condition of the store, if the caller has gone before the store began.
pub(super) fn a_store_that_was_given_up_changes_nothing(bench: &Bench) {
    let (key, process) = (bench.key("given-up"), bench.process());
    let token = CancellationToken::new();
    token.cancel();
    let refused = |when| {
        let stored = process.store(&key, Bytes::from("late"), StoreOptions::new(when).cancelled(&token));
        assert_eq!(stored.map_err(|error| error.kind()), Err(ErrorKind::Timeout), "{when:?}");
    };
    refused(StoreCondition::Always);
    refused(StoreCondition::Absent);
    assert_eq!(bench.peek(&key), None);
    let fence = bench.fence(&key);
    refused(StoreCondition::Always);
    refused(StoreCondition::Fenced(fence));
    assert_eq!(bench.store(&key, "loaded", StoreCondition::Fenced(fence)), Stored::Yes, "the fence was broken");
    refused(StoreCondition::Always);
    assert_eq!(bench.peek(&key), Some("loaded".into()));
    let terms = || StoreOptions::new(StoreCondition::Always).cancelled(&token);
    let large = process.store(&key, vec![7; 100_000].into(), terms());
    assert_eq!(large.map_err(|error| error.kind()), Err(ErrorKind::Timeout), "a large entry");
    assert_eq!(bench.peek(&key), Some("loaded".into()));
}

/// Checks that the token changes nothing as long as somebody waits.
pub(super) fn a_store_that_somebody_waits_for_goes_in(bench: &Bench) {
    let (key, process, token) = (bench.key("waited-for"), bench.process(), CancellationToken::new());
    let terms = StoreOptions::new(StoreCondition::Always).cancelled(&token);
    assert_eq!(process.store(&key, Bytes::from("set"), terms).expect("a store"), Stored::Yes);
    token.cancel();
    assert_eq!(bench.peek(&key), Some("set".into()));
    assert!(bench.remove(&key));
}
