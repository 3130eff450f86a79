//! Stores and removes entries for `#[retain_put]` and `#[invalidate]`, after their function has succeeded.

use std::future::Future;

use retainit_plugin::{Result, StoredValue, Strength};

use super::{clear, put_value, remove_for_attribute};
use crate::call::{PutTarget, RetainedFunction, Target, failed};
use crate::engine::{CallerKind, Store, invalidate};
use crate::key::KeyBuf;
use crate::runtime::block_on;
use crate::site::Site;
use crate::value::{ReturnOps, ReturnShape, Storage, copied};

/// Reports a failed cache operation, which never becomes the caller's failure.
fn report<T>(site: &'static Site, operation: &'static str, result: Result<T>) {
    if let Err(error) = result {
        failed(site, operation, error);
    }
}

fn store<F: PutTarget, R, P, S>(
    ops: &ReturnOps<R, P, S>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
    result: &R,
    caller_kind: CallerKind,
) -> impl Future<Output = ()> + use<F, R, P, S>
where
    P: ReturnShape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    // The value is copied before the future is made, so that the future is `Send` although the result may not be.
    let (copy, ops) = (P::split(result).ok().map(copied), ops.value);
    async move {
        let Some(copy) = copy else { return };
        F::site().keep_ops(ops);
        let target = Target::new(F::site(), key).tags(tags);
        report(F::site(), "store", put_value(target, copy, &ops, F::ttl_of, caller_kind).await);
    }
}

/// Stores a result for another function.
pub fn put<F: PutTarget, R, P, S>(
    ops: &ReturnOps<R, P, S>,
    key: Result<KeyBuf>,
    tags: Vec<String>,
    result: &R,
) -> impl Future<Output = ()> + use<F, R, P, S>
where
    P: ReturnShape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    store::<F, R, P, S>(ops, key, tags, result, CallerKind::Async)
}

/// Stores a result of a sync function for another function.
pub fn put_sync<F: PutTarget, R, P, S>(ops: &ReturnOps<R, P, S>, key: Result<KeyBuf>, tags: Vec<String>, result: &R)
where
    P: ReturnShape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    block_on(store::<F, R, P, S>(ops, key, tags, result, CallerKind::Blocking));
}

async fn remove<F: RetainedFunction>(key: Result<KeyBuf>, caller_kind: CallerKind) {
    report(F::site(), "remove", remove_for_attribute(F::site(), key, caller_kind).await);
}

/// Removes one entry of another function.
pub async fn invalidate_key<F: RetainedFunction>(key: Result<KeyBuf>) {
    remove::<F>(key, CallerKind::Async).await;
}

/// Removes one entry of another function, after a sync function.
pub fn invalidate_key_sync<F: RetainedFunction>(key: Result<KeyBuf>) {
    block_on(remove::<F>(key, CallerKind::Blocking));
}

/// Clears another function.
pub async fn invalidate_all<F: RetainedFunction>() {
    report(F::site(), "clear", clear(F::site(), CallerKind::Async).await);
}

/// Clears another function, after a sync function.
pub fn invalidate_all_sync<F: RetainedFunction>() {
    block_on(async { report(F::site(), "clear", clear(F::site(), CallerKind::Blocking).await) });
}

async fn tags(tags: Vec<String>, caller_kind: CallerKind) {
    let (instance, tags) = (crate::global::current(), tags.iter().map(String::as_str).collect::<Vec<_>>());
    for error in invalidate::tags(&instance.context(), &tags, Strength::Hard, caller_kind, Store::patience_of_attribute)
        .await
        .into_iter()
        .filter_map(Result::err)
    {
        instance.engine().bus().failed("invalidate_tag", None, &error);
    }
}

/// Invalidates tags.
pub async fn invalidate_tags(list: Vec<String>) {
    tags(list, CallerKind::Async).await;
}

/// Invalidates tags, after a sync function.
pub fn invalidate_tags_sync(list: Vec<String>) {
    block_on(tags(list, CallerKind::Blocking));
}
