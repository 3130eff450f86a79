//! Tests that a million distinct keys and tags leave no memory behind. A binary of its own: it counts the whole heap.
#![expect(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use retainit::{MemoryConfig, Retainit, retain};
use retainit_testkit::ManualClock;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

const MANY: u64 = 1_000_000;
const FEWER: u64 = 200_000;
const MIB: usize = 1 << 20;

#[retain(id = "leak.user", ttl = "10s", tags("user:{id}", "all"))]
fn user(id: u64) -> String {
    format!("user {id}")
}

/// The heap is one for all tests of this binary.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Runs one cycle of filling and emptying; returns the bytes held before, when full, and after `empty`.
fn life(instance: &Retainit, ids: Range<u64>, empty: impl FnOnce()) -> [usize; 3] {
    let base = live();
    retainit::with_instance_sync(instance, || ids.for_each(|id| drop(user(id))));
    let full = live();
    empty();
    [base, full, live()]
}

// 1 000 000 distinct tags and keys, expired: memory returns to its base.
#[test]
fn a_million_keys_and_tags_leave_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (policy, many) in [("default", MANY), ("lru", FEWER)] {
        let clock = ManualClock::new();
        let config = MemoryConfig::new().max_entries(2_000_000).policy(policy);
        let instance = Retainit::builder().clock(clock.clone()).register_backend("main", config).build().unwrap();
        retainit::with_instance_sync(&instance, || user(0));
        instance.blocking().clear().unwrap();

        let expire = || {
            clock.advance(Duration::from_secs(10));
            // They leave by themselves; this only waits for it.
            instance.cleanup_expired();
            while instance.stats().total_keys > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            instance.cleanup_expired();
        };
        let expired = life(&instance, 0..many, expire);
        let invalidate = || {
            for id in 0..FEWER {
                instance.blocking().invalidate_tag(format!("user:{id}")).unwrap();
            }
            instance.cleanup_expired();
            assert_eq!(instance.stats().total_keys, 0);
        };
        let invalidated = life(&instance, 0..FEWER, invalidate);
        let cleared = life(&instance, 0..FEWER, || {
            instance.blocking().clear().unwrap();
            instance.cleanup_expired();
        });
        for (what, [base, full, left]) in [("expired", expired), ("invalidated", invalidated), ("cleared", cleared)] {
            println!("{policy}, {what}: base {} KiB, full {} KiB, left {} KiB", base >> 10, full >> 10, left >> 10);
            assert!(full - base > 20 * MIB, "they take {} bytes", full - base);
            assert!(left < base + 2 * MIB, "{what}: {} bytes are still taken", left - base);
        }
    }
}

// Names of caches and closed instances give their room back too.
#[test]
fn instances_give_everything_back() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let cycle = || {
        let instance = Retainit::default();
        let cache = instance.cache::<String>("c").tags(["t"]).build().unwrap();
        (0..1_000_u64).for_each(|n| drop(cache.blocking().get_or_load(&n, || n.to_string())));
        instance.blocking().close().unwrap();
    };
    (0..20).for_each(|_| cycle());
    let base = live();
    (0..50).for_each(|_| cycle());
    assert!(live() < base + MIB / 2, "{} bytes are still taken", live() - base);
}
