//! The peers as their documentation shows them.

use cached::macros::{cached, concurrent_cached};
use hitbox::policy::PolicyConfig;
use hitbox_fn::CacheableResponse;
use hitbox_moka::MokaBackend;
use serde::{Deserialize, Serialize};

use super::{CAPACITY, KEYS, TTL, Value, load, noted, noted_number, number};

// ------------------------------------------------------------------------------------------------------------ moka

pub(crate) fn moka<K: std::hash::Hash + Eq + Send + Sync + 'static>(
    keys: impl IntoIterator<Item = K>,
) -> moka::sync::Cache<K, Value> {
    let cache = moka_of(CAPACITY);
    keys.into_iter().zip(0..).for_each(|(key, id)| cache.insert(key, load(id)));
    cache
}

pub(crate) fn moka_of<K, V>(capacity: usize) -> moka::sync::Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder().max_capacity(capacity as u64).time_to_live(TTL).build()
}

pub(crate) async fn moka_async() -> moka::future::Cache<u64, Value> {
    let cache = moka::future::Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL).build();
    for id in &KEYS.ids {
        cache.insert(*id, load(*id)).await;
    }
    cache
}

// ---------------------------------------------------------------------------------------------------------- cached

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_by_id(id: u64) -> Value {
    load(id)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) async fn cached_by_id_async(id: u64) -> Value {
    load(id)
}

#[cached(max_size = 100_000, ttl_secs = 3600, key = "String", convert = r#"{ name.to_owned() }"#)]
pub(crate) fn cached_by_str(name: &str) -> Value {
    load(name.len() as u64)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_by_string(name: String) -> Value {
    load(name.len() as u64)
}

#[cached(max_size = 100_000, ttl_secs = 3600, key = "(u64, String)", convert = r#"{ (id, name.to_owned()) }"#)]
pub(crate) fn cached_by_pair(id: u64, name: &str) -> Value {
    load(id + name.len() as u64)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_mixed(id: u64) -> Value {
    load(id)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_read_through(id: u64) -> Value {
    noted(id)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_read_through_number(id: u64) -> u64 {
    noted_number(id)
}

#[concurrent_cached(max_size = 100_000)]
pub(crate) fn cached_sharded(id: u64) -> Value {
    noted(id)
}

#[concurrent_cached(max_size = 100_000)]
pub(crate) fn cached_sharded_number(id: u64) -> u64 {
    noted_number(id)
}

#[concurrent_cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_sharded_with_ttl(id: u64) -> Value {
    noted(id)
}

#[concurrent_cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) fn cached_sharded_number_with_ttl(id: u64) -> u64 {
    noted_number(id)
}

#[cached(max_size = 10_000, ttl_secs = 3600)]
pub(crate) fn cached_missed(id: u64) -> u64 {
    number(id)
}

#[cached(max_size = 100_000, ttl_secs = 3600)]
pub(crate) async fn cached_slow(id: u64) -> Value {
    super::slow(id).await
}

// ---------------------------------------------------------------------------------------------------------- hitbox

/// A value for hitbox, which serializes its entries and needs a type of one's own: as many bytes as the others'.
#[derive(Clone, Serialize, Deserialize, CacheableResponse)]
pub(crate) struct Body {
    pub(crate) bytes: String,
}

pub(crate) type Hitbox = hitbox_fn::Cache<MokaBackend>;

pub(crate) fn hitbox() -> Hitbox {
    hitbox_fn::Cache::builder()
        .backend(MokaBackend::builder().max_entries(CAPACITY as u64).build())
        .policy(PolicyConfig::builder().ttl(TTL).build())
        .build()
}

#[hitbox_fn::cached]
pub(crate) async fn hitbox_by_id(id: u64) -> Body {
    Body { bytes: format!("{id:0>100}") }
}

#[hitbox_fn::cached]
pub(crate) async fn hitbox_slow(id: u64) -> Body {
    super::slow(id).await;
    Body { bytes: format!("{id:0>100}") }
}
