//! Hits of sync functions.

use retainit::Retainit;

use super::RAW;
use crate::harness::{Group, time};
use crate::subjects::raw::{Pair, Raw};
use crate::subjects::{HOT, KEYS, Value, load, peers, retained};

/// Returns the values without a cache, for the cost of the loop itself and of the clone of an `Arc`.
fn values() -> Vec<Value> {
    (0..HOT as u64).map(load).collect()
}

/// Measures functions of one number. // A-39, R-34
pub(crate) fn by_id(retainit: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    for fill in [retained::by_id, retained::tagged, retained::idle, peers::cached_by_id] {
        keys.ids.iter().for_each(|id| drop(fill(*id)));
    }
    let (values, raw, moka) = (values(), Raw::filled(keys.ids.iter().copied()), peers::moka(keys.ids.iter().copied()));
    let cache = retained::cache(retainit)?;
    let handle = retained::by_id::cache();
    let group = Group::new()
        .case("floor: an index and a clone", move |n| time(n, |i| values[keys.at(i)].clone()))
        .reference(RAW, move |n| time(n, |i| raw.get(&keys.id(i))))
        .case("retainit", |n| time(n, |i| retained::by_id(keys.id(i))))
        .case("retainit, 2 tags", |n| time(n, |i| retained::tagged(keys.id(i))))
        .case("retainit, idle time", |n| time(n, |i| retained::idle(keys.id(i))))
        .case("retainit, handle's get", move |n| time(n, |i| handle.get(&keys.id(i))))
        .case("retainit, cache.get_or_load", move |n| {
            time(n, |i| cache.blocking().get_or_load(&keys.id(i), || load(0)))
        })
        .case("moka", move |n| time(n, |i| moka.get(&keys.id(i))))
        .case("cached", |n| time(n, |i| peers::cached_by_id(keys.id(i))));
    Ok(group)
}

/// Measures functions of borrowed text.
pub(crate) fn by_str(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    for fill in [retained::by_str, peers::cached_by_str] {
        keys.names.iter().for_each(|name| drop(fill(name)));
    }
    let (values, raw, moka) = (values(), Raw::filled(keys.names.clone()), peers::moka(keys.names.clone()));
    let group = Group::new()
        .case("floor: an index and a clone", move |n| time(n, |i| values[keys.at(i)].clone()))
        .reference(RAW, move |n| time(n, |i| raw.get(keys.name(i))))
        .case("retainit", |n| time(n, |i| retained::by_str(keys.name(i))))
        .case("moka", move |n| time(n, |i| moka.get(keys.name(i))))
        .case("cached", |n| time(n, |i| peers::cached_by_str(keys.name(i))));
    Ok(group)
}

/// Measures functions of owned text; the `String` is made by the caller, inside the loop.
pub(crate) fn by_string(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    for fill in [retained::by_string, peers::cached_by_string] {
        keys.names.iter().for_each(|name| drop(fill(name.clone())));
    }
    let (values, raw, moka) = (values(), Raw::filled(keys.names.clone()), peers::moka(keys.names.clone()));
    let group = Group::new()
        .case("floor: the String, an index and a clone", move |n| {
            time(n, |i| {
                drop(std::hint::black_box(keys.name(i).to_owned()));
                values[keys.at(i)].clone()
            })
        })
        .reference(RAW, move |n| time(n, |i| raw.get(&keys.name(i).to_owned())))
        .case("retainit", |n| time(n, |i| retained::by_string(keys.name(i).to_owned())))
        .case("moka", move |n| time(n, |i| moka.get(&keys.name(i).to_owned())))
        .case("cached", |n| time(n, |i| peers::cached_by_string(keys.name(i).to_owned())));
    Ok(group)
}

/// Measures functions of two arguments.
pub(crate) fn by_pair(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    let pairs = || keys.ids.iter().copied().zip(keys.names.iter().cloned());
    for fill in [retained::by_pair, peers::cached_by_pair] {
        pairs().for_each(|(id, name)| drop(fill(id, &name)));
    }
    let (values, raw, moka) = (values(), Raw::filled(pairs()), peers::moka(pairs()));
    let at = |i: usize| (keys.id(i), keys.name(i));
    let group = Group::new()
        .case("floor: an index and a clone", move |n| time(n, |i| values[keys.at(i)].clone()))
        .reference(RAW, move |n| time(n, |i| raw.get(&Pair(keys.id(i), keys.name(i)))))
        .case("retainit", move |n| time(n, |i| retained::by_pair(at(i).0, at(i).1)))
        .case("moka, a String per call", move |n| time(n, |i| moka.get(&(at(i).0, at(i).1.to_owned()))))
        .case("cached", move |n| time(n, |i| peers::cached_by_pair(at(i).0, at(i).1)));
    Ok(group)
}
