//! Tests that a full memory backend frees its memory after a sweep. A binary of its own: it counts the whole heap.
#![expect(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use retainit_memory::MemoryConfig;
use retainit_plugin::{
    BackendConfig, Built, CachedEntry, Context, EntryAddress, EntryTimes, Error, InsertMode, Inserted, Listener,
    Moment, NewEntry, ObjectBackend, Removal, RemovalCause, SystemClock, Visit,
};

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

const ENTRIES: u64 = 1_000_000;
const FEW: u64 = 200_000;
const MIB: usize = 1 << 20;

#[derive(Debug)]
struct Deaf;

impl Listener for Deaf {
    fn removed(&self, _: Removal<'_>) {}
    fn near_capacity(&self, _: u64, _: u64) {}
    fn failed(&self, _: &'static str, _: &Error) {}
}

struct Any;

impl Visit for Any {
    fn visit(&mut self, _: &[u8], _: &CachedEntry) -> bool {
        true
    }
}

fn address(key: u64) -> EntryAddress {
    let mixed = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    EntryAddress { hash: (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb), site: 1 }
}

fn put(memory: &dyn ObjectBackend, key: u64, ends: u64) {
    let times = EntryTimes {
        epoch: 1,
        created: Moment::from_millis(1),
        fresh_until: Moment::from_millis(ends),
        load_time: Duration::ZERO,
        extra: None,
    };
    let cached = CachedEntry::new(Arc::new([0u8; 32]), times);
    let entry = NewEntry { address: address(key), key: &key.to_be_bytes(), cached, bytes: 0, max_entries: None };
    assert_eq!(memory.insert(entry, InsertMode::Always), Inserted::Yes);
}

fn build(config: &MemoryConfig) -> Arc<dyn ObjectBackend> {
    match config.build(Context::new("heap", Arc::new(SystemClock), Arc::new(Deaf))) {
        Ok(Built::Object(memory)) => memory,
        other => panic!("memory built {other:?}"),
    }
}

/// Returns the heap at its base, full and swept, in bytes.
fn life_of(config: &MemoryConfig, count: u64, sweep: impl Fn(&dyn ObjectBackend)) -> [usize; 3] {
    let memory = build(config);
    let base = LIVE.load(Ordering::Relaxed);
    for key in 0..count {
        put(&*memory, key, if key % 1_000 == 0 { 90 } else { 10 });
    }
    let full = LIVE.load(Ordering::Relaxed);
    sweep(&*memory);
    [base, full, LIVE.load(Ordering::Relaxed)]
}

fn expire(memory: &dyn ObjectBackend) {
    let now = Moment::from_millis(20);
    let count = memory.len();
    let swept = memory.retain(&mut |entry| (entry.cached.discard_at() <= now).then_some(RemovalCause::Expired));
    assert_eq!(memory.len(), count - swept);
    assert!(memory.len() < count / 100);
}

#[test]
fn memory_goes_back_when_entries_do() {
    let config = MemoryConfig::new().max_entries(1_000_000);
    for config in [config.clone(), config.policy("lru")] {
        // More entries than there is room for leave ghosts behind.
        let [base, full, swept] = life_of(&config, ENTRIES * 5 / 4, expire);
        println!("base {} KiB, full {} KiB, swept {} KiB", base >> 10, full >> 10, swept >> 10);
        assert!(full - base > 100 * MIB, "a million entries take {} bytes", full - base);
        assert!(swept - base < 2 * MIB, "{} bytes are still taken", swept - base);
        let [base, _, emptied] = life_of(&config, FEW, |memory| {
            (0..FEW).for_each(|key| {
                memory.remove(address(key), &mut Any);
            });
            assert!(memory.is_empty());
        });
        println!("emptied one by one: {} KiB above base", (emptied - base) >> 10);
        assert!(emptied - base < MIB, "{} bytes are still taken", emptied - base);
    }
}
