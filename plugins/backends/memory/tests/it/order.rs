use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{InsertMode, Inserted, Moment, RemovalCause};

use crate::common::{BOTH, Short, Take, address, build, ending, entry};

fn evicted(told: Vec<(Vec<u8>, RemovalCause)>) -> Vec<u8> {
    told.into_iter()
        .map(|(key, cause)| {
            assert_eq!(cause, RemovalCause::Evicted);
            key[0]
        })
        .collect()
}

// C-23, T-19
#[test]
fn the_least_recently_used_goes_first() {
    let (memory, ear) = build(&MemoryConfig::new().max_size(3).policy("lru"));
    for key in [b"a", b"b", b"c"] {
        memory.put(key, 1);
    }
    assert_eq!(memory.read(b"a"), Some(1), "a read counts as use");
    assert_eq!(memory.look(b"b"), Some(1), "a peek does not");
    memory.put(b"d", 1);
    assert_eq!(evicted(ear.take()), b"b");
    memory.put(b"c", 2);
    assert_eq!(ear.take(), [(b"c".to_vec(), RemovalCause::Replaced)]);
    memory.put(b"e", 1);
    memory.put(b"f", 1);
    memory.put(b"g", 1);
    assert_eq!(evicted(ear.take()), b"adc", "a write counts as use");
}

// C-26
#[test]
fn expiry_and_lru_together_go_in_a_fixed_order() {
    let (memory, ear) = build(&MemoryConfig::new().max_entries(4).policy(Policy::Lru));
    for (key, ends) in [(b"a", 10), (b"b", 50), (b"c", 20), (b"d", 60)] {
        assert_eq!(memory.insert(ending(key, ends), InsertMode::Always), Inserted::Yes);
    }
    let mut read = Take { key: b"a", value: None };
    assert!(memory.get(address(b"a"), &mut read));
    let now = Moment::from_millis(20);
    let swept = memory.retain(&mut |entry| (entry.cached.discard_at() <= now).then_some(RemovalCause::Expired));
    assert_eq!(swept, 2);
    let expired = ear.take();
    assert_eq!(expired, [b"c", b"a"].map(|key| (key.to_vec(), RemovalCause::Expired)));
    for key in [b"e", b"f", b"g", b"h"] {
        memory.put(key, 1);
    }
    assert_eq!(evicted(ear.take()), b"bd");
}

//
#[test]
fn the_default_policy_keeps_what_is_read_again() {
    let (memory, _) = build(&MemoryConfig::new().max_entries(100));
    let hot: Vec<_> = (0..50u64).map(u64::to_be_bytes).collect();
    for key in &hot {
        memory.put(key, 7);
    }
    for new in 1_000..3_000u64 {
        memory.put(&new.to_be_bytes(), 1);
        hot.iter().for_each(|key| {
            memory.read(key);
        });
    }
    assert!(hot.iter().all(|key| memory.read(key) == Some(7)), "a scan pushed out what was in use");
}

#[test]
fn an_insert_replaces_the_whole_entry() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().policy(policy));
        memory.put(b"key", 1);
        assert_eq!(memory.insert(ending(b"key", 5), InsertMode::Always), Inserted::Yes);
        assert_eq!(memory.read(b"key"), Some(0));
        let mut seen = Vec::new();
        memory.scan(&mut |entry| seen.push(entry.cached.discard_at().as_millis()));
        assert_eq!((seen, memory.len()), (vec![5], 1), "{policy:?}");
        assert_eq!(ear.take(), [(b"key".to_vec(), RemovalCause::Replaced)]);
    }
}

#[test]
fn keys_of_one_hash_never_answer_for_each_other() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().policy(policy));
        memory.put(b"one", 1);
        let mut other = entry(b"two", 2u64);
        other.address = address(b"one");
        assert_eq!(memory.insert(other, InsertMode::Absent { live: &|_| true }), Inserted::Yes);
        assert_eq!(memory.read(b"one"), None, "{policy:?}");
        let mut two = Take { key: b"two", value: None };
        assert!(memory.get(address(b"one"), &mut two));
        assert!(!memory.drop_key(b"one"), "{policy:?}");
        assert_eq!(ear.take(), [(b"one".to_vec(), RemovalCause::Evicted)]);
        let mut elsewhere = address(b"one");
        elsewhere.site = 2;
        assert!(!memory.get(elsewhere, &mut two), "another site is another entry");
        assert_eq!(memory.len(), 1);
    }
}
