//! Implements caches without the macro, and the operations that handles and caches share.

mod attributes;
mod blocking;
mod builder;
mod load;
mod ops;
mod warm;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit_plugin::lock::RwLock;
use retainit_plugin::{Contained, Error, ErrorKind, Result, StoredValue};
use serde::Serialize;

pub use attributes::{
    invalidate_all, invalidate_all_sync, invalidate_key, invalidate_key_sync, invalidate_tags, invalidate_tags_sync,
    put, put_sync,
};
pub use blocking::BlockingCache;
pub use builder::CacheBuilder;
use builder::{OnRemoval, TtlOf};
use ops::put_value;
pub(crate) use ops::{KeyedOps, clear, remove, remove_for_attribute, stats};
pub use warm::{Warm, WarmProgress, Warmed};
pub(crate) use warm::{warm, warm_sync};

use crate::call::{Call, looked_just_before};
use crate::config::CODE;
use crate::engine::groups::make_distinct;
use crate::engine::{CallerKind, Function, How, Job, KeyQuery, Keys, Mode, PlanRef, Walk};
use crate::explain::Explain;
use crate::instance::{Level, PlanObserver};
use crate::key::{Args, KeyBuf};
use crate::meta::{Entry, Evicted, Lookup};
use crate::options::Overrides;
use crate::options::{CallOptions, Options};
use crate::runtime::gather;
use crate::stats::Stats;
use crate::value::{ValueKinds, ValueOps};
use crate::{Retainit, overrides};

/// A cache of values of one type, for code that does not use the attribute.
///
/// Keys are anything that implements `Serialize`, by reference; numbers are equal by value, so `&42` finds what was set
/// under `&42u64`. A clone is cheap and is the same cache.
pub struct Cache<V> {
    inner: Arc<CacheInner<V>>,
}

struct CacheInner<V> {
    instance: Retainit,
    function: Arc<Function>,
    backend: Option<String>,
    options: Options,
    tags: Vec<String>,
    ops: ValueOps<V>,
    kinds: ValueKinds,
    ttl_of: Option<TtlOf<V>>,
    /// Kept alive for the function, which holds a weak pointer.
    _on_removal: Option<OnRemoval>,
    plan: RwLock<PlanRef>,
}

impl<V> CacheInner<V> {
    fn plan_under(&self, overrides: &Overrides) -> PlanRef {
        let level = Level { backend: self.backend.as_deref(), options: self.options, place: CODE };
        PlanRef::Shared(Arc::new(self.instance.cache_plan(&self.function, level, self.kinds, overrides)))
    }
}

impl<V: Send + Sync + 'static> PlanObserver for CacheInner<V> {
    fn replan(&self) {
        loop {
            // The plan is made outside the lock: a serializer that is asked whether it can may call `reload`.
            let revision = self.instance.settings_revision();
            let made = self.plan_under(&Overrides::default());
            let mut plan = self.plan.write();
            // A plan made from settings that a reload has replaced meanwhile is made again.
            if self.instance.settings_revision() == revision {
                *plan = made;
                return;
            }
        }
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Cache { inner: Arc::clone(&self.inner) }
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.function.id).finish_non_exhaustive()
    }
}

/// The number of lookups that `get_many` has under way at once.
const SIDE_BY_SIDE: usize = 32;

impl<V: StoredValue> Cache<V> {
    /// Returns the plan of a call that is made now, under the overrides in force.
    fn plan(&self) -> PlanRef {
        match overrides::current() {
            Some(scope) if !scope.overrides.is_empty() => self.inner.plan_under(&scope.overrides),
            _ => self.inner.plan.read().clone(),
        }
    }

    fn ops(&self, caller_kind: CallerKind) -> KeyedOps<V> {
        KeyedOps { plan: self.plan(), ops: self.inner.ops, caller_kind }
    }

    fn key(&self, plan: &PlanRef, key: &(impl Serialize + ?Sized)) -> Result<KeyBuf> {
        Ok(plan.key(KeyBuf::new(&Args(key))?))
    }

    /// Makes a call that `hit` did not answer, an empty one if it has to run without the cache.
    fn call(&self, plan: PlanRef, key: &(impl Serialize + ?Sized), caller_kind: CallerKind) -> Call {
        let looked = !crate::runtime::possible();
        let key = self.key(&plan, key);
        let key = key.inspect_err(|error| plan.function.runs_uncached("key", &plan.store.name, error)).ok();
        let mut job = key.and_then(|key| Job::new(plan, key, How::Call, caller_kind));
        if job.as_mut().is_some_and(|job| job.tagged(&self.inner.tags).is_none()) {
            job = None;
        }
        if let Some(job) = &mut job {
            let looked = looked && job.plan.fast.is_some();
            looked_just_before(job, looked);
        }
        Call::of(job)
    }

    /// Looks a key up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`], [`ErrorKind::Closed`], or the backend's.
    pub async fn get(&self, key: &(impl Serialize + ?Sized)) -> Result<Lookup<V>> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        ops.get(&key).await
    }

    /// Looks several keys up and returns the results in the order of the keys.
    ///
    /// # Errors
    ///
    /// Returns the first error of [`get`](Cache::get).
    pub async fn get_many<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Lookup<V>>> {
        self.many(keys, CallerKind::Async).await
    }

    async fn many<K: Serialize>(
        &self,
        keys: impl IntoIterator<Item = K>,
        caller_kind: CallerKind,
    ) -> Result<Vec<Lookup<V>>> {
        self.inner.instance.engine().check_open()?;
        let ops = self.ops(caller_kind);
        let keys = keys.into_iter().map(|key| self.key(&ops.plan, &key)).collect::<Result<Vec<_>>>()?;
        // Lookups stop once a key has failed: a sync caller would wait for the timeout of each remaining one in turn.
        let has_failed = AtomicBool::new(false);
        let get = |key: KeyBuf| {
            let (ops, has_failed) = (&ops, &has_failed);
            async move {
                if has_failed.load(Ordering::Relaxed) {
                    return Err(Error::new(ErrorKind::Backend, "another key has failed"));
                }
                ops.get(&key).await.inspect_err(|_| has_failed.store(true, Ordering::Relaxed))
            }
        };
        gather(keys.into_iter().map(get), SIDE_BY_SIDE, |_| {}).await.into_iter().collect()
    }

    /// Returns the stored entry of a key, expired or not. This does not count as a use.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Cache::get).
    pub async fn get_entry(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<Entry<V>>> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        ops.entry(&key).await
    }

    /// Stores an entry as it was, with its age and the rest of its time.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Cache::set).
    pub async fn set_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>) -> Result<()> {
        self.put_entry(key, entry, CallerKind::Async).await
    }

    async fn put_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>, caller_kind: CallerKind) -> Result<()> {
        let ops = self.ops(caller_kind);
        let key = self.key(&ops.plan, key)?;
        ops.set_entry(&key, &self.inner.tags, entry).await
    }

    /// Stores a value. The result of a load of this key that is under way is not stored over it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`], [`ErrorKind::Closed`], [`ErrorKind::Codec`] for a value that cannot be written or would not
    /// come back as it is, or the backend's.
    pub async fn set(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<()> {
        self.set_with(key, value, CallOptions::new()).await
    }

    /// Stores a value with options of this call, see [`set`](Cache::set).
    ///
    /// # Errors
    ///
    /// Those of [`set`](Cache::set), [`ErrorKind::Config`] for an option that cannot be used and for more than 254
    /// tags, [`ErrorKind::Unsupported`] for tags whose names are too long for a byte backend, some 60 KiB in all.
    pub async fn set_with(&self, key: &(impl Serialize + ?Sized), value: V, options: CallOptions) -> Result<()> {
        self.store(key, value, options, Mode::Always, CallerKind::Async).await.map(drop)
    }

    /// Stores a value if the key has none that could be served, atomically. Returns true if it was stored.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Cache::set), and [`ErrorKind::Unsupported`] where the backend cannot do it.
    pub async fn set_if_absent(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<bool> {
        self.store(key, value, CallOptions::new(), Mode::Absent, CallerKind::Async).await
    }

    async fn store(
        &self,
        key: &(impl Serialize + ?Sized),
        value: V,
        options: CallOptions,
        mode: Mode,
        caller_kind: CallerKind,
    ) -> Result<bool> {
        let options = options.check()?;
        let ops = self.ops(caller_kind);
        let key = self.key(&ops.plan, key)?;
        let mut tags: Vec<String> = self.inner.tags.iter().cloned().chain(options.tags).collect();
        make_distinct(&mut tags);
        let ttl = match options.ttl {
            Some(ttl) => Some(ttl),
            None => self.computed_ttl(&ops.plan, &value)?,
        };
        ops.set(&key, &tags, Contained::new(value), ttl, mode).await
    }

    /// Removes a key. Returns true if it had an entry that could be served.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when the backend did not acknowledge; else those of [`get`](Cache::get).
    pub async fn remove(&self, key: &(impl Serialize + ?Sized)) -> Result<bool> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        ops.remove(&key).await
    }

    /// Returns whether a key has a fresh entry. This does not count as a use.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Cache::get).
    pub async fn exists(&self, key: &(impl Serialize + ?Sized)) -> Result<bool> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        Ok(ops.peek(&key).await?.is_some())
    }

    /// Returns the remaining ttl of a key: `Some(None)` if it never expires, `None` if it has no fresh entry.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Cache::get).
    pub async fn ttl(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<Option<Duration>>> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        Ok(ops.peek(&key).await?.map(|meta| meta.ttl()))
    }

    /// Removes this cache's entries and nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`remove`](Cache::remove).
    pub async fn clear(&self) -> Result<Evicted> {
        self.ops(CallerKind::Async).clear().await
    }

    /// Lists this cache's keys, as `{name}:{key}`. After `close()` the list is one error of kind [`ErrorKind::Closed`].
    pub fn keys(&self) -> Keys {
        self.walk(CallerKind::Async)
    }

    fn walk(&self, caller_kind: CallerKind) -> Keys {
        let plan = self.plan();
        Keys::new(vec![Walk::new(&plan.instance, &plan.store, KeyQuery::function(&plan), caller_kind)])
    }

    /// Explains why a lookup of this key hits or misses, and lists the options in force.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Cache::get).
    pub async fn explain(&self, key: &(impl Serialize + ?Sized)) -> Result<Explain> {
        let ops = self.ops(CallerKind::Async);
        let key = self.key(&ops.plan, key)?;
        ops.explain(&key).await
    }

    /// Returns the counters of this cache since it was built.
    pub fn stats(&self) -> Stats {
        ops::stats(&self.plan())
    }

    /// Returns this cache for sync programs.
    pub fn blocking(&self) -> BlockingCache<'_, V> {
        BlockingCache(self)
    }
}
