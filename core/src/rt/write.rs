//! What `#[retain_put]` and `#[invalidate]` do after success.

use std::future::Future;

use retainit_plugin::{StoredValue, Strength};

use super::{Call, Facts, Function, KeyBuf, PutTarget, Shape, Site, Storage, copied};
use crate::engine::{Face, invalidate};
use crate::runtime::block_on;
use crate::{Result, cache};

/// A failed cache operation is told and never becomes the caller's failure.
fn told<T>(site: &'static Site, operation: &'static str, result: Result<T>) {
    if let Err(error) = result {
        super::call::failed(site, operation, error);
    }
}

fn store<F: PutTarget, R, P, S>(
    facts: &Facts<R, P, S>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
    result: &R,
    face: Face,
) -> impl Future<Output = ()> + use<F, R, P, S>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    // The value is taken at once, so that the future holds nothing of a result that may not be shared.
    let (copy, facts) = (P::split(result).ok().map(copied), facts.value);
    async move {
        let Some(copy) = copy else { return };
        F::site().keep_facts(facts);
        let call = Call::with_key(F::site(), key).tags(tags);
        told(F::site(), "store", cache::put(call, copy, &facts, face).await);
    }
}

/// Stores a result for another function.
pub fn put<F: PutTarget, R, P, S>(
    facts: &Facts<R, P, S>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
    result: &R,
) -> impl Future<Output = ()> + use<F, R, P, S>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    store::<F, R, P, S>(facts, key, tags, result, Face::Async)
}

/// The same for sync functions.
pub fn put_sync<F: PutTarget, R, P, S>(facts: &Facts<R, P, S>, key: Result<KeyBuf>, tags: Vec<String>, result: &R)
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    block_on(store::<F, R, P, S>(facts, key, tags, result, Face::Sync));
}

async fn remove<F: Function>(key: Result<KeyBuf>, face: Face) {
    told(F::site(), "remove", cache::remove(F::site(), key, face).await);
}

/// Removes one entry of another function.
pub async fn invalidate_key<F: Function>(key: Result<KeyBuf>) {
    remove::<F>(key, Face::Async).await;
}

/// The same for sync functions.
pub fn invalidate_key_sync<F: Function>(key: Result<KeyBuf>) {
    block_on(remove::<F>(key, Face::Sync));
}

/// Clears another function.
pub async fn invalidate_all<F: Function>() {
    told(F::site(), "clear", cache::clear(F::site(), Face::Async).await);
}

/// The same for sync functions.
pub fn invalidate_all_sync<F: Function>() {
    block_on(async { told(F::site(), "clear", cache::clear(F::site(), Face::Sync).await) });
}

async fn tags(tags: Vec<String>, face: Face) {
    for tag in &tags {
        if let Err(error) = invalidate::tag(&crate::global::current(), tag, Strength::Hard, face).await {
            crate::global::current().bus().failed("invalidate_tag", None, &error);
        }
    }
}

/// Invalidates tags.
pub async fn invalidate_tags(list: Vec<String>) {
    tags(list, Face::Async).await;
}

/// The same for sync functions.
pub fn invalidate_tags_sync(list: Vec<String>) {
    block_on(tags(list, Face::Sync));
}
