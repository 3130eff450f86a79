use std::time::Duration;

use retainit_memory::MemoryConfig;
use retainit_plugin::{CachedEntry, EntryMeta, EntryTimes, InsertMode, Moment, NewEntry, RemovalCause};

use crate::common::{BOTH, Short, build, ending, entry};

fn sweep(memory: &dyn retainit_plugin::ObjectBackend, now: u64) -> usize {
    let now = Moment::from_millis(now);
    memory.retain(&mut |entry| (entry.cached.discard_at() <= now).then_some(RemovalCause::Expired))
}

#[test]
fn the_next_deadline_is_never_late() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().policy(policy));
        assert_eq!(memory.next_deadline(), Moment::NEVER);
        for key in 1..=1_000u64 {
            memory.insert(ending(&key.to_be_bytes(), key), InsertMode::Always);
        }
        memory.put(b"for ever", 1);
        for now in [0, 1, 500, 999] {
            assert!(memory.next_deadline() <= Moment::from_millis(now + 1));
            sweep(&*memory, now);
            assert_eq!(memory.next_deadline(), Moment::from_millis(now + 1), "{policy:?}");
            assert_eq!(memory.len() as u64, 1_001 - now);
        }
        assert_eq!(sweep(&*memory, 5_000), 1);
        assert_eq!((memory.next_deadline(), memory.len()), (Moment::NEVER, 1));
        assert_eq!(ear.count(RemovalCause::Expired), 1_000);
        memory.insert(ending(b"late", 70), InsertMode::Always);
        assert_eq!(memory.next_deadline(), Moment::from_millis(70));
    }
}

#[test]
fn no_deadline_is_lost_while_a_sweep_runs() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().max_entries(100_000).policy(policy));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for key in (1..20_000u64).rev() {
                    memory.insert(ending(&key.to_be_bytes(), key + 100), InsertMode::Always);
                    assert!(memory.next_deadline() <= Moment::from_millis(key + 100));
                }
            });
            while !writer.is_finished() {
                assert_eq!(sweep(&*memory, 50), 0);
            }
            writer.join().unwrap();
        });
        assert!(memory.next_deadline() <= Moment::from_millis(101), "{policy:?}");
    }
}

#[test]
fn an_idle_time_that_moved_is_early_and_never_late() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        let mut extra = EntryMeta::default();
        extra.idle = Some(Duration::from_millis(100));
        let times = EntryTimes {
            epoch: 1,
            created: Moment::from_millis(1_000),
            fresh_until: Moment::NEVER,
            load_time: Duration::ZERO,
            extra: Some(extra),
        };
        let idle = NewEntry { cached: CachedEntry::new(0u64, times), ..entry(b"k", 0u64) };
        memory.insert(idle, InsertMode::Always);
        memory.scan(&mut |entry| entry.cached.touch(Moment::from_millis(1_050)));
        assert_eq!(memory.next_deadline(), Moment::from_millis(1_100));
        assert_eq!(sweep(&*memory, 1_100), 0);
        assert_eq!(memory.next_deadline(), Moment::from_millis(1_150), "{policy:?}");
    }
}

#[test]
fn readers_and_writers_go_on_beside_sweeps() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().max_entries(5_000).policy(policy));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for key in 0..20_000u64 {
                    memory.put(&key.to_be_bytes(), key);
                    let read = memory.read(&key.to_be_bytes());
                    assert!(read.is_none_or(|value| value == key));
                }
            });
            let mut swept = 0;
            while !writer.is_finished() {
                swept += memory.retain(&mut |entry| {
                    (entry.cached.value::<u64>().is_some_and(|value| value % 3 == 0))
                        .then_some(RemovalCause::Invalidated)
                });
            }
            writer.join().unwrap();
            assert_eq!(ear.count(RemovalCause::Invalidated), swept);
        });
        assert_eq!(memory.len() + ear.take().len(), 20_000, "{policy:?}");
    }
}
