//! Defines the handles of retained functions, which `user::cache()` returns.
//!
//! | the function | async | sync |
//! |---|---|---|
//! | a free function whose key are arguments or a template | [`Handle`] | [`SyncHandle`] |
//! | one with `key = expr` that can run from owned arguments | [`ReloadHandle`] | [`SyncReloadHandle`] |
//! | a method, a generic function, any other | [`AnyHandle`] | [`SyncAnyHandle`] |
//!
//! The type of a handle has two parameters, the empty type beside the function and the return type, so that a struct
//! can hold it:
//!
//! ```ignore
//! use retainit::handle::Handle;
//!
//! #[retain]
//! async fn user(id: u64) -> Result<User, DbError> {
//!     find(id).await
//! }
//!
//! struct Users {
//!     cache: Handle<user, Result<User, DbError>>,
//! }
//!
//! let users = Users { cache: user::cache() };
//! ```
//!
//! Most methods are on the types behind them, reached through `Deref`: [`Layer`] and its siblings have the methods that
//! do not depend on whether the function returns a `Result`. A handle is made by the code that `#[retain]` writes,
//! costs nothing to make, and finds the instance at each call: the installed one, or that of `with_instance`.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use retainit_plugin::{Error, ErrorKind, Result, StoredValue};
use serde::Serialize;

use crate::cache::{KeyedOps, Warm, Warmed, warm, warm_sync};
use crate::engine::How;
use crate::engine::{CallerKind, KeyQuery, Keys, Walk};
use crate::explain::Explain;
use crate::key::KeyBuf;
use crate::key::{self, Args, KeyError, KeySource, Sink, Template};
use crate::meta::{Entry, Evicted, Lookup};
use crate::runtime::block_on;
use crate::site::{Known, Site};
use crate::stats::Stats;

#[doc(inline)]
pub use crate::call::{Reload, ReloadSync, RetainedFunction};

/// Fields that every handle has.
#[derive(Clone, Copy, Debug)]
struct Base {
    site: &'static Site,
    caller_kind: CallerKind,
    template: Option<TemplateKey>,
}

/// A template that is filled with key values in declaration order.
#[derive(Clone, Copy, Debug)]
struct TemplateKey {
    template: Template<()>,
    /// Index of the value of each placeholder; in order if empty.
    order: &'static [usize],
}

impl Base {
    fn new(site: &'static Site, ops: &dyn Known, caller_kind: CallerKind) -> Base {
        ops.keep(site);
        Base { site, caller_kind, template: None }
    }

    fn ops<V: StoredValue>(&self) -> Result<KeyedOps<V>> {
        let ops = self
            .site
            .ops::<V>()
            .ok_or_else(|| Error::new(ErrorKind::TypeMismatch, "this handle is not of the function's type"))?;
        Ok(KeyedOps { plan: crate::global::plan(self.site)?, ops, caller_kind: self.caller_kind })
    }

    /// Encodes a key whose values are given by hand.
    fn any_key<K: Serialize + ?Sized>(&self, key: &K) -> Result<KeyBuf> {
        match self.template {
            None => KeyBuf::new(&Args(key)),
            Some(template) => KeyBuf::new(&Filled { template, key }),
        }
    }

    fn keys(&self) -> Result<Keys> {
        let plan = crate::global::plan(self.site)?;
        Ok(Keys::new(vec![Walk::new(&plan.instance, &plan.store, KeyQuery::function(&plan), self.caller_kind)]))
    }

    fn stats(&self) -> Stats {
        crate::global::plan(self.site).map(|plan| crate::cache::stats(&plan)).unwrap_or_default()
    }

    fn id(&self) -> String {
        crate::global::plan(self.site).map(|plan| plan.function.id.clone()).unwrap_or_default()
    }
}

/// A template filled with values whose number and types only the caller knows.
struct Filled<'a, K: ?Sized> {
    template: TemplateKey,
    key: &'a K,
}

impl<K: Serialize + ?Sized> KeySource for Filled<'_, K> {
    const IS_TEXT: bool = true;
    const RUNS_USER_CODE: bool = true;

    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        let TemplateKey { template, order } = &self.template;
        sink.put(key::fill(template, order, self.key)?.as_bytes());
        Ok(())
    }
}

macro_rules! waiting {
    (async $future:expr) => {
        $future.await
    };
    (sync $future:expr) => {
        block_on($future)
    };
}

/// Defines the methods that depend on the value's type; the last argument is an expression of type `Result<KeyBuf>`.
macro_rules! value_methods {
    ([$($async:ident)?] $mode:ident [$($bound:tt)*] $key:ty, $value:ty, |$this:ident, $k:ident| $buf:expr) => {
        /// Looks a key up. This counts in the statistics like a call.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Key`], [`ErrorKind::Closed`], [`ErrorKind::Config`] for a function that runs uncached, or
        /// the backend's.
        pub $($async)? fn get $($bound)* (&self, key: &$key) -> Result<Lookup<$value>> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            waiting!($mode ops.get(&key))
        }

        /// Returns the stored entry of a key, expired or not. This does not count as a use.
        ///
        /// # Errors
        ///
        /// Those of `get`.
        pub $($async)? fn get_entry $($bound)* (&self, key: &$key) -> Result<Option<Entry<$value>>> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            waiting!($mode ops.entry(&key))
        }

        /// Explains why a call with this key hits or misses, and lists the options in force.
        ///
        /// # Errors
        ///
        /// Those of `get`.
        pub $($async)? fn explain $($bound)* (&self, key: &$key) -> Result<Explain> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            waiting!($mode ops.explain(&key))
        }

        /// Returns whether a key has a fresh entry. This does not count as a use.
        ///
        /// # Errors
        ///
        /// Those of `get`.
        pub $($async)? fn exists $($bound)* (&self, key: &$key) -> Result<bool> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            Ok(waiting!($mode ops.peek(&key))?.is_some())
        }

        /// Returns the remaining ttl of a key: `Some(None)` if it never expires, `None` if it has no fresh entry.
        ///
        /// # Errors
        ///
        /// Those of `get`.
        pub $($async)? fn ttl $($bound)* (&self, key: &$key) -> Result<Option<Option<Duration>>> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            Ok(waiting!($mode ops.peek(&key))?.map(|meta| meta.ttl()))
        }
    };
}

/// Defines the methods that do not depend on the value's type.
macro_rules! plain_methods {
    ([$($async:ident)?] $mode:ident [$($bound:tt)*] $key:ty, |$this:ident, $k:ident| $buf:expr) => {
        /// Removes an entry. Returns true if it could be served. A load of this key that is under way is neither stored
        /// nor served to later callers.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Pending`] when the backend did not acknowledge; else those of `get`.
        pub $($async)? fn remove $($bound)* (&self, key: &$key) -> Result<bool> {
            let ($this, $k) = (self, key);
            waiting!($mode crate::cache::remove(self.base.site, $buf, self.base.caller_kind))
        }

        /// Removes this function's entries and nothing else.
        ///
        /// # Errors
        ///
        /// Those of `remove`.
        pub $($async)? fn clear(&self) -> Result<Evicted> {
            waiting!($mode crate::cache::clear(self.base.site, self.base.caller_kind))
        }

        /// Returns the counters of this function in this instance.
        pub fn stats(&self) -> Stats {
            self.base.stats()
        }

        /// Returns the function's id, as keys and patterns show it.
        pub fn id(&self) -> String {
            self.base.id()
        }
    };
}

macro_rules! handles {
    ($([$($async:ident)?] $mode:ident $caller_kind:ident
       $typed:ident $layer:ident $any:ident $any_layer:ident $reloading:ident $keys:ident $reload:ident $warm:ident;)*) => {$(
        /// Handle of a function: accesses its entries by the function's own key arguments.
        pub struct $typed<F, R>($layer<F, R>);

        /// Methods of a handle that do not depend on the return type.
        pub struct $layer<F, R> {
            base: Base,
            types: PhantomData<fn() -> (F, R)>,
        }

        impl<F, R> Deref for $typed<F, R> {
            type Target = $layer<F, R>;

            fn deref(&self) -> &$layer<F, R> {
                &self.0
            }
        }

        impl<F: RetainedFunction, R> $typed<F, R> {
            /// Creates a handle, in generated code.
            #[doc(hidden)]
            pub fn new(ops: &dyn Known) -> Self {
                $typed($layer { base: Base::new(F::site(), ops, CallerKind::$caller_kind), types: PhantomData })
            }
        }

        impl<F: RetainedFunction, T: StoredValue, E> $typed<F, std::result::Result<T, E>> {
            value_methods!([$($async)?] $mode [] F::Key<'_>, T, |_this, key| F::key(key));
        }

        impl<F: RetainedFunction, R: StoredValue> $layer<F, R> {
            value_methods!([$($async)?] $mode [] F::Key<'_>, R, |_this, key| F::key(key));
        }

        impl<F: RetainedFunction, R> $layer<F, R> {
            plain_methods!([$($async)?] $mode [] F::Key<'_>, |_this, key| F::key(key));
            $keys!();
        }

        impl<F: RetainedFunction, R> $layer<F, R> {
            reload_methods!([$($async)?] $mode $reload $warm);
        }

        /// Handle of a method, a generic function or a function with `key = expr`: accepts any key with the same
        /// canonical text.
        pub struct $any<R>($any_layer<R>);

        /// Methods of a handle with any key that do not depend on the return type.
        pub struct $any_layer<R> {
            base: Base,
            types: PhantomData<fn() -> R>,
        }

        impl<R> Deref for $any<R> {
            type Target = $any_layer<R>;

            fn deref(&self) -> &$any_layer<R> {
                &self.0
            }
        }

        impl<R> $any<R> {
            /// Creates a handle, in generated code.
            #[doc(hidden)]
            pub fn new(site: &'static Site, ops: &dyn Known) -> Self {
                $any($any_layer { base: Base::new(site, ops, CallerKind::$caller_kind), types: PhantomData })
            }

            /// Creates a handle with a template key, in generated code.
            #[doc(hidden)]
            pub fn template(
                site: &'static Site,
                ops: &dyn Known,
                template: Template<()>,
            ) -> Self {
                let mut handle = Self::new(site, ops);
                handle.0.base.template = Some(TemplateKey { template, order: &[] });
                handle
            }

            /// Sets the order of a template's placeholders, in generated code, where it is not that of the arguments.
            #[doc(hidden)]
            #[must_use]
            pub fn ordered(mut self, order: &'static [usize]) -> Self {
                if let Some(template) = &mut self.0.base.template {
                    template.order = order;
                }
                self
            }
        }

        impl<T: StoredValue, E> $any<std::result::Result<T, E>> {
            value_methods!([$($async)?] $mode [<K: Serialize + ?Sized>] K, T, |this, key| this.base.any_key(key));
        }

        impl<R: StoredValue> $any_layer<R> {
            value_methods!([$($async)?] $mode [<K: Serialize + ?Sized>] K, R, |this, key| this.base.any_key(key));
        }

        impl<R> $any_layer<R> {
            plain_methods!([$($async)?] $mode [<K: Serialize + ?Sized>] K, |this, key| this.base.any_key(key));
            $keys!();
        }

        /// Handle of a function with `key = expr` that can run from owned arguments.
        pub struct $reloading<F, R> {
            any: $any<R>,
            function: PhantomData<fn() -> F>,
        }

        impl<F, R> Deref for $reloading<F, R> {
            type Target = $any<R>;

            fn deref(&self) -> &$any<R> {
                &self.any
            }
        }

        impl<F: RetainedFunction, R> $reloading<F, R> {
            /// Creates a handle, in generated code.
            #[doc(hidden)]
            pub fn new(ops: &dyn Known) -> Self {
                $reloading { any: $any::new(F::site(), ops), function: PhantomData }
            }
        }

        impl<F: RetainedFunction, R> $reloading<F, R> {
            reload_methods!([$($async)?] $mode $reload $warm);
        }

        debug!($typed<F, R> $layer<F, R> $any<R> $any_layer<R> $reloading<F, R>);
    )*};
}

macro_rules! async_keys {
    () => {
        /// Lists this function's keys, as `{id}:{args}`.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::UnknownBackend`] when there is no instance.
        pub fn keys(&self) -> Result<Keys> {
            self.base.keys()
        }
    };
}

macro_rules! sync_keys {
    () => {
        /// Lists this function's keys, as `{id}:{args}`.
        ///
        /// # Errors
        ///
        /// Returns the first error of the backend.
        pub fn keys(&self) -> Result<Vec<String>> {
            block_on(self.base.keys()?.collect())
        }
    };
}

macro_rules! reload_methods {
    ([$($async:ident)?] $mode:ident $reload:ident $warm:ident) => {
        /// Runs the function now, replaces the entry with its result, and returns the result.
        pub $($async)? fn refresh(&self, args: F::Args) -> F::Output
        where
            F: $reload,
        {
            reloaded!($mode F::reload(args, How::Refresh)).result
        }

        /// Runs the function for all arguments whose result is missing, sixteen at once.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Closed`].
        pub $($async)? fn warm(&self, args: impl IntoIterator<Item = F::Args>) -> Result<Warmed>
        where
            F: $reload<Args: Send>,
        {
            reloaded!($mode self.warm_with(args, Warm::new()))
        }

        /// Runs the function for all arguments whose result is missing, with a concurrency and a progress callback.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Closed`].
        pub $($async)? fn warm_with(&self, args: impl IntoIterator<Item = F::Args>, how: Warm) -> Result<Warmed>
        where
            F: $reload<Args: Send>,
        {
            crate::global::plan(F::site())?.instance.check_open()?;
            Ok(reloaded!($mode $warm::<F>(args, how)))
        }
    };
}

macro_rules! reloaded {
    (async $call:expr) => {
        $call.await
    };
    (sync $call:expr) => {
        $call
    };
}

macro_rules! debug {
    ($($handle:ident<$($parameter:ident),*>)*) => {$(
        impl<$($parameter),*> std::fmt::Debug for $handle<$($parameter),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Handle").finish_non_exhaustive()
            }
        }
    )*};
}

handles! {
    [async] async Async Handle Layer AnyHandle AnyLayer ReloadHandle async_keys Reload warm;
    [] sync Blocking SyncHandle SyncLayer SyncAnyHandle SyncAnyLayer SyncReloadHandle sync_keys ReloadSync warm_sync;
}
