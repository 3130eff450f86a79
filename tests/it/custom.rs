//! Backends that somebody else wrote.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::{Evicted, MemoryConfig, Result, Retainit};
use retainit_plugin::{
    BackendConfig, Built, Bytes, Capabilities, Context, Fence, LocalBackend, Read, Section, Settings, Snapshot,
    StoreCondition, StoreOptions, Stored, WantedFence,
};

/// The five required methods and fences, over a map; every one of them blocks for a while.
#[derive(Debug, Default)]
struct Map {
    slots: Mutex<HashMap<String, (u64, Option<Bytes>)>>,
    next: AtomicU64,
    settings: MapConfig,
}

impl Map {
    fn pause(&self) {
        std::thread::sleep(self.settings.pause);
    }

    fn snapshot(&self, entry: Option<Bytes>, fence: Option<Fence>) -> Snapshot {
        let entry = match entry {
            Some(entry) if self.settings.spoils => {
                let mut entry = entry.to_vec();
                *entry.last_mut().expect("an envelope") ^= 1;
                Some(entry.into())
            }
            entry => entry,
        };
        let snapshot = Snapshot::new(entry, fence, Default::default());
        if self.settings.verifies { snapshot.verified() } else { snapshot }
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl LocalBackend for Map {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences()
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.pause();
        let mut slots = self.slots.lock().expect("no test panics under it");
        if read.fence == WantedFence::None {
            return Ok(self.snapshot(slots.get(key).and_then(|(_, entry)| entry.clone()), None));
        }
        let (generation, entry) = slots.entry(key.to_owned()).or_insert_with(|| (self.next(), None));
        Ok(self.snapshot(entry.clone(), Some(Fence::number(*generation))))
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.pause();
        let mut slots = self.slots.lock().expect("no test panics under it");
        if let StoreCondition::Fenced(fence) = terms.when
            && slots.get(key).is_none_or(|(generation, _)| fence != Fence::number(*generation))
        {
            return Ok(Stored::Refused);
        }
        slots.insert(key.to_owned(), (self.next(), Some(entry)));
        Ok(Stored::Yes)
    }

    fn remove(&self, key: &str) -> Result<bool> {
        Ok(self.slots.lock().expect("no test panics under it").remove(key).is_some_and(|(_, entry)| entry.is_some()))
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }
}

/// Typed configuration of the backend.
#[derive(Clone, Debug, Default)]
struct MapConfig {
    pause: Duration,
    /// Changes the last bit of everything that is read.
    spoils: bool,
    verifies: bool,
}

impl Section for MapConfig {}

impl BackendConfig for MapConfig {
    fn type_name(&self) -> &'static str {
        "map"
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn build(&self, _: Context) -> Result<Built> {
        Ok(Built::Local(Arc::new(Map { settings: self.clone(), ..Map::default() })))
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

fn on_map(config: MapConfig) -> Retainit {
    Retainit::builder().register_backend("map", config).build().expect("a map")
}

// C-30, A-30: five methods are a backend, and a blocking one serves sync and async callers.
#[tokio::test]
async fn five_methods_are_a_backend() {
    let retainit = on_map(MapConfig::default());
    let cache = retainit.cache::<String>("names").build().expect("a cache");
    let runs = AtomicUsize::new(0);
    let load = || async {
        runs.fetch_add(1, Ordering::Relaxed);
        "loaded".to_owned()
    };
    assert_eq!(cache.get_or_load(&1, load).await, "loaded");
    assert_eq!(cache.get_or_load(&1, load).await, "loaded");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(cache.blocking().get(&1).expect("readable").value().as_deref(), Some("loaded"));
    assert!(cache.remove(&1).await.expect("removable"));
    assert!(cache.get(&1).await.expect("readable").is_miss());
}

// T-118: the engine compares checksums, unless the backend reports that it has done so.
#[test]
fn bytes_are_compared_once() {
    for (verifies, found) in [(false, None), (true, Some("loadee"))] {
        let retainit = on_map(MapConfig { spoils: true, verifies, ..MapConfig::default() });
        let cache = retainit.cache::<String>("names").build().expect("a cache");
        cache.blocking().set(&1, "loaded".to_owned()).expect("storable");
        assert_eq!(cache.blocking().get(&1).expect("readable").value().as_deref(), found, "verifies: {verifies}");
    }
}

#[test]
fn large_bytes_are_shared_with_what_was_read() {
    let retainit = on_map(MapConfig::default());
    let cache = retainit.cache::<Bytes>("pages").build().expect("a cache");
    for (key, len, is_shared) in [(1, 100_000, true), (2, 100, false)] {
        cache.blocking().set(&key, vec![7; len].into()).expect("storable");
        let read = || cache.blocking().get(&key).expect("readable").value().expect("a hit");
        let (one, other) = (read(), read());
        assert_eq!((one.len(), &one), (len, &other));
        assert_eq!(one.as_ptr() == other.as_ptr(), is_shared, "{len} bytes");
    }
}

// C-35: on a runtime of one thread, a backend that blocks does not block the other tasks.
#[tokio::test(flavor = "current_thread")]
async fn a_blocking_backend_never_blocks_a_worker() {
    let retainit = on_map(MapConfig { pause: Duration::from_millis(40), ..MapConfig::default() });
    let cache = retainit.cache::<u8>("slow").build().expect("a cache");
    let load = async { cache.get_or_load(&1, || async { 1 }).await };
    let mut load = std::pin::pin!(load);
    let mut turns = 0;
    // Turns of another task, as long as the load takes: a blocked worker would give it two or three.
    let value = loop {
        tokio::select! {
            biased;
            value = &mut load => break value,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert_eq!(value, 1);
    assert!(turns > 10, "the worker had {turns} turns");
}

// C-04, C-14, T-17: without a scope an entry is everybody's, and a removal takes one key.
#[tokio::test]
async fn entries_are_global_and_removed_one_by_one() {
    let memory = MemoryConfig::new().max_entries(100).ttl("1m");
    let retainit = Retainit::builder().register_backend("typed", memory).build().expect("memory");
    let writer = retainit.cache::<u8>("shared").build().expect("a cache");
    let reader = retainit.cache::<u8>("shared").build().expect("the same cache");
    for key in 0..3 {
        writer.set(&key, key).await.expect("storable");
    }
    assert!(reader.remove(&1).await.expect("removable"));
    let left: Vec<_> = writer.get_many([0, 1, 2]).await.expect("readable").into_iter().map(|l| l.value()).collect();
    assert_eq!(left, [Some(0), None, Some(2)]);
    assert_eq!(writer.clear().await.expect("clearable"), Evicted::Exact(2));
}
