use std::collections::HashMap;

use proptest::prelude::*;
use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{InsertMode, Inserted, RemovalCause};

use crate::common::{BOTH, Short, build, heavy};

const MAX_ENTRIES: usize = 12;
const MAX_BYTES: u64 = 400;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u64),
    Absent(u8, u64),
    Read(u8),
    Remove(u8),
    Sweep(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..20u8;
    let step = prop_oneof![
        6 => (key.clone(), 0..90u64).prop_map(|(key, bytes)| Step::Put(key, bytes)),
        2 => (key.clone(), 0..450u64).prop_map(|(key, bytes)| Step::Absent(key, bytes)),
        4 => key.clone().prop_map(Step::Read),
        2 => key.clone().prop_map(Step::Remove),
        1 => key.prop_map(Step::Sweep),
    ];
    proptest::collection::vec(step, 0..200)
}

/// Returns keys of all lengths up to 300 bytes, so that both forms of a slot take part.
fn text(key: u8) -> Vec<u8> {
    vec![key; usize::from(key) * 300 / 19]
}

fn run(policy: Policy, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let config = MemoryConfig::new().max_entries(MAX_ENTRIES).max_bytes(MAX_BYTES);
    let (memory, ear) = build(&config.policy(policy));
    // What is there, by value and weight: written by the calls and corrected by the backend's reports.
    let mut model: HashMap<Vec<u8>, (u64, u64)> = HashMap::new();
    for (value, step) in (0..).zip(steps) {
        let mut went_in = None;
        match step {
            Step::Put(key, bytes) => {
                memory.insert(heavy(&text(key), value, bytes), InsertMode::Always);
                went_in = Some((text(key), bytes));
            }
            Step::Absent(key, bytes) => {
                let put = InsertMode::Absent { live: &|_| true };
                let inserted = memory.insert(heavy(&text(key), value, bytes), put);
                let present = model.contains_key(&text(key));
                prop_assert_eq!(inserted == Inserted::Present, present);
                went_in = (!present).then(|| (text(key), bytes));
            }
            Step::Read(key) => {
                let expected = model.get(&text(key)).map(|(value, _)| *value);
                prop_assert_eq!(memory.read(&text(key)), expected);
            }
            Step::Remove(key) => {
                prop_assert_eq!(memory.drop_key(&text(key)), model.contains_key(&text(key)));
            }
            Step::Sweep(key) => {
                memory.retain(&mut |entry| {
                    (entry.key.first().is_some_and(|first| *first < key)).then_some(RemovalCause::Expired)
                });
            }
        }
        for (key, cause) in ear.take() {
            let old = model.contains_key(&key);
            let new = went_in.as_ref().is_some_and(|(text, _)| *text == key);
            prop_assert!(old || new, "{cause:?} told of what was not there");
            if cause == RemovalCause::Replaced {
                prop_assert!(old && new);
            }
            if old {
                model.remove(&key);
            } else {
                prop_assert_eq!(cause, RemovalCause::Evicted);
                went_in = None;
            }
        }
        if let Some((key, bytes)) = went_in {
            model.insert(key, (value, bytes));
        }
        let mut keys: Vec<_> = model.keys().cloned().collect();
        keys.sort();
        prop_assert_eq!(memory.keys(), keys);
        prop_assert_eq!(memory.len(), model.len());
        prop_assert_eq!(memory.bytes(), model.values().map(|(_, bytes)| bytes).sum::<u64>());
        prop_assert!(memory.len() <= MAX_ENTRIES && memory.bytes() <= MAX_BYTES);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn entries_and_bytes_are_exact_and_reported_once(steps in steps()) {
        for policy in BOTH {
            run(policy, steps.clone())?;
        }
    }
}

#[test]
fn keys_of_every_length_are_found() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy).strict(true));
        let keys: Vec<Vec<u8>> = (0..=300).map(|len| vec![b'k'; len]).collect();
        for (value, key) in (0..).zip(&keys) {
            memory.put(key, value);
        }
        for (value, key) in (0..).zip(&keys) {
            assert_eq!(memory.read(key), Some(value));
        }
        assert_eq!(memory.keys(), keys);
    }
}
