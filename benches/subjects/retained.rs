//! Retained functions as anyone writes them. Each has a backend of its own, of the same size as its peers' caches.

use retainit::{Cache, MemoryConfig, Retainit, retain};

use super::{CAPACITY, KEYS, SMALL, TTL, Value, load, noted, noted_number, number};

#[retain(ttl = "1h", backend = "by_id")]
pub(crate) fn by_id(id: u64) -> Value {
    load(id)
}

#[retain(ttl = "1h", backend = "by_id_async")]
pub(crate) async fn by_id_async(id: u64) -> Value {
    load(id)
}

#[retain(ttl = "1h", backend = "by_str")]
pub(crate) fn by_str(name: &str) -> Value {
    load(name.len() as u64)
}

#[retain(ttl = "1h", backend = "by_long_str")]
pub(crate) fn by_long_str(name: &str) -> Value {
    load(name.len() as u64)
}

#[retain(ttl = "1h", backend = "by_string")]
pub(crate) fn by_string(name: String) -> Value {
    load(name.len() as u64)
}

#[retain(ttl = "1h", backend = "by_pair")]
pub(crate) fn by_pair(id: u64, name: &str) -> Value {
    load(id + name.len() as u64)
}

#[retain(ttl = "1h", backend = "tagged", tags("user", "user:{id}"))]
pub(crate) fn tagged(id: u64) -> Value {
    load(id)
}

#[retain(ttl = "1h", backend = "idle")]
pub(crate) fn idle(id: u64) -> Value {
    load(id)
}

#[retain(ttl = "1h", backend = "mixed")]
pub(crate) fn mixed(id: u64) -> Value {
    load(id)
}

#[retain(ttl = "1h", backend = "read_through")]
pub(crate) fn read_through(id: u64) -> Value {
    noted(id)
}

#[retain(ttl = "1h", backend = "read_through_number")]
pub(crate) fn read_through_number(id: u64) -> u64 {
    noted_number(id)
}

#[retain(ttl = "1h", backend = "missed")]
pub(crate) fn missed(id: u64) -> u64 {
    number(id)
}

#[retain(ttl = "1h", backend = "missed_async")]
pub(crate) async fn missed_async(id: u64) -> u64 {
    number(id)
}

#[retain(ttl = "1h", backend = "slow")]
pub(crate) async fn slow(id: u64) -> Value {
    super::slow(id).await
}

const BACKENDS: [&str; 13] = [
    "by_id",
    "by_id_async",
    "by_str",
    "by_long_str",
    "by_string",
    "by_pair",
    "tagged",
    "mixed",
    "read_through",
    "read_through_number",
    "slow",
    "cache",
    "set",
];

/// Installs the instance that all of them use.
pub(crate) fn install() -> retainit::Result<Retainit> {
    let config = MemoryConfig::new().max_entries(CAPACITY);
    let idle = config.clone().max_idle("30m");
    let builder = Retainit::builder().register_backend("idle", idle).default_backend("cache");
    let small = config.clone().max_entries(SMALL);
    let builder = builder.register_backend("missed", small.clone()).register_backend("missed_async", small);
    let retainit =
        BACKENDS.into_iter().fold(builder, |builder, name| builder.register_backend(name, config.clone())).build()?;
    retainit.install()?;
    Ok(retainit)
}

/// Returns a cache made in code, filled with the hot keys.
pub(crate) fn cache(retainit: &Retainit) -> retainit::Result<Cache<Value>> {
    let cache = retainit.cache::<Value>("values").ttl(TTL).build_local()?;
    KEYS.ids.iter().try_for_each(|id| cache.blocking().set(id, load(*id)))?;
    Ok(cache)
}
