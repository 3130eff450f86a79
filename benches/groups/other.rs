//! Measures more than hits.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use quick_cache::DefaultHashBuilder;
use retainit::__private::{Args, KeyBuf};
use retainit::Retainit;

use super::RAW;
use crate::harness::{FEW, Group, time, time_async};
use crate::subjects::raw::Raw;
use crate::subjects::{KEYS, SMALL, TTL, Value, load, number, peers, retained};

/// Measures calls of which every second one reads a key that nobody has read before. // A-40
pub(crate) fn mixed(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    let raw = Raw::filled(keys.ids.iter().copied());
    let moka = peers::moka(keys.ids.iter().copied());
    let fresh = Fresh::default();
    let group = Group::new()
        .case("floor: the load", {
            let fresh = fresh.clone();
            move |n| time(n, |i| load(fresh_key(&fresh, i)))
        })
        .reference(RAW, {
            let fresh = fresh.clone();
            move |n| {
                time(n, |i| {
                    let key = fresh_key(&fresh, i);
                    raw.read_through(key, || load(key))
                })
            }
        })
        .case("retainit", {
            let fresh = fresh.clone();
            move |n| time(n, |i| retained::mixed(fresh_key(&fresh, i)))
        })
        .sized("moka", FEW, {
            let fresh = fresh.clone();
            move |n| {
                time(n, |i| {
                    let key = fresh_key(&fresh, i);
                    moka.get_with(key, || load(key))
                })
            }
        })
        .case("cached", move |n| time(n, |i| peers::cached_mixed(fresh_key(&fresh, i))));
    Ok(group)
}

/// Measures calls that all read a key which nobody has read before, into full caches: each evicts an entry.
pub(crate) fn misses(_: &Retainit) -> retainit::Result<Group<'static>> {
    let (raw, moka) = (Raw::new(SMALL), peers::moka_of(SMALL));
    let fresh = [(); 6].map(|()| Fresh::default());
    let next = |fresh: &Fresh| fresh.next().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [floor, reference, sync, asynchronous, of_moka, of_cached] = fresh;
    let group = Group::new()
        .case("floor: the load", move |n| time(n, |_| number(next(&floor))))
        .reference(RAW, move |n| {
            time(n, |_| {
                let key = next(&reference);
                raw.read_through(key, || number(key))
            })
        })
        .case("retainit", move |n| time(n, |_| retained::missed(next(&sync))))
        .case("retainit, async", move |n| time_async(n, async |_| retained::missed_async(next(&asynchronous)).await))
        .sized("moka", FEW, move |n| {
            time(n, |_| {
                let key = next(&of_moka);
                moka.get_with(key, || number(key))
            })
        })
        .case("cached", move |n| time(n, |_| peers::cached_missed(next(&of_cached))));
    Ok(group)
}

/// Counts the keys that were given out.
#[derive(Clone, Default)]
struct Fresh(std::rc::Rc<Cell<u64>>);

impl Fresh {
    #[inline(always)]
    fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

#[inline(always)]
fn fresh_key(fresh: &Fresh, i: usize) -> u64 {
    if i.is_multiple_of(2) { KEYS.id(i) } else { fresh.next() }
}

/// Measures storing under keys that are there already. // R-35
pub(crate) fn set(retainit: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    let raw = Raw::filled(keys.ids.iter().copied());
    let moka = peers::moka(keys.ids.iter().copied());
    let cache = retainit.cache::<Value>("set").backend("set").ttl(TTL).build_local()?;
    let value = load(1);
    let values = [(); 4].map(|()| value.clone());
    let [one, two, three, four] = values;
    let group = Group::new()
        .case("floor: a clone", move |n| time(n, |_| one.clone()))
        .reference(RAW, move |n| time(n, |i| raw.set(keys.id(i), two.clone())))
        .case("retainit, cache.set", move |n| time(n, |i| cache.blocking().set(&keys.id(i), three.clone())))
        .sized("moka", FEW, move |n| time(n, |i| moka.insert(keys.id(i), four.clone())));
    Ok(group)
}

/// Hits by keys of 200 bytes. // T-122
pub(crate) fn long_keys(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    keys.long.iter().for_each(|key| drop(retained::by_long_str(key)));
    let values: Vec<Value> = (0..keys.long.len() as u64).map(load).collect();
    let (raw, moka) = (Raw::filled(keys.long.clone()), peers::moka(keys.long.clone()));
    let key = |i: usize| keys.long[keys.at(i)].as_str();
    let group = Group::new()
        .case("floor: an index and a clone", move |n| time(n, |i| values[keys.at(i)].clone()))
        .reference(RAW, move |n| time(n, |i| raw.get(key(i))))
        .case("retainit", move |n| time(n, |i| retained::by_long_str(key(i))))
        .case("moka", move |n| time(n, |i| moka.get(key(i))));
    Ok(group)
}

/// Measures keys alone: hashed in place by a hit, and taken by value by a miss. // T-122
pub(crate) fn keys(_: &Retainit) -> retainit::Result<Group<'static>> {
    let keys = &*KEYS;
    let (fold, sip) = (DefaultHashBuilder::default(), RandomState::new());
    let group = Group::new()
        .case("floor: an index", move |n| time(n, |i| (keys.id(i), keys.name(i).len())))
        .reference("quick_cache's hasher", move |n| time(n, |i| fold.hash_one((keys.id(i), keys.name(i)))))
        .case("std's hasher", move |n| time(n, |i| sip.hash_one((keys.id(i), keys.name(i)))))
        .case("retainit: canonical bytes and hash", move |n| {
            time(n, |i| KeyBuf::new(&Args((keys.id(i), keys.name(i)))))
        });
    Ok(group)
}
