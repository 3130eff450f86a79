//! Handles of functions: typed by the function's key where the macro can name it, open to any key where not.

use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use retainit_plugin::StoredValue;
use serde::Serialize;

use super::{Facts, Function, How, KeyBuf, Reload, ReloadSync, Shape, Site, Storage};
use crate::cache::{Ops, Warm, Warmed, warm, warm_sync};
use crate::engine::{Face, Keys, Walk, Wanted};
use crate::explain::Explain;
use crate::key::{Args, KeyError, KeySource, Sink, text};
use crate::meta::{Entry, Evicted, Lookup};
use crate::runtime::block_on;
use crate::stats::Stats;
use crate::{Error, ErrorKind, Result};

/// What every handle holds.
#[derive(Clone, Copy, Debug)]
struct Base {
    site: &'static Site,
    face: Face,
    template: Option<TemplateKey>,
}

/// How a template is filled from key values in declaration order.
#[derive(Clone, Copy, Debug)]
struct TemplateKey {
    literals: &'static [&'static str],
    between: &'static str,
    /// Which value each placeholder takes; in order if empty.
    order: &'static [usize],
}

impl Base {
    fn new<R, P: Shape<R>, S>(site: &'static Site, facts: &Facts<R, P, S>, face: Face) -> Base
    where
        P::Value: 'static,
    {
        site.keep_facts(facts.value);
        Base { site, face, template: None }
    }

    fn ops<V: StoredValue>(&self) -> Result<Ops<V>> {
        let facts = self
            .site
            .facts::<V>()
            .ok_or_else(|| Error::new(ErrorKind::TypeMismatch, "this handle is not of the function's type"))?;
        Ok(Ops { plan: crate::global::plan(self.site)?, facts, face: self.face })
    }

    /// The key of values given by hand.
    fn any_key<K: Serialize + ?Sized>(&self, key: &K) -> Result<KeyBuf> {
        match self.template {
            None => KeyBuf::new(&Args(key)),
            Some(template) => KeyBuf::new(&Filled { template, key }),
        }
    }

    fn keys(&self) -> Result<Keys> {
        let plan = crate::global::plan(self.site)?;
        let mut wanted = Wanted::prefix(format!("{}:", plan.function.id));
        wanted.site = Some(plan.site);
        wanted.below = Some(plan.function_prefix().to_owned());
        Ok(Keys::new(vec![Walk::new(&plan.instance, &plan.store, wanted, self.face)]))
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

    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        let TemplateKey { literals, between, order } = self.template;
        let mut values = crate::key::value_texts(self.key)?;
        if !order.is_empty() {
            values = order.iter().filter_map(|value| values.get(*value).cloned()).collect();
        }
        sink.put(text::fill(literals, between, &values).as_bytes());
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

/// The methods about values; `key = expr` gives a `Result<KeyBuf>`.
macro_rules! value_methods {
    ([$($async:ident)?] $mode:ident [$($bound:tt)*] $key:ty, $value:ty, |$this:ident, $k:ident| $buf:expr) => {
        /// Looks a key up. It counts in the statistics like a call.
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

        /// The entry of a key as it lies in the store, expired or not; it does not count as a use.
        ///
        /// # Errors
        ///
        /// As `get`.
        pub $($async)? fn get_entry $($bound)* (&self, key: &$key) -> Result<Option<Entry<$value>>> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            waiting!($mode ops.entry(&key))
        }

        /// Why a call with this key hits or misses, and which options hold.
        ///
        /// # Errors
        ///
        /// As `get`.
        pub $($async)? fn explain $($bound)* (&self, key: &$key) -> Result<Explain> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            waiting!($mode ops.explain(&key))
        }

        /// Whether a key is there and fresh; it does not count as a use.
        ///
        /// # Errors
        ///
        /// As `get`.
        pub $($async)? fn exists $($bound)* (&self, key: &$key) -> Result<bool> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            Ok(waiting!($mode ops.peek(&key))?.is_some())
        }

        /// What is left of a key's ttl: `Some(None)` for one that never expires, `None` for one that is not there.
        ///
        /// # Errors
        ///
        /// As `get`.
        pub $($async)? fn ttl $($bound)* (&self, key: &$key) -> Result<Option<Option<Duration>>> {
            let ($this, $k) = (self, key);
            let ops = self.base.ops::<$value>()?;
            let key = ops.plan.key($buf?);
            Ok(waiting!($mode ops.peek(&key))?.map(|meta| meta.ttl()))
        }
    };
}

/// The methods that are the same for every value.
macro_rules! plain_methods {
    ([$($async:ident)?] $mode:ident [$($bound:tt)*] $key:ty, |$this:ident, $k:ident| $buf:expr) => {
        /// Removes an entry: true if something that could be served was there. No load of this key that is under way
        /// will be stored or served to later callers.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Pending`] when the backend did not acknowledge; else as `get`.
        pub $($async)? fn remove $($bound)* (&self, key: &$key) -> Result<bool> {
            let ($this, $k) = (self, key);
            waiting!($mode crate::cache::remove(self.base.site, $buf, self.base.face))
        }

        /// Removes this function's entries and nothing else.
        ///
        /// # Errors
        ///
        /// As `remove`.
        pub $($async)? fn clear(&self) -> Result<Evicted> {
            waiting!($mode crate::cache::clear(self.base.site, self.base.face))
        }

        /// What this function has done so far.
        pub fn stats(&self) -> Stats {
            self.base.stats()
        }

        /// The function's identity, as keys and patterns show it.
        pub fn id(&self) -> String {
            self.base.id()
        }
    };
}

macro_rules! handles {
    ($([$($async:ident)?] $mode:ident $face:ident
       $typed:ident $layer:ident $any:ident $any_layer:ident $reloading:ident $keys:ident $reload:ident $warm:ident;)*) => {$(
        /// The handle of a function: its entries, by the function's own key arguments.
        pub struct $typed<F, R>($layer<F, R>);

        /// What a handle can do whatever the function returns.
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

        impl<F: Function, R> $typed<F, R> {
            /// Made by generated code.
            #[doc(hidden)]
            pub fn new<P: Shape<R>, S: Storage<P::Value>>(facts: &Facts<R, P, S>) -> Self
            where
                P::Value: 'static,
            {
                $typed($layer { base: Base::new(F::site(), facts, Face::$face), types: PhantomData })
            }
        }

        impl<F: Function, T: StoredValue, E> $typed<F, std::result::Result<T, E>> {
            value_methods!([$($async)?] $mode [] F::Key<'_>, T, |_this, key| F::key(key));
        }

        impl<F: Function, R: StoredValue> $layer<F, R> {
            value_methods!([$($async)?] $mode [] F::Key<'_>, R, |_this, key| F::key(key));
        }

        impl<F: Function, R> $layer<F, R> {
            plain_methods!([$($async)?] $mode [] F::Key<'_>, |_this, key| F::key(key));
            $keys!();
        }

        impl<F: $reload, R> $layer<F, R> {
            reload_methods!([$($async)?] $mode $reload $warm);
        }

        /// The handle of a method, a generic function or a function with `key = expr`: any key that has the same
        /// canonical text will do.
        pub struct $any<R>($any_layer<R>);

        /// What such a handle can do whatever the function returns.
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
            /// Made by generated code.
            #[doc(hidden)]
            pub fn new<P: Shape<R>, S: Storage<P::Value>>(site: &'static Site, facts: &Facts<R, P, S>) -> Self
            where
                P::Value: 'static,
            {
                $any($any_layer { base: Base::new(site, facts, Face::$face), types: PhantomData })
            }

            /// Made by generated code, for a template key.
            #[doc(hidden)]
            pub fn template<P: Shape<R>, S: Storage<P::Value>>(
                site: &'static Site,
                facts: &Facts<R, P, S>,
                literals: &'static [&'static str],
                between: &'static str,
            ) -> Self
            where
                P::Value: 'static,
            {
                let mut handle = Self::new(site, facts);
                handle.0.base.template = Some(TemplateKey { literals, between, order: &[] });
                handle
            }

            /// Made by generated code, for a template whose placeholders stand in another order than the arguments.
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

        /// The handle of a function with `key = expr` that can run from owned arguments.
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

        impl<F: Function, R> $reloading<F, R> {
            /// Made by generated code.
            #[doc(hidden)]
            pub fn new<P: Shape<R>, S: Storage<P::Value>>(facts: &Facts<R, P, S>) -> Self
            where
                P::Value: 'static,
            {
                $reloading { any: $any::new(F::site(), facts), function: PhantomData }
            }
        }

        impl<F: $reload, R> $reloading<F, R> {
            reload_methods!([$($async)?] $mode $reload $warm);
        }

        debug!($typed<F, R> $layer<F, R> $any<R> $any_layer<R> $reloading<F, R>);
    )*};
}

macro_rules! async_keys {
    () => {
        /// This function's keys, as `{id}:{args}`.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::UnknownBackend`] when there is no instance to ask.
        pub fn keys(&self) -> Result<Keys> {
            self.base.keys()
        }
    };
}

macro_rules! sync_keys {
    () => {
        /// This function's keys, as `{id}:{args}`.
        ///
        /// # Errors
        ///
        /// The first error of the backend.
        pub fn keys(&self) -> Result<Vec<String>> {
            block_on(self.base.keys()?.collect())
        }
    };
}

macro_rules! reload_methods {
    ([$($async:ident)?] $mode:ident $reload:ident $warm:ident) => {
        /// Runs the function now and puts the result in the place of what there is. Returns what it returns.
        pub $($async)? fn refresh(&self, args: F::Args) -> F::Output {
            reloaded!($mode F::reload(args, How::Refresh)).result
        }

        /// Runs the function for every arguments whose result is missing, sixteen at once.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Closed`].
        pub $($async)? fn warm(&self, args: impl IntoIterator<Item = F::Args>) -> Result<Warmed>
        where
            F::Args: Send,
        {
            reloaded!($mode self.warm_with(args, Warm::new()))
        }

        /// As `warm`, with its own concurrency and a progress callback.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Closed`].
        pub $($async)? fn warm_with(&self, args: impl IntoIterator<Item = F::Args>, how: Warm) -> Result<Warmed>
        where
            F::Args: Send,
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
    [] sync Sync SyncHandle SyncLayer SyncAnyHandle SyncAnyLayer SyncReloadHandle sync_keys ReloadSync warm_sync;
}
