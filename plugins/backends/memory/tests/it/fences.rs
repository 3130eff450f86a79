use std::sync::atomic::{AtomicUsize, Ordering};

use retainit_memory::MemoryConfig;
use retainit_plugin::{
    CachedEntry, EntryAddress, InsertMode, Inserted, ObjectBackend, ObjectFence, RemovalCause, Visit,
};

use crate::common::{BOTH, Short, address, build, entry};

fn store(memory: &dyn ObjectBackend, key: &[u8], value: u64, fence: ObjectFence) -> Inserted {
    memory.insert(entry(key, value), InsertMode::Fenced(fence))
}

#[test]
fn what_began_before_a_removal_is_refused() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().policy(policy));
        let memory = &*memory;
        let fence = memory.fence(address(b"k"));
        assert!(!memory.drop_key(b"k"), "there is nothing, and the fence falls");
        assert_eq!(store(memory, b"k", 1, fence), Inserted::Refused);
        assert_eq!(memory.read(b"k"), None);
        let fence = memory.fence(address(b"k"));
        assert_eq!(store(memory, b"k", 2, fence), Inserted::Yes);
        assert_eq!(store(memory, b"k", 3, fence), Inserted::Yes, "a fill breaks no fence");
        assert!(memory.drop_key(b"k"));
        assert_eq!(store(memory, b"k", 4, fence), Inserted::Refused);
        let causes = [RemovalCause::Replaced, RemovalCause::Removed];
        assert_eq!(ear.take(), causes.map(|cause| (b"k".to_vec(), cause)), "{policy:?}");
    }
}

#[test]
fn every_write_but_a_fill_breaks_the_fence() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        let memory = &*memory;
        let absent = |live: bool| memory.insert(entry(b"k", 9u64), InsertMode::Absent { live: &move |_| live });
        let fence = memory.fence(address(b"k"));
        memory.put(b"k", 1);
        assert_eq!(store(memory, b"k", 2, fence), Inserted::Refused);
        let fence = memory.fence(address(b"k"));
        assert_eq!(absent(true), Inserted::Present);
        assert_eq!(memory.fence(address(b"k")), fence, "nothing went in, nothing fell");
        assert_eq!(absent(false), Inserted::Yes);
        assert_eq!(memory.read(b"k"), Some(9));
        assert_eq!(store(memory, b"k", 2, fence), Inserted::Refused);
        let fence = memory.fence(address(b"k"));
        memory.break_fences();
        assert_eq!(store(memory, b"k", 2, fence), Inserted::Refused, "{policy:?}");
    }
}

#[test]
fn a_refresh_is_refused_by_what_came_before_and_refuses_the_rest() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        let refresh = |value: u64, fence| memory.insert(entry(b"k", value), InsertMode::Replace(fence));
        let fence = memory.fence(address(b"k"));
        assert_eq!(refresh(1, fence), Inserted::Yes);
        assert_eq!(refresh(2, fence), Inserted::Refused, "{policy:?}");
        assert_eq!(store(&*memory, b"k", 3, fence), Inserted::Refused);
        let fence = memory.fence(address(b"k"));
        memory.drop_key(b"k");
        assert_eq!(refresh(4, fence), Inserted::Refused);
        assert_eq!(memory.read(b"k"), None, "{policy:?}");
    }
}

#[test]
fn sweeping_leaves_fences_alone() {
    for policy in BOTH {
        let (memory, ear) = build(&MemoryConfig::new().policy(policy));
        memory.put(b"k", 1);
        let fence = memory.fence(address(b"k"));
        let expired = RemovalCause::Expired;
        assert_eq!(memory.retain(&mut |_| None), 0);
        assert_eq!(memory.len(), 1);
        assert_eq!(memory.retain(&mut |entry| (entry.key == b"k").then_some(expired)), 1);
        assert_eq!(ear.take(), [(b"k".to_vec(), expired)]);
        assert_eq!(store(&*memory, b"k", 2, fence), Inserted::Yes, "{policy:?}");
    }
}

//
#[test]
fn of_a_thousand_threads_one_finds_the_slot_empty() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..1_000u64 {
                let (memory, won) = (&memory, &won);
                scope.spawn(move || {
                    let put = InsertMode::Absent { live: &|_| true };
                    if memory.insert(entry(b"k", thread), put) == Inserted::Yes {
                        won.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((won.into_inner(), memory.len()), (1, 1), "{policy:?}");
    }
}

#[test]
fn no_load_overwrites_a_later_write() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        std::thread::scope(|scope| {
            for loader in 0..3u64 {
                let memory = &memory;
                scope.spawn(move || {
                    for _ in 0..3_000 {
                        let fence = memory.fence(address(b"k"));
                        let seen = memory.look(b"k").unwrap_or(0);
                        std::thread::yield_now();
                        let _refused_or_in = store(&**memory, b"k", seen, fence);
                        assert!(loader < 3);
                    }
                });
            }
            for version in 1..=3_000 {
                memory.put(b"k", version);
                assert_eq!(memory.look(b"k"), Some(version), "{policy:?}: an old load came back");
            }
        });
        assert_eq!(memory.read(b"k"), Some(3_000), "{policy:?}");
    }
}

/// Finds nothing, and keeps what it is told then.
struct Nothing(Option<u64>);

impl Visit for Nothing {
    fn visit(&mut self, _key: &[u8], _cached: &CachedEntry) -> bool {
        false
    }

    fn absent(&mut self, _address: EntryAddress, inserts: u64) {
        self.0 = Some(inserts);
    }
}

#[test]
fn who_has_found_nothing_sees_whether_anything_was_put_in_since() {
    for policy in BOTH {
        let (memory, _) = build(&MemoryConfig::new().policy(policy));
        let (other, _) = build(&MemoryConfig::new().policy(policy));
        let memory = &*memory;
        let look = || {
            let mut nothing = Nothing(None);
            assert!(!memory.get(address(b"k"), &mut nothing));
            nothing.0
        };
        let before = look();
        assert!(before.is_some());
        assert_eq!(memory.inserts(address(b"k")), before, "{policy:?}: nothing was put in");
        assert_ne!(other.inserts(address(b"k")), before, "{policy:?}: another store counts apart");
        let fence = memory.fence(address(b"k"));
        assert!(!memory.drop_key(b"k"));
        assert_eq!(memory.inserts(address(b"k")), before, "{policy:?}: a removal puts nothing in");
        assert_eq!(store(memory, b"k", 1, fence), Inserted::Refused);
        let puts: [&dyn Fn(); 3] = [
            &|| assert_eq!(store(memory, b"k", 2, memory.fence(address(b"k"))), Inserted::Yes),
            &|| memory.put(b"k", 3),
            &|| assert_eq!(memory.insert(entry(b"k", 4u64), InsertMode::Absent { live: &|_| false }), Inserted::Yes),
        ];
        for put in puts {
            let before = look();
            put();
            assert_ne!(memory.inserts(address(b"k")), before, "{policy:?}");
        }
    }
}
