use std::time::Duration;

use retainit_plugin::StoredValue;
use serde::Serialize;

use super::Cache;
use crate::engine::{Face, Mode};
use crate::explain::Explain;
use crate::meta::{Entry, Evicted, Lookup};
use crate::options::CallOptions;
use crate::rt::{Fallible, Plain};
use crate::runtime::block_on;
use crate::{Result, stats::Stats};

/// A [`Cache`] for sync programs: the same methods, which wait; loaders return the value.
pub struct BlockingCache<'a, V>(pub(super) &'a Cache<V>);

impl<V> Clone for BlockingCache<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for BlockingCache<'_, V> {}

impl<V> std::fmt::Debug for BlockingCache<'_, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! keyed {
    ($($name:ident -> $result:ty = |$ops:ident, $key:ident| $body:expr;)*) => {
        impl<V: StoredValue> BlockingCache<'_, V> {
            $(
                #[doc = concat!("As [`Cache::", stringify!($name), "`].")]
                ///
                /// # Errors
                ///
                /// As there.
                pub fn $name(&self, key: &(impl Serialize + ?Sized)) -> Result<$result> {
                    let $ops = self.0.ops(Face::Sync);
                    let $key = &self.0.key(&$ops.plan, key)?;
                    block_on($body)
                }
            )*
        }
    };
}

keyed! {
    get -> Lookup<V> = |ops, key| ops.get(key);
    get_entry -> Option<Entry<V>> = |ops, key| ops.entry(key);
    remove -> bool = |ops, key| ops.remove(key);
    exists -> bool = |ops, key| async { Ok(ops.peek(key).await?.is_some()) };
    ttl -> Option<Option<Duration>> = |ops, key| async { Ok(ops.peek(key).await?.map(|meta| meta.ttl())) };
    explain -> Explain = |ops, key| ops.explain(key);
}

impl<V: StoredValue> BlockingCache<'_, V> {
    /// As [`Cache::get_or_load`].
    pub fn get_or_load(&self, key: &(impl Serialize + ?Sized), loader: impl FnOnce() -> V) -> V {
        match self.0.hit(key) {
            Some(value) => value,
            None => block_on(self.0.load::<V, Plain, _>(key, Face::Sync, async { loader() })),
        }
    }

    /// As [`Cache::try_get_or_load`].
    ///
    /// # Errors
    ///
    /// The loader's.
    pub fn try_get_or_load<E>(
        &self,
        key: &(impl Serialize + ?Sized),
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        match self.0.hit(key) {
            Some(value) => Ok(value),
            None => block_on(self.0.load::<Result<V, E>, Fallible, _>(key, Face::Sync, async { loader() })),
        }
    }

    /// As [`Cache::get_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_many<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Lookup<V>>> {
        block_on(self.0.many(keys, Face::Sync))
    }

    /// As [`Cache::set_entry`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>) -> Result<()> {
        block_on(self.0.put_entry(key, entry, Face::Sync))
    }

    /// As [`Cache::set`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<()> {
        self.set_with(key, value, CallOptions::new())
    }

    /// As [`Cache::set_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_with(&self, key: &(impl Serialize + ?Sized), value: V, options: CallOptions) -> Result<()> {
        block_on(self.0.store(key, value, options, Mode::Always, Face::Sync)).map(drop)
    }

    /// As [`Cache::set_if_absent`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_if_absent(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<bool> {
        block_on(self.0.store(key, value, CallOptions::new(), Mode::Absent, Face::Sync))
    }

    /// As [`Cache::clear`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn clear(&self) -> Result<Evicted> {
        block_on(self.0.ops(Face::Sync).clear())
    }

    /// As [`Cache::keys`].
    ///
    /// # Errors
    ///
    /// The first error of the backend.
    pub fn keys(&self) -> Result<Vec<String>> {
        block_on(self.0.walk(Face::Sync).collect())
    }

    /// As [`Cache::stats`].
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}
