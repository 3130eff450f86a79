//! Form of a value in memory.

use std::fmt;
use std::sync::Arc;

use retainit_plugin::{Contained, StoredValue};

/// Form in which the memory store holds a value.
pub trait Storage<V>: Copy + Send + Sync + 'static {
    /// Stored type. Cloning it runs no code of the user's.
    type Stored: StoredValue;

    /// Converts a value to its stored form.
    fn keep(value: V) -> Self::Stored;

    /// Converts back for the caller; runs outside the store's locks.
    fn give(cached: Self::Stored) -> V;

    /// Copies a value.
    fn copy(value: &V) -> V;

    /// True if values are stored without a wrapper.
    const DIRECT: bool;
}

/// Stored without a wrapper: `Copy` types and `Arc`s.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

/// Stored behind an [`Arc`], so that the user's `Clone` runs outside the store's locks.
#[derive(Clone, Copy, Debug)]
pub struct Behind;

/// Form of a value that fits no other and cannot be stored. The check of `requirements` reports it as a compile error;
/// this form lets the rest of the generated code compile, so that the mistake is one message.
#[derive(Clone, Copy, Debug)]
pub struct NotStorable;

/// A value behind an `Arc` of the engine's own. It contains panics of the destructor, which may run for any holder.
pub struct Shared<V>(Arc<Contained<V>>);

impl<V> Shared<V> {
    pub(crate) fn new(value: Contained<V>) -> Shared<V> {
        Shared(Arc::new(value))
    }

    pub(crate) fn get(&self) -> &V {
        &self.0
    }
}

impl<V: Clone> Shared<V> {
    /// Copies the value by the user's `Clone`.
    #[inline(always)]
    pub(crate) fn copy(&self) -> V {
        V::clone(&self.0)
    }
}

impl<V> Clone for Shared<V> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for Shared<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<V: StoredValue> Storage<V> for Direct {
    type Stored = V;
    const DIRECT: bool = true;

    #[inline(always)]
    fn keep(value: V) -> V {
        value
    }

    #[inline(always)]
    fn give(cached: V) -> V {
        cached
    }

    #[inline(always)]
    fn copy(value: &V) -> V {
        value.clone()
    }
}

impl<V: StoredValue> Storage<V> for Behind {
    type Stored = Shared<V>;
    const DIRECT: bool = false;

    fn keep(value: V) -> Shared<V> {
        Shared::new(Contained::new(value))
    }

    #[inline(always)]
    fn give(cached: Shared<V>) -> V {
        cached.copy()
    }

    fn copy(value: &V) -> V {
        value.clone()
    }
}

impl<V> Storage<V> for NotStorable {
    type Stored = ();
    const DIRECT: bool = false;

    fn keep(_: V) {}

    fn give((): ()) -> V {
        unreachable!("{REFUSED}")
    }

    fn copy(_: &V) -> V {
        unreachable!("{REFUSED}")
    }
}

const REFUSED: &str = "what asks this has told the compiler that the value cannot be kept";
