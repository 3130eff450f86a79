use std::time::Duration;

use retainit_plugin::{Result, StoredValue};
use serde::Serialize;

use super::Cache;
use crate::engine::{CallerKind, Mode};
use crate::explain::Explain;
use crate::meta::{Entry, Evicted, Lookup};
use crate::options::CallOptions;
use crate::runtime::block_on;
use crate::stats::Stats;

/// A [`Cache`] for sync programs: its methods block, and loaders return the value itself.
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
    ($($doc:literal $name:ident -> $result:ty = |$ops:ident, $key:ident| $body:expr;)*) => {
        impl<V: StoredValue> BlockingCache<'_, V> {
            $(
                #[doc = concat!($doc, ": [`Cache::", stringify!($name), "`] for sync programs.")]
                ///
                /// # Errors
                ///
                #[doc = concat!("Returns the errors of [`Cache::", stringify!($name), "`].")]
                pub fn $name(&self, key: &(impl Serialize + ?Sized)) -> Result<$result> {
                    let $ops = self.0.ops(CallerKind::Blocking);
                    let $key = &self.0.key(&$ops.plan, key)?;
                    block_on($body)
                }
            )*
        }
    };
}

keyed! {
    "Looks a key up"
    get -> Lookup<V> = |ops, key| ops.get(key);
    "Returns the stored entry of a key, expired or not"
    get_entry -> Option<Entry<V>> = |ops, key| ops.entry(key);
    "Removes a key"
    remove -> bool = |ops, key| ops.remove(key);
    "Returns whether a key has a fresh entry"
    exists -> bool = |ops, key| async { Ok(ops.peek(key).await?.is_some()) };
    "Returns the remaining ttl of a key"
    ttl -> Option<Option<Duration>> = |ops, key| async { Ok(ops.peek(key).await?.map(|meta| meta.ttl())) };
    "Explains why a lookup of a key hits or misses"
    explain -> Explain = |ops, key| ops.explain(key);
}

impl<V: StoredValue> BlockingCache<'_, V> {
    /// Looks several keys up: [`Cache::get_many`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::get_many`].
    pub fn get_many<K: Serialize>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Lookup<V>>> {
        block_on(self.0.many(keys, CallerKind::Blocking))
    }

    /// Stores an entry with its age and the rest of its time: [`Cache::set_entry`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::set_entry`].
    pub fn set_entry(&self, key: &(impl Serialize + ?Sized), entry: Entry<V>) -> Result<()> {
        block_on(self.0.put_entry(key, entry, CallerKind::Blocking))
    }

    /// Stores a value: [`Cache::set`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::set`].
    pub fn set(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<()> {
        self.set_with(key, value, CallOptions::new())
    }

    /// Stores a value with options of this call: [`Cache::set_with`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::set_with`].
    pub fn set_with(&self, key: &(impl Serialize + ?Sized), value: V, options: CallOptions) -> Result<()> {
        block_on(self.0.store(key, value, options, Mode::Always, CallerKind::Blocking)).map(drop)
    }

    /// Stores a value unless the key has a fresh entry: [`Cache::set_if_absent`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::set_if_absent`].
    pub fn set_if_absent(&self, key: &(impl Serialize + ?Sized), value: V) -> Result<bool> {
        block_on(self.0.store(key, value, CallOptions::new(), Mode::Absent, CallerKind::Blocking))
    }

    /// Removes this cache's entries: [`Cache::clear`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Cache::clear`].
    pub fn clear(&self) -> Result<Evicted> {
        block_on(self.0.ops(CallerKind::Blocking).clear())
    }

    /// Lists this cache's keys: [`Cache::keys`] for sync programs.
    ///
    /// # Errors
    ///
    /// Returns the first error of the backend.
    pub fn keys(&self) -> Result<Vec<String>> {
        block_on(self.0.walk(CallerKind::Blocking).collect())
    }

    /// Returns the counters of this cache since it was built.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}
