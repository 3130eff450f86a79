//! `on_removal` and `weigher` of a cache: what leaves memory, and what it weighs there.

use std::sync::{Arc, Mutex};

use retainit::{Cache, CacheBuilder, ErrorKind, EventKind, MemoryConfig, RemovalCause, Retainit};

use crate::common::Stage;

type Seen = Arc<Mutex<Vec<(String, String, RemovalCause)>>>;

/// Builds a cache that notes what leaves it.
fn noted(builder: CacheBuilder<String>) -> (Cache<String>, Seen) {
    let seen = Seen::default();
    let note = Arc::clone(&seen);
    let builder = builder.on_removal(move |key, value, cause| {
        note.lock().unwrap().push((key.to_owned(), value.clone(), cause));
    });
    (builder.build().unwrap(), seen)
}

fn take(seen: &Seen) -> Vec<(String, String, RemovalCause)> {
    std::mem::take(&mut *seen.lock().unwrap())
}

fn one(key: &str, value: &str, cause: RemovalCause) -> Vec<(String, String, RemovalCause)> {
    vec![(key.to_owned(), value.to_owned(), cause)]
}

#[tokio::test]
async fn key_value_and_cause_of_what_leaves_memory() {
    for policy in ["default", "lru"] {
        let stage = Stage::memory();
        let small = MemoryConfig::new().max_entries(2).policy(policy).strict(true);
        stage.retainit.register_backend("small", small).unwrap();
        let (cache, seen) = noted(stage.retainit.cache("left").backend("small").ttl("1m").tags(["t"]));
        let (other, of_other) = noted(stage.retainit.cache("other").backend("small"));

        cache.set(&1, "a".into()).await.unwrap();
        cache.set(&1, "b".into()).await.unwrap();
        assert_eq!(take(&seen), one("1", "a", RemovalCause::Replaced));
        cache.remove(&1).await.unwrap();
        assert_eq!(take(&seen), one("1", "b", RemovalCause::Removed));

        cache.set(&(1, "x"), "c".into()).await.unwrap();
        stage.seconds(61);
        assert_eq!(stage.retainit.cleanup_expired(), 1);
        assert_eq!(take(&seen), one("(1,\"x\")", "c", RemovalCause::Expired));

        cache.set(&2, "d".into()).await.unwrap();
        stage.retainit.invalidate_tag("t").await.unwrap();
        stage.retainit.cleanup_expired();
        assert_eq!(take(&seen), one("2", "d", RemovalCause::Invalidated));

        cache.get_or_load(&3, || async { "e".into() }).await;
        for key in 0..20 {
            other.set(&key, "new".into()).await.unwrap();
            other.get(&key).await.unwrap();
        }
        assert_eq!(take(&seen), one("3", "e", RemovalCause::Evicted));
        assert!(take(&of_other).iter().all(|(_, value, cause)| value == "new" && *cause == RemovalCause::Evicted));
        cache.set(&4, "f".into()).await.unwrap();
        take(&seen);
        stage.retainit.close().await.unwrap();
        assert!(take(&seen).iter().all(|(_, _, cause)| *cause == RemovalCause::Removed));
    }
}

#[tokio::test]
async fn a_listener_may_use_caches_and_panic() {
    let stage = Stage::memory();
    let recorded = retainit::testing::record(&stage.retainit, EventKind::CacheError);
    let archive = stage.retainit.cache::<String>("archive").build().unwrap();
    let kept = archive.clone();
    let cache = stage.retainit.cache::<String>("live").on_removal(move |key, value, _| {
        kept.blocking().set(key, value.clone()).unwrap();
        assert!(key != "13", "as it should");
    });
    let cache = cache.build().unwrap();
    for key in [12, 13] {
        cache.set(&key, "x".into()).await.unwrap();
        assert!(cache.remove(&key).await.unwrap());
        assert!(archive.exists(&key.to_string()).await.unwrap());
    }
    let errors = recorded.take();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].error().unwrap().contains("on_removal"), "{errors:?}");
}

#[tokio::test]
async fn a_listener_ends_with_its_cache() {
    let stage = Stage::memory();
    let (first, of_first) = noted(stage.retainit.cache("shared"));
    let (second, of_second) = noted(stage.retainit.cache("shared"));
    first.set(&1, "a".into()).await.unwrap();
    second.remove(&1).await.unwrap();
    assert_eq!((take(&of_first).len(), take(&of_second).len()), (1, 1), "caches of one name share entries");
    drop(first);
    second.set(&1, "a".into()).await.unwrap();
    second.remove(&1).await.unwrap();
    assert_eq!((take(&of_first).len(), take(&of_second).len()), (0, 1));
}

#[tokio::test]
async fn keys_of_hashed_caches_stay_hashed() {
    let stage = Stage::memory();
    let (cache, seen) = noted(stage.retainit.cache("hashed").hash_key());
    cache.set("secret", "a".into()).await.unwrap();
    cache.remove("secret").await.unwrap();
    let seen = take(&seen);
    assert!(seen.len() == 1 && !seen[0].0.contains("secret"), "{seen:?}");
}

// Refused, not ignored: bytes are never shown as values.
#[tokio::test]
async fn backends_of_bytes_refuse_it() {
    for stage in [Stage::bytes(), Stage::local()] {
        let cache = stage.retainit.cache::<String>("bytes").on_removal(|_, _, _| {});
        let error = cache.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`on_removal`"), "{error}");
    }
}

// ---------------------------------------------------------------------------------------------------------- weigher

#[derive(Clone)]
struct Image {
    pixels: Vec<u8>,
}

fn image(bytes: usize) -> Image {
    Image { pixels: vec![0; bytes] }
}

#[tokio::test]
async fn a_cache_weighs_its_values() {
    let limited = || MemoryConfig::new().max_bytes(1_000u64).strict(true);
    let instance = Retainit::builder().register_backend("default", limited()).build().unwrap();
    let refused = instance.cache::<Image>("refused").build_local().unwrap_err();
    assert!(refused.to_string().contains("`weigher`"), "{refused}");

    let images = instance.cache::<Image>("images").weigher(|image| image.pixels.len() as u64).build_local().unwrap();
    for key in 0..4 {
        images.set(&key, image(300)).await.unwrap();
    }
    images.get_or_load(&9, || async { image(5_000) }).await;
    let stats = images.stats();
    assert_eq!((stats.total_keys, stats.evictions), (3, 2), "three of 300 fit, and one of 5 000 never does");

    // Beside what the type weighs by itself: the closure decides.
    let texts = instance.cache::<String>("texts").weigher(|_| 500).build().unwrap();
    texts.set(&1, "a".into()).await.unwrap();
    texts.set(&2, "b".into()).await.unwrap();
    assert_eq!((texts.stats().total_keys, images.stats().total_keys), (2, 0));
}
