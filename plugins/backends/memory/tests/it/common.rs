use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quick_cache::DefaultHashBuilder;
use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{
    BackendConfig, Built, CachedEntry, Context, EntryAddress, EntryTimes, Error, InsertMode, Inserted, Listener,
    Moment, NewEntry, ObjectBackend, Removal, RemovalCause, SystemClock, Visit,
};

pub(crate) const BOTH: [Policy; 2] = [Policy::Default, Policy::Lru];

/// Records the reports of a backend.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    pub(crate) removed: Mutex<Vec<(Vec<u8>, RemovalCause)>>,
    pub(crate) near: Mutex<Vec<(u64, u64)>>,
}

impl Ear {
    pub(crate) fn count(&self, cause: RemovalCause) -> usize {
        self.removed.lock().unwrap().iter().filter(|(_, told)| *told == cause).count()
    }

    pub(crate) fn take(&self) -> Vec<(Vec<u8>, RemovalCause)> {
        std::mem::take(&mut self.removed.lock().unwrap())
    }
}

impl Listener for Ear {
    fn removed(&self, removal: Removal<'_>) {
        self.removed.lock().unwrap().push((removal.entry.key.to_vec(), removal.cause));
    }

    fn near_capacity(&self, used: u64, capacity: u64) {
        self.near.lock().unwrap().push((used, capacity));
    }

    fn failed(&self, operation: &'static str, error: &Error) {
        panic!("{operation}: {error}");
    }
}

pub(crate) fn context(listener: Arc<dyn Listener>) -> Context {
    Context::new("test", Arc::new(SystemClock), listener)
}

pub(crate) fn build(config: &MemoryConfig) -> (Arc<dyn ObjectBackend>, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    match config.build(context(ear.clone())).unwrap() {
        Built::Object(backend) => (backend, ear),
        other => panic!("memory built {other:?}"),
    }
}

pub(crate) fn address(key: &[u8]) -> EntryAddress {
    static HASHER: std::sync::OnceLock<DefaultHashBuilder> = std::sync::OnceLock::new();
    EntryAddress { hash: HASHER.get_or_init(DefaultHashBuilder::default).hash_one(key), site: 1 }
}

pub(crate) fn cached<V: Send + Sync + 'static>(value: V, ends: Moment) -> CachedEntry {
    let created = Moment::from_millis(1);
    CachedEntry::new(value, EntryTimes { epoch: 1, created, fresh_until: ends, load_time: Duration::ZERO, extra: None })
}

pub(crate) fn entry<V: Send + Sync + 'static>(key: &[u8], value: V) -> NewEntry<'_> {
    NewEntry { address: address(key), key, cached: cached(value, Moment::NEVER), bytes: 0, max_entries: None }
}

pub(crate) fn heavy(key: &[u8], value: u64, bytes: u64) -> NewEntry<'_> {
    NewEntry { bytes, ..entry(key, value) }
}

pub(crate) fn ending(key: &[u8], ends: u64) -> NewEntry<'_> {
    NewEntry { cached: cached(0u64, Moment::from_millis(ends)), ..entry(key, 0u64) }
}

/// Accepts a key and takes its value.
pub(crate) struct Take<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<u64>,
}

impl Visit for Take<'_> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        if key == self.key {
            self.value = cached.value::<u64>().copied();
        }
        key == self.key
    }
}

/// The short forms of tests.
pub(crate) trait Short {
    fn put(&self, key: &[u8], value: u64);
    fn read(&self, key: &[u8]) -> Option<u64>;
    fn look(&self, key: &[u8]) -> Option<u64>;
    fn drop_key(&self, key: &[u8]) -> bool;
    fn keys(&self) -> Vec<Vec<u8>>;
}

impl Short for dyn ObjectBackend {
    fn put(&self, key: &[u8], value: u64) {
        assert_eq!(self.insert(entry(key, value), InsertMode::Always), Inserted::Yes);
    }

    fn read(&self, key: &[u8]) -> Option<u64> {
        let mut take = Take { key, value: None };
        assert_eq!(self.get(address(key), &mut take), take.value.is_some());
        take.value
    }

    fn look(&self, key: &[u8]) -> Option<u64> {
        let mut take = Take { key, value: None };
        assert_eq!(self.peek(address(key), &mut take), take.value.is_some());
        take.value
    }

    fn drop_key(&self, key: &[u8]) -> bool {
        self.remove(address(key), &mut Take { key, value: None })
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        self.scan(&mut |entry| keys.push(entry.key.to_vec()));
        keys.sort();
        keys
    }
}
