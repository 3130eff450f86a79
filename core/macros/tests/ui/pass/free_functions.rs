//! Free functions, sync and async, of every shape of key, under lints that demand documentation of what is generated.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations, clippy::all)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use retainit::retain;

static LOADS: AtomicU32 = AtomicU32::new(0);

/// Squares.
///
/// With more than one line, and a doc attribute.
#[doc = "Like this."]
#[retain]
#[must_use]
pub fn square(n: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    n * n
}

/// All options at once.
#[retain(
    ttl = "5m", jitter = 0.1, hash_key, id = "tests.find", version = 2, tags("find", "find:{org}"), none_ttl = 10,
    when = |r| r.is_some(), single_flight = "off", max_load_time = "10s", skip(token), codec = "msgpack", verify = 0.01
)]
pub async fn find(org: u64, name: &str, mut token: String) -> Option<String> {
    token.push_str(name);
    Some(format!("{org}{token}"))
}

#[retain(err_ttl = "1s", err_if = |e| e.len() > 1, pii)]
fn fallible(path: &Path, parts: &[u8]) -> Result<usize, String> {
    match parts.len() {
        0 => Err(path.display().to_string()),
        n => Ok(n),
    }
}

#[retain(key = "{region}/{id}", ttl = 0)]
async fn templated(id: u64, region: String, _unused: &mut Vec<u8>) -> std::io::Result<String> {
    Ok(format!("{region}{id}"))
}

#[retain(key = "{}:{}", ttl = "never")]
fn positional(r#type: u8, b: &str) -> String {
    format!("{type}{b}", type = r#type)
}

#[retain(key = (id % 10, name, name.len()))]
async fn expression(id: u64, name: String) -> String {
    name + &id.to_string()
}

#[retain(key = (id,))]
fn expression_without_owned_arguments(id: u64, _rest: &[&str]) -> u64 {
    id
}

#[retain(key = "all")]
fn constant_key(_id: u64) -> &'static str {
    "x"
}

#[retain]
fn nothing() -> HashMap<String, u8> {
    HashMap::new()
}

#[retain(handle = Users)]
fn users(call: u8, site: u8, key: u8, cache: u8) -> u32 {
    u32::from(call) + u32::from(site) + u32::from(key) + u32::from(cache)
}

#[retain(handle = off)]
fn without_handle(id: u64) -> u64 {
    id
}

#[retain]
fn cache(cache: u64) -> u64 {
    cache
}

#[retain]
fn key(key: u64) -> u64 {
    key
}

#[retain]
async fn site(site: u64) -> u64 {
    site
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!((square(3), square(3)), (9, 9));
    assert_eq!(LOADS.load(Ordering::Relaxed), 1);
    let _ = square::cache().get(&3);
    assert_eq!(square::cache().refresh(3), 9);

    assert_eq!(find(1, "b", "t".to_owned()).await.as_deref(), Some("1tb"));
    let _ = find::cache().get(&(1, "b")).await;
    assert_eq!(find::cache().refresh((1, "b".to_owned(), "u".to_owned())).await.as_deref(), Some("1ub"));

    assert_eq!(fallible(Path::new("x"), &[1]), Ok(1));
    let _ = fallible::cache().get(&(Path::new("x"), &[1]));
    assert_eq!(fallible::cache().refresh(("x".into(), vec![1, 2])), Ok(2));

    assert_eq!(templated(1, "eu".to_owned(), &mut Vec::new()).await.ok().as_deref(), Some("eu1"));
    let _ = templated::cache().get(&(1, "eu")).await;

    assert_eq!(positional(1, "b"), "1b");
    let _ = positional::cache().get(&(1, "b"));

    assert_eq!(expression(12, "n".to_owned()).await, "n12");
    let _ = expression::cache().get(&(2, "n", 1)).await;
    assert_eq!(expression::cache().refresh((13, "n".to_owned())).await, "n13");

    assert_eq!(expression_without_owned_arguments(1, &[]), 1);
    let _ = expression_without_owned_arguments::cache().get(&1);

    assert_eq!(constant_key(1), "x");
    let _ = constant_key::cache().get(&());
    assert!(nothing().is_empty());
    let _ = nothing::cache().get(&());

    assert_eq!(users(1, 2, 3, 4), 10);
    let _ = Users::cache().get(&(1, 2, 3, 4));
    assert_eq!(without_handle(4), 4);
    assert_eq!(cache(1) + key(2) + site(3).await, 6);
    // The loader's future is boxed and nothing of the look into the cache stays behind.
    assert!(size_of_val(&site(1)) <= 32);
    let _ = (cache::cache().get(&1), key::cache().get(&2), site::cache().get(&3).await);
}
