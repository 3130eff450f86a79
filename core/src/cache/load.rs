//! Loads missing values of caches, and finds the ttl of what loaders return.

use std::future::Future;

use retainit_plugin::{ErrorKind, IntoTtl, Result, StoredValue, Ttl, caught};
use serde::Serialize;

use super::Cache;
use crate::call::{self, CallRules};
use crate::engine::{CallerKind, Plan, contained, contained_by};
use crate::key::{Args, StdArgs, is_std};
use crate::value::{Behind, Loaded, ReturnOps, ReturnShape, Shared, WithTtl};

impl<V: StoredValue> Cache<V> {
    /// Returns the value of a key, and runs `loader` if it is missing: once, however many calls ask at the same time.
    ///
    /// A failure of the cache is not the caller's: the loader runs.
    pub async fn get_or_load<F, L>(&self, key: &(impl Serialize + ?Sized), loader: F) -> V
    where
        F: FnOnce() -> L,
        L: Future<Output = V>,
    {
        match self.hit(key) {
            Some(value) => value,
            None => self.load(key, async { loader().await }, |plan, value| self.of_cache(plan, value)).await.value,
        }
    }

    /// Returns the value of a key with a loader that may fail, see [`get_or_load`](Cache::get_or_load). Its error goes
    /// to the caller and is not stored; callers who waited for it run their own loader.
    ///
    /// # Errors
    ///
    /// Returns the loader's error.
    pub async fn try_get_or_load<F, L, E>(&self, key: &(impl Serialize + ?Sized), loader: F) -> Result<V, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<V, E>>,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        let judge = |plan: &Plan, result: Result<V, E>| result.map(|value| self.of_cache(plan, value));
        self.load(key, async { loader().await }, judge).await.map(|loaded| loaded.value)
    }

    /// Returns the value of a key with a loader that knows how long its value is fresh, see
    /// [`get_or_load`](Cache::get_or_load): it returns `(value, ttl)`. Callers who wait for the load share the value.
    ///
    /// The ttl is that of one call: only overrides around the call take precedence over it, and limits that a profile
    /// enforces. `"off"` does not store the value; a ttl that cannot be used is reported, and the value is not stored.
    ///
    /// ```
    /// # use retainit_core as retainit;
    /// # async fn example(tokens: &retainit::Cache<String>) -> retainit::Result<()> {
    /// use std::time::Duration;
    ///
    /// let load = || async { ("secret".to_owned(), Duration::from_secs(90)) }; // asks the server
    /// let token = tokens.get_or_load_with_ttl("api", load).await;
    /// assert!(tokens.ttl("api").await?.flatten().is_some_and(|left| left <= Duration::from_secs(90)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_or_load_with_ttl<F, L, T>(&self, key: &(impl Serialize + ?Sized), loader: F) -> V
    where
        F: FnOnce() -> L,
        L: Future<Output = (V, T)>,
        T: IntoTtl,
    {
        match self.hit(key) {
            Some(value) => value,
            None => self.load(key, async { loader().await }, of_call).await.value,
        }
    }

    /// Returns the value of a key with a loader that may fail and knows how long its value is fresh, see
    /// [`get_or_load_with_ttl`](Cache::get_or_load_with_ttl) and [`try_get_or_load`](Cache::try_get_or_load).
    ///
    /// # Errors
    ///
    /// Returns the loader's error.
    pub async fn try_get_or_load_with_ttl<F, L, T, E>(&self, key: &(impl Serialize + ?Sized), loader: F) -> Result<V, E>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<(V, T), E>>,
        T: IntoTtl,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        let judge = |plan: &Plan, result: Result<(V, T), E>| result.map(|loaded| of_call(plan, loaded));
        self.load(key, async { loader().await }, judge).await.map(|loaded| loaded.value)
    }

    #[inline]
    pub(super) fn hit<K: Serialize + ?Sized>(&self, key: &K) -> Option<V> {
        if crate::runtime::possible() {
            return None;
        }
        let shared = || self.inner.plan.read().clone();
        // Neither the key's `Serialize` nor the value's `Clone` runs under the lock: they may reload the instance.
        if !is_std::<K>() {
            let plan = shared();
            return contained(&plan, || call::hit_in::<V, Behind, _>(&plan, &Args(key)));
        }
        contained_by(shared, || {
            // A copy of the plan would cost more than the lock.
            let plan = self.inner.plan.read();
            let (found, site) = (call::found_in::<Shared<V>, _>(&plan, &StdArgs(key))?, plan.site);
            drop(plan);
            Some(call::give::<V, Behind>(site, found))
        })
    }

    fn return_ops<R>(&self) -> ReturnOps<R, WithTtl, Behind>
    where
        WithTtl: ReturnShape<R, Value = V>,
    {
        ReturnOps::of_value(self.inner.ops)
    }

    /// Runs a loader behind the cache. `judge` adds the ttl to what it returns.
    async fn load<L: Future, R>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: L,
        judge: impl FnOnce(&Plan, L::Output) -> R,
    ) -> R
    where
        WithTtl: ReturnShape<R, Value = V>,
    {
        let (ops, plan) = (self.return_ops(), self.plan());
        let call = self.call(plan.clone(), key, CallerKind::Async);
        call::run(&ops, call, CallRules::NONE, async { judge(&plan, loader.await) }).await.result
    }

    fn load_sync<T, R>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: impl FnOnce() -> T,
        judge: impl FnOnce(&Plan, T) -> R,
    ) -> R
    where
        WithTtl: ReturnShape<R, Value = V>,
    {
        let (ops, plan, mut run) = (self.return_ops(), self.plan(), Some((loader, judge)));
        let mut load = || run.take().map(|(loader, judge)| judge(&plan, loader()));
        let call = self.call(plan.clone(), key, CallerKind::Blocking);
        call::reload_sync(&ops, call, CallRules::NONE, &mut load).result
    }

    /// Adds the ttl that the cache computes. One that cannot be used is reported, and the value is not stored.
    fn of_cache(&self, plan: &Plan, value: V) -> Loaded<V> {
        Loaded { ttl: readable(plan, self.computed_ttl(plan, &value)), value }
    }

    /// Returns the ttl that the cache computes of a value, if it is in force. A `None` has the ttl of `none_ttl`.
    pub(super) fn computed_ttl(&self, plan: &Plan, value: &V) -> Result<Option<Ttl>> {
        let Some(ttl_of) = self.inner.ttl_of.as_ref().filter(|_| plan.options.ttl_of) else { return Ok(None) };
        if self.inner.ops.finds_none(value)? {
            return Ok(None);
        }
        caught(ErrorKind::Config, "computing a ttl", || (ttl_of.0)(value)).flatten().map(Some)
    }
}

/// Adds the ttl that a loader returned with its value. A ttl of an override around the call takes precedence.
fn of_call<V, T: IntoTtl>(plan: &Plan, (value, ttl): (V, T)) -> Loaded<V> {
    let is_scoped = plan.layers.scoped_ttl().is_some();
    // The conversion may be the program's own.
    let ttl =
        caught(ErrorKind::Config, "computing a ttl", || if is_scoped { Ok(None) } else { ttl.into_ttl().map(Some) });
    Loaded { value, ttl: readable(plan, ttl.flatten()) }
}

/// Reports a ttl that cannot be used, and returns one that stores nothing.
fn readable(plan: &Plan, ttl: Result<Option<Ttl>>) -> Option<Ttl> {
    ttl.unwrap_or_else(|error| {
        plan.not_cached("ttl", &error);
        Some(Ttl::Off)
    })
}

// --------------------------------------------------------------------------------------------------- for sync programs

impl<V: StoredValue> super::BlockingCache<'_, V> {
    /// Returns the value of a key, loading it if it is missing: [`Cache::get_or_load`] for sync programs.
    pub fn get_or_load(&self, key: &(impl Serialize + ?Sized), loader: impl FnOnce() -> V) -> V {
        match self.0.hit(key) {
            Some(value) => value,
            None => self.0.load_sync(key, loader, |plan, value| self.0.of_cache(plan, value)).value,
        }
    }

    /// Returns the value of a key with a loader that may fail: [`Cache::try_get_or_load`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the loader's error.
    pub fn try_get_or_load<E>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.0.hit(key) {
            return Ok(value);
        }
        let judge = |plan: &Plan, result: Result<V, E>| result.map(|value| self.0.of_cache(plan, value));
        self.0.load_sync(key, loader, judge).map(|loaded| loaded.value)
    }

    /// Returns the value of a key with a loader that returns `(value, ttl)`: [`Cache::get_or_load_with_ttl`] for sync
    /// programs.
    pub fn get_or_load_with_ttl<T: IntoTtl>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: impl FnOnce() -> (V, T),
    ) -> V {
        match self.0.hit(key) {
            Some(value) => value,
            None => self.0.load_sync(key, loader, of_call).value,
        }
    }

    /// Returns the value of a key with a loader that may fail and returns `(value, ttl)`:
    /// [`Cache::try_get_or_load_with_ttl`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the loader's error.
    pub fn try_get_or_load_with_ttl<T: IntoTtl, E>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: impl FnOnce() -> Result<(V, T), E>,
    ) -> Result<V, E> {
        if let Some(value) = self.0.hit(key) {
            return Ok(value);
        }
        let judge = |plan: &Plan, result: Result<(V, T), E>| result.map(|loaded| of_call(plan, loaded));
        self.0.load_sync(key, loader, judge).map(|loaded| loaded.value)
    }
}
