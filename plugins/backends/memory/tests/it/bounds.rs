use std::sync::atomic::{AtomicBool, Ordering};

use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{InsertMode, Inserted, RemovalCause};

use crate::common::{BOTH, Short, build, heavy};

// C-25, R-29
#[test]
fn bounds_are_never_passed_by_many_threads() {
    const THREADS: u64 = 4;
    for (policy, entries) in [(BOTH[0], 1), (BOTH[0], 1_000), (BOTH[1], 1), (BOTH[1], 300)] {
        let config = MemoryConfig::new().max_entries(entries).max_bytes(64_000).policy(policy);
        let (memory, ear) = build(&config);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(memory.len() <= entries, "{policy:?} held {}", memory.len());
                    assert!(memory.bytes() <= 64_000, "{policy:?} weighed {}", memory.bytes());
                }
            });
            let writers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let memory = &memory;
                    scope.spawn(move || {
                        for i in 0..3_000u64 {
                            let key = ((thread << 32) | (i % 1_500)).to_be_bytes();
                            let new = heavy(&key, i, i % 200);
                            assert_eq!(memory.insert(new, InsertMode::Always), Inserted::Yes);
                            memory.read(&key);
                        }
                    })
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            watch.join().unwrap();
        });
        assert_eq!(memory.keys().len(), memory.len());
        let told = ear.take().len();
        assert_eq!(memory.len() + told, 3_000 * THREADS as usize, "{policy:?}");
    }
}

#[test]
fn strict_bounds_are_usable_to_the_last() {
    let plain = MemoryConfig::new().strict(true);
    for entries in [1, 2, 33, 1_000, 10_007] {
        for config in [plain.clone(), plain.clone().policy("lru")] {
            let (memory, ear) = build(&config.max_entries(entries));
            (0..entries as u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
            assert_eq!((memory.len(), ear.take().len()), (entries, 0));
        }
    }
    let (memory, ear) = build(&plain.max_entries(10).max_bytes(100));
    for key in 0..9u8 {
        assert_eq!(memory.insert(heavy(&[key], 1, 1), InsertMode::Always), Inserted::Yes);
    }
    assert_eq!(memory.insert(heavy(b"large", 1, 91), InsertMode::Always), Inserted::Yes);
    assert_eq!((memory.len(), memory.bytes(), ear.take().len()), (10, 100, 0));
}

#[test]
fn a_small_cache_is_one_shard_and_fills_up() {
    for entries in [1, 2, 3, 100, 255] {
        let (memory, _) = build(&MemoryConfig::new().max_entries(entries));
        (0..entries as u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
        assert_eq!(memory.len(), entries);
        (1_000..2_000u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
        assert_eq!(memory.len(), entries);
    }
}

#[test]
fn what_is_too_heavy_is_reported_and_takes_nothing_with_it() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().max_bytes(1_000).policy(policy));
        for (key, bytes) in [(b"a", 10), (b"b", 10), (b"c", 1_001)] {
            assert_eq!(memory.insert(heavy(key, 1, bytes), InsertMode::Always), Inserted::Yes);
        }
        assert_eq!(ear.take(), [(b"c".to_vec(), RemovalCause::Evicted)], "{policy:?}");
        for bytes in [2_000, u64::MAX] {
            memory.insert(heavy(b"a", 1, 10), InsertMode::Always);
            ear.take();
            memory.insert(heavy(b"a", 2, bytes), InsertMode::Always);
            let causes = [RemovalCause::Replaced, RemovalCause::Evicted];
            assert_eq!(ear.take(), causes.map(|cause| (b"a".to_vec(), cause)), "{policy:?}");
            assert_eq!((memory.read(b"a"), memory.bytes()), (None, 10));
        }
    }
    let (memory, _) = build(&MemoryConfig::new().max_bytes(1_000).policy(Policy::Lru));
    assert_eq!(memory.insert(heavy(b"all", 3, 1_000), InsertMode::Always), Inserted::Yes);
    assert_eq!((memory.read(b"all"), memory.bytes()), (Some(3), 1_000));
}

#[test]
// R-23 (the notice; its event comes with events)
fn near_capacity_is_reported_once() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().max_entries(100).policy(policy));
        (0..300u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
        assert_eq!(*ear.near.lock().unwrap(), [(90, 100)], "{policy:?}");
        memory.retain(&mut |_| Some(RemovalCause::Removed));
        (0..89u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
        assert_eq!(ear.near.lock().unwrap().len(), 1);
        (0..95u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
        assert_eq!(ear.near.lock().unwrap().len(), 2, "{policy:?}");
    }
}

#[test]
fn near_capacity_counts_bytes_too() {
    let (memory, ear) = build(&MemoryConfig::new().max_bytes(1_000));
    for key in 0..9u8 {
        memory.insert(heavy(&[key], 1, 100), InsertMode::Always);
    }
    assert_eq!(*ear.near.lock().unwrap(), [(900, 1_000)]);
}
