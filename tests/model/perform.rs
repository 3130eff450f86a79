//! Operations as calls of the public interface.

use std::cell::RefCell;
use std::sync::Arc;

use retainit::{Cache, CallOptions, Error, ErrorKind, Retainit, retain};

use crate::operations::{Answer, CACHES, FUNCTION, Operation, Target, What};
use crate::world::World;

/// Instance, caches and state of one process.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) retainit: Retainit,
    pub(crate) caches: [Cache<u64>; 2],
}

thread_local! {
    /// The world of the case that this thread drives, for functions that are retained.
    pub(crate) static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

#[retain(id = "model.numbered", tags("u"), max_staleness = "0s")]
async fn numbered(key: u64) -> u64 {
    let world = WORLD.with_borrow(Clone::clone).unwrap();
    source(&world, Target { cache: FUNCTION, key }).await
}

async fn source(world: &Arc<World>, target: Target) -> u64 {
    world.stop("before it reads its source").await;
    let value = world.bear(target, Operation::tags(What::Load, target));
    world.stop("after it read its source").await;
    value
}

fn done<T>(result: Result<T, Error>, answer: impl FnOnce(T) -> Answer) -> Answer {
    match result {
        Ok(value) => answer(value),
        Err(error) if error.kind() == ErrorKind::Pending => Answer::Owed,
        Err(error) => Answer::Failed(error.kind().to_string()),
    }
}

fn found(lookup: retainit::Lookup<u64>) -> Answer {
    lookup.value().map_or(Answer::Missed, Answer::Found)
}

fn absent(stored: bool) -> Answer {
    if stored { Answer::Done } else { Answer::Present }
}

fn pattern(target: Target, all: bool) -> String {
    if all { format!("{}:*", CACHES[target.cache]) } else { target.to_string() }
}

/// An error that cannot be cloned.
struct NoValue;

pub(crate) async fn perform(process: Process, operation: Operation, world: Arc<World>) -> Answer {
    let Some(target) = operation.target else { return everywhere(&process.retainit, operation.what).await };
    if target.cache == FUNCTION {
        let retainit = process.retainit.clone();
        return retainit::with_instance(&retainit, of_function(retainit.clone(), operation, target.key)).await;
    }
    let (cache, key) = (&process.caches[target.cache], &target.key);
    let value = operation.sets.unwrap_or_default();
    match operation.what {
        What::Load => Answer::Loaded(cache.get_or_load(key, || source(&world, target)).await),
        What::LoadThatFails => {
            let load = || async {
                source(&world, target).await;
                Err(NoValue)
            };
            cache.try_get_or_load(key, load).await.map_or_else(|_| Answer::Failed("the load".into()), Answer::Loaded)
        }
        What::Get => done(cache.get(key).await, found),
        What::Set => done(cache.set(key, value).await, |()| Answer::Done),
        What::SetTagged(tag) => {
            done(cache.set_with(key, value, CallOptions::new().tags([tag])).await, |()| Answer::Done)
        }
        What::SetIfAbsent => done(cache.set_if_absent(key, value).await, absent),
        What::Remove => done(cache.remove(key).await, |_| Answer::Done),
        What::Clear => done(cache.clear().await, |_| Answer::Done),
        What::Pattern { all } => {
            done(process.retainit.invalidate_pattern(pattern(target, all).as_str()).await, |_| Answer::Done)
        }
        other => unreachable!("{other:?} is no operation on a cache"),
    }
}

async fn of_function(retainit: Retainit, operation: Operation, key: u64) -> Answer {
    let target = Target { cache: FUNCTION, key };
    match operation.what {
        What::Load => Answer::Loaded(numbered(key).await),
        What::Refresh => Answer::Loaded(numbered::cache().refresh(key).await),
        What::Get => done(numbered::cache().get(&key).await, found),
        What::Remove => done(numbered::cache().remove(&key).await, |_| Answer::Done),
        What::Clear => done(numbered::cache().clear().await, |_| Answer::Done),
        What::Pattern { all } => {
            done(retainit.invalidate_pattern(pattern(target, all).as_str()).await, |_| Answer::Done)
        }
        other => unreachable!("{other:?} is no operation on a function"),
    }
}

async fn everywhere(retainit: &Retainit, what: What) -> Answer {
    match what {
        What::ClearAll => done(retainit.clear().await, |_| Answer::Done),
        What::Invalidate(tag) => done(retainit.invalidate_tag(tag).await, |()| Answer::Done),
        What::Expire(tag) => done(retainit.expire_tag(tag).await, |()| Answer::Done),
        other => unreachable!("{other:?} has a target"),
    }
}

pub(crate) fn perform_blocking(process: &Process, operation: &Operation, world: &Arc<World>) -> Answer {
    let retainit = process.retainit.blocking();
    let Some(target) = operation.target else {
        return match operation.what {
            What::ClearAll => done(retainit.clear(), |_| Answer::Done),
            What::Invalidate(tag) => done(retainit.invalidate_tag(tag), |()| Answer::Done),
            What::Expire(tag) => done(retainit.expire_tag(tag), |()| Answer::Done),
            other => unreachable!("{other:?} has a target"),
        };
    };
    let (cache, key) = (process.caches[target.cache].blocking(), &target.key);
    let value = operation.sets.unwrap_or_default();
    let load = || {
        world.stop_blocking("before it reads its source");
        let value = world.bear(target, Operation::tags(What::Load, target));
        world.stop_blocking("after it read its source");
        value
    };
    match operation.what {
        What::Load => Answer::Loaded(cache.get_or_load(key, load)),
        What::LoadThatFails => {
            let failing = || {
                load();
                Err(NoValue)
            };
            cache.try_get_or_load(key, failing).map_or_else(|_| Answer::Failed("the load".into()), Answer::Loaded)
        }
        What::Get => done(cache.get(key), found),
        What::Set => done(cache.set(key, value), |()| Answer::Done),
        What::SetTagged(tag) => done(cache.set_with(key, value, CallOptions::new().tags([tag])), |()| Answer::Done),
        What::SetIfAbsent => done(cache.set_if_absent(key, value), absent),
        What::Remove => done(cache.remove(key), |_| Answer::Done),
        What::Clear => done(cache.clear(), |_| Answer::Done),
        What::Pattern { all } => done(retainit.invalidate_pattern(pattern(target, all).as_str()), |_| Answer::Done),
        other => unreachable!("{other:?} is no operation on a cache"),
    }
}
