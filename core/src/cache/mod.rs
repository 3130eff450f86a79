//! Caches without the macro, and what handles and caches share.

mod blocking;
mod builder;
mod ops;
mod warm;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit_plugin::{Contained, StoredValue};
use serde::Serialize;

pub use blocking::BlockingCache;
pub use builder::CacheBuilder;
pub(crate) use ops::{Ops, clear, put, remove, stats};
pub use warm::{Progress, Warm, Warmed};
pub(crate) use warm::{warm, warm_sync};

use crate::config::CODE;
use crate::engine::groups::make_distinct;
use crate::engine::{Face, Function, How, Job, Keys, Mode, PlanRef, Walk, Wanted, load};
use crate::explain::Explain;
use crate::instance::{Level, Replan};
use crate::key::{Args, KeyBuf};
use crate::meta::{Entry, Evicted, Lookup};
use crate::options::{CallOptions, Options};
use crate::overrides::Overrides;
use crate::rt::{Behind, Facts, Fallible, Plain, Rules, ValueFacts};
use crate::runtime::gather;
use crate::stats::Stats;
use crate::{Error, ErrorKind, Result, Retainit, overrides};

/// A cache of values of one type, for code that does not use the attribute.
///
/// Keys are anything that implements `Serialize`, by reference; numbers count by value, so `&42` finds what was set
/// under `&42u64`. It is cheap to clone, and clones are one cache.
pub struct Cache<V> {
    inner: Arc<Inner<V>>,
}

struct Inner<V> {
    instance: Retainit,
    function: Arc<Function>,
    backend: Option<String>,
    options: Options,
    tags: Vec<String>,
    facts: ValueFacts<V>,
    plan: parking_lot::RwLock<PlanRef>,
}

impl<V> Inner<V> {
    fn plan_under(&self, overrides: &Overrides) -> PlanRef {
        let level = Level { backend: self.backend.as_deref(), options: self.options, place: CODE };
        PlanRef::Shared(Arc::new(self.instance.cache_plan(&self.function, level, self.facts.kinds(), overrides)))
    }
}

impl<V: Send + Sync + 'static> Replan for Inner<V> {
    fn replan(&self) {
        *self.plan.write() = self.plan_under(&Overrides::default());
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

/// How many lookups `get_many` has under way at once.
const SIDE_BY_SIDE: usize = 32;

impl<V: StoredValue> Cache<V> {
    /// The plan of a call made here and now.
    fn plan(&self) -> PlanRef {
        match overrides::current() {
            Some(scope) if !scope.overrides.is_empty() => self.inner.plan_under(&scope.overrides),
            _ => self.inner.plan.read().clone(),
        }
    }

    fn ops(&self, face: Face) -> Ops<V> {
        Ops { plan: self.plan(), facts: self.inner.facts, face }
    }

    fn key(&self, plan: &PlanRef, key: &(impl Serialize + ?Sized)) -> Result<KeyBuf> {
        Ok(plan.key(KeyBuf::new(&Args(key))?))
    }

    /// Whether this call runs as if there were no cache, and its job otherwise.
    fn job(&self, key: &(impl Serialize + ?Sized), how: How, face: Face) -> Option<Job> {
        let plan = self.plan();
        let key =
            self.key(&plan, key).inspect_err(|error| plan.function.failed("key", &plan.store.name, error)).ok()?;
        Job::new(plan, key, &self.inner.tags, how, face)
    }

    fn facts<R, P: crate::rt::Shape<R, Value = V>>(&self) -> Facts<R, P, Behind> {
        Facts::of_value(self.inner.facts)
    }

    /// The value of a key; `loader` runs if it is missing, once however many ask at the same time.
    ///
    /// It cannot fail: when the cache does, the loader runs.
    pub async fn get_or_load<F, L>(&self, key: &(impl Serialize + ?Sized), loader: F) -> V
    where
        F: FnOnce() -> L,
        L: Future<Output = V>,
    {
        match self.hit(key) {
            Some(value) => value,
            None => self.load::<V, Plain, _>(key, Face::Async, async { loader().await }).await,
        }
    }

    /// As [`get_or_load`](Cache::get_or_load) with a loader that may fail. Its error is the caller's and is not
    /// stored; callers who waited for it run their own loader.
    ///
    /// # Errors
    ///
    /// The loader's.
    pub async fn try_get_or_load<F, L, E>(&self, key: &(impl Serialize + ?Sized), loader: F) -> Result<V, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        match self.hit(key) {
            Some(value) => Ok(value),
            None => self.load::<Result<V, E>, Fallible, _>(key, Face::Async, async { loader().await }).await,
        }
    }

    #[inline]
    fn hit(&self, key: &(impl Serialize + ?Sized)) -> Option<V> {
        if overrides::possible() {
            return None;
        }
        let plan = self.inner.plan.read();
        crate::rt::contained(&plan, || crate::rt::hit_in::<V, Behind, _>(&plan, &Args(key)))
    }

    async fn load<R, P: crate::rt::Shape<R, Value = V>, L: Future<Output = R>>(
        &self,
        key: &(impl Serialize + ?Sized),
        face: Face,
        loader: L,
    ) -> R {
        match self.job(key, How::Call, face) {
            Some(job) => Box::pin(load(&self.facts::<R, P>(), job, Rules::NONE, loader)).await.0,
            None => loader.await,
        }
    }

    /// Looks a key up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`], [`ErrorKind::Closed`], or the backend's.
    pub async fn get(&self, key: &(impl Serialize + ?Sized)) -> Result<Lookup<V>> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        ops.get(&key).await
    }

    /// Looks several keys up; the answers come in the order of the keys.
    ///
    /// # Errors
    ///
    /// The first of [`get`](Cache::get)'s.
    pub async fn get_many<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Lookup<V>>> {
        self.many(keys, Face::Async).await
    }

    async fn many<K: Serialize>(&self, keys: impl IntoIterator<Item = K>, face: Face) -> Result<Vec<Lookup<V>>> {
        self.inner.instance.check_open()?;
        let ops = self.ops(face);
        let keys = keys.into_iter().map(|key| self.key(&ops.plan, &key)).collect::<Result<Vec<_>>>()?;
        // The rest is not asked for once a key has failed: a sync caller would wait for one after the other.
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

    /// The entry of a key as it lies in the store, expired or not; it does not count as a use.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    pub async fn get_entry(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<Entry<V>>> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        ops.entry(&key).await
    }

    /// Puts an entry back as it was, with its age and what is left of its time.
    ///
    /// # Errors
    ///
    /// As [`set`](Cache::set).
    pub async fn set_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>) -> Result<()> {
        self.put_entry(key, entry, Face::Async).await
    }

    async fn put_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>, face: Face) -> Result<()> {
        let ops = self.ops(face);
        let key = self.key(&ops.plan, key)?;
        ops.set_entry(&key, &self.inner.tags, entry).await
    }

    /// Stores a value; every load of this key that is under way is refused.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`], [`ErrorKind::Closed`], [`ErrorKind::Codec`], or the backend's.
    pub async fn set(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<()> {
        self.set_with(key, value, CallOptions::new()).await
    }

    /// As [`set`](Cache::set), with options of this call.
    ///
    /// # Errors
    ///
    /// As [`set`](Cache::set), [`ErrorKind::Config`] for an option that cannot be used and for more than 254 tags,
    /// [`ErrorKind::Unsupported`] for tags whose names are too long for a backend that keeps bytes, some 60 KiB in all.
    pub async fn set_with(&self, key: &(impl Serialize + ?Sized), value: V, options: CallOptions) -> Result<()> {
        self.store(key, value, options, Mode::Always, Face::Async).await.map(drop)
    }

    /// Stores a value if there is none that could be served, atomically. True if it was stored.
    ///
    /// # Errors
    ///
    /// As [`set`](Cache::set), and [`ErrorKind::Unsupported`] where the backend cannot do it.
    pub async fn set_if_absent(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<bool> {
        self.store(key, value, CallOptions::new(), Mode::Absent, Face::Async).await
    }

    async fn store(
        &self,
        key: &(impl Serialize + ?Sized),
        value: V,
        options: CallOptions,
        mode: Mode,
        face: Face,
    ) -> Result<bool> {
        let options = options.check()?;
        let ops = self.ops(face);
        let key = self.key(&ops.plan, key)?;
        let mut tags: Vec<String> = self.inner.tags.iter().cloned().chain(options.tags).collect();
        make_distinct(&mut tags);
        ops.set(&key, &tags, Contained::new(value), options.ttl, mode).await
    }

    /// Removes a key. True if something that could be served was there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pending`] when the backend did not acknowledge; else as [`get`](Cache::get).
    pub async fn remove(&self, key: &(impl Serialize + ?Sized)) -> Result<bool> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        ops.remove(&key).await
    }

    /// Whether a key is there and fresh; it does not count as a use.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    pub async fn exists(&self, key: &(impl Serialize + ?Sized)) -> Result<bool> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        Ok(ops.peek(&key).await?.is_some())
    }

    /// What is left of a key's ttl: `Some(None)` for one that never expires, `None` for one that is not there.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    pub async fn ttl(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<Option<Duration>>> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        Ok(ops.peek(&key).await?.map(|meta| meta.ttl()))
    }

    /// Removes this cache's entries and nothing else.
    ///
    /// # Errors
    ///
    /// As [`remove`](Cache::remove).
    pub async fn clear(&self) -> Result<Evicted> {
        self.ops(Face::Async).clear().await
    }

    /// This cache's keys, as `{name}:{key}`. After `close()` there is only an error of kind [`ErrorKind::Closed`].
    pub fn keys(&self) -> Keys {
        self.walk(Face::Async)
    }

    fn walk(&self, face: Face) -> Keys {
        let plan = self.plan();
        let mut wanted = Wanted::prefix(format!("{}:", self.inner.function.id));
        wanted.site = Some(plan.site);
        wanted.below = Some(plan.function_prefix().to_owned());
        Keys::new(vec![Walk::new(&self.inner.instance, &plan.store, wanted, face)])
    }

    /// Why a lookup of this key hits or misses, and which options hold.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    pub async fn explain(&self, key: &(impl Serialize + ?Sized)) -> Result<Explain> {
        let ops = self.ops(Face::Async);
        let key = self.key(&ops.plan, key)?;
        ops.explain(&key).await
    }

    /// What this cache has done so far.
    pub fn stats(&self) -> Stats {
        ops::stats(&self.plan())
    }

    /// The same for sync programs.
    pub fn blocking(&self) -> BlockingCache<'_, V> {
        BlockingCache(self)
    }
}
