//! Hits of async functions.

use std::hint::black_box;

use retainit::{Retainit, Warm};

use super::RAW;
use crate::harness::{FEW, Group, block_on, time, time_async};
use crate::subjects::raw::Raw;
use crate::subjects::{KEYS, Value, load, peers, retained};

async fn ready(value: &Value) -> Value {
    black_box(value).clone()
}

/// Measures async functions of one number.
pub(crate) fn by_id(retainit: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    keys.ids.iter().for_each(|id| drop(retained::by_id(*id)));
    let (hitbox, cache) = (peers::hitbox(), retained::cache(retainit)?);
    let moka = block_on(async {
        for id in &keys.ids {
            retained::by_id_async(*id).await;
        }
        for id in &keys.ids {
            peers::cached_by_id_async(*id).await;
        }
        for id in &keys.ids {
            peers::hitbox_by_id(*id).cache(&hitbox).await;
        }
        peers::moka_async().await
    });
    let (value, raw) = (load(1), Raw::filled(keys.ids.iter().copied()));
    let group = Group::new()
        .case("floor: a ready future", move |n| time_async(n, async |_| ready(&value).await))
        .reference(RAW, move |n| time(n, |i| raw.get(&keys.id(i))))
        .case("retainit", |n| time_async(n, async |i| retained::by_id_async(keys.id(i)).await))
        .case("retainit, the sync function", |n| time(n, |i| retained::by_id(keys.id(i))))
        .case("retainit, cache.get_or_load", move |n| {
            time_async(n, async |i| cache.get_or_load(&keys.id(i), || async { load(0) }).await)
        })
        .case("moka", move |n| time_async(n, async |i| moka.get(&keys.id(i)).await))
        .case("cached", |n| time_async(n, async |i| peers::cached_by_id_async(keys.id(i)).await))
        .sized("hitbox on moka, JSON", FEW, move |n| {
            time_async(n, async |i| peers::hitbox_by_id(keys.id(i)).cache(&hitbox).await.bytes)
        });
    Ok(group)
}

const PRELOADED: u64 = 1_000;

/// Measures a function of 50 ms whose results were loaded before. // A-41
pub(crate) fn preloaded(_: &Retainit) -> retainit::Result<Group<'static>> {
    let warm = Warm::new().concurrency(PRELOADED as usize);
    block_on(retained::slow::cache().warm_with(0..PRELOADED, warm))?;
    let raw = Raw::filled(0..PRELOADED);
    let (value, key) = (load(1), |i: usize| KEYS.id(i) % PRELOADED);
    let group = Group::new()
        .case("floor: a ready future", move |n| time_async(n, async |_| ready(&value).await))
        .reference(RAW, move |n| time(n, |i| raw.get(&key(i))))
        .case("retainit", move |n| time_async(n, async |i| retained::slow(key(i)).await));
    Ok(group)
}
