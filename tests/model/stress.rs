//! Tests the promise of the model on real threads: no reader gets a value older than the last one whose invalidation
//! had been acknowledged when the reader's call began. Epochs and fences meet here as they do in programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use retainit::{Cache, MemoryConfig, Retainit};
use retainit_plugin::BackendConfig;
use retainit_testkit::ByteConfig;

const KEYS: u64 = 4;

/// The current values, and those that every reader has to see by now.
#[derive(Default)]
struct Truth {
    now: [AtomicU64; KEYS as usize],
    known: [AtomicU64; KEYS as usize],
    over: AtomicBool,
    hits: AtomicU64,
    loads: AtomicU64,
}

impl Truth {
    fn load(&self, key: u64) -> u64 {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let value = self.now[key as usize].load(Ordering::SeqCst);
        // Some loads are overtaken between reading and storing.
        (0..value % 5).for_each(|_| std::thread::yield_now());
        value
    }

    fn known(&self, key: u64) -> u64 {
        self.known[key as usize].load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn judge(&self, key: u64, known: u64, got: u64) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        assert!(got >= known, "key {key}: {got}, and {known} had been acknowledged");
    }
}

fn stage(config: impl BackendConfig) -> (Retainit, Cache<u64>) {
    let retainit = Retainit::builder().register_backend("default", config).build().unwrap();
    let cache = retainit.cache::<u64>("numbers").tags(["t"]).build().unwrap();
    (retainit, cache)
}

fn on_threads(config: impl BackendConfig, invalidations: u64) {
    let ((retainit, cache), truth) = (stage(config), Truth::default());
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (cache, truth) = (&cache, &truth);
            scope.spawn(move || {
                for n in reader.. {
                    if truth.is_over() {
                        return;
                    }
                    let key = n % KEYS;
                    let known = truth.known(key);
                    if n % 7 != 0 {
                        truth.judge(key, known, cache.blocking().get_or_load(&key, || truth.load(key)));
                    } else if let Some(got) = cache.blocking().get(&key).unwrap().value() {
                        truth.judge(key, known, got);
                    }
                }
            });
        }
        for n in 1..=invalidations {
            let key = n % KEYS;
            truth.now[key as usize].store(n, Ordering::SeqCst);
            match (n / KEYS) % 6 {
                0 => drop(cache.blocking().remove(&key).unwrap()),
                1 => retainit.blocking().invalidate_tag("t").unwrap(),
                2 => retainit.blocking().expire_tag("t").unwrap(),
                3 => drop(retainit.blocking().invalidate_pattern("numbers:*").unwrap()),
                4 => drop(cache.blocking().clear().unwrap()),
                _ => cache.blocking().set(&key, n).unwrap(),
            }
            truth.known[key as usize].store(n, Ordering::SeqCst);
            if n % 3 == 0 {
                std::thread::yield_now();
            }
        }
        truth.over.store(true, Ordering::SeqCst);
    });
    assert!(truth.loads.into_inner() > 0 && truth.hits.into_inner() > 0);
}

fn in_tasks(config: impl BackendConfig, invalidations: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let ((retainit, cache), truth) = (stage(config), Arc::new(Truth::default()));
        let mut readers = tokio::task::JoinSet::new();
        for reader in 0..6 {
            let (cache, truth) = (cache.clone(), truth.clone());
            readers.spawn(async move {
                for n in reader.. {
                    if truth.is_over() {
                        return;
                    }
                    let key = n % KEYS;
                    let known = truth.known(key);
                    let load = || async {
                        let value = truth.load(key);
                        tokio::task::yield_now().await;
                        value
                    };
                    let call = cache.get_or_load(&key, load);
                    if n % 11 == 0 {
                        // Callers that go away leave their load to others.
                        tokio::select! { biased; got = call => truth.judge(key, known, got), () = tokio::task::yield_now() => {} }
                    } else {
                        truth.judge(key, known, call.await);
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        for n in 1..=invalidations {
            let key = n % KEYS;
            truth.now[key as usize].store(n, Ordering::SeqCst);
            match (n / KEYS) % 5 {
                0 => drop(cache.remove(&key).await.unwrap()),
                1 => retainit.invalidate_tag("t").await.unwrap(),
                2 => drop(retainit.invalidate_pattern("numbers:*").await.unwrap()),
                3 => drop(retainit.clear().await.unwrap()),
                _ => cache.set(&key, n).await.unwrap(),
            }
            truth.known[key as usize].store(n, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        truth.over.store(true, Ordering::SeqCst);
        while let Some(reader) = readers.join_next().await {
            reader.unwrap();
        }
        assert!(truth.loads.load(Ordering::SeqCst) > 0);
    });
}

// T-94, T-129
#[test]
fn threads_never_see_what_was_invalidated() {
    on_threads(MemoryConfig::new(), 30_000);
    on_threads(MemoryConfig::new().policy("lru"), 15_000);
    on_threads(ByteConfig::new(), 600);
    on_threads(ByteConfig::new().blocking(), 3_000);
}

// T-94, T-129
#[test]
fn tasks_never_see_what_was_invalidated() {
    in_tasks(MemoryConfig::new(), 6_000);
    in_tasks(ByteConfig::new(), 400);
    in_tasks(ByteConfig::new().blocking(), 400);
}
