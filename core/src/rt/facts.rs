//! What the engine has to know about a return type, asked where the type is spelled.
//!
//! `facts!(R)` asks by method resolution on [`Probe`]: the more specific answer stands behind more references and is
//! found first. So aliases are seen through (`io::Result` is a `Result`), and no trait has to be implemented by the
//! user's types.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use retainit_plugin::{Contained, StoredValue, Weigh, caught};
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, Types};
use crate::{ErrorKind, Result};

/// Asks about `R`.
#[derive(Debug)]
pub struct Probe<R: ?Sized>(PhantomData<fn() -> Box<R>>);

#[expect(clippy::new_without_default, reason = "a question has no default")]
impl<R: ?Sized> Probe<R> {
    /// The question.
    #[inline(always)]
    pub const fn new() -> Self {
        Probe(PhantomData)
    }
}

// ---------------------------------------------------------------------------------------------- the shape of R

/// How a return type holds its value.
pub trait Shape<R>: Copy + Send + Sync + 'static {
    /// What is stored: `T` of `T` and of `Result<T, E>`.
    type Value;
    /// `E` of `Result<T, E>`.
    type Error;

    /// Value or error.
    fn split(result: &R) -> std::result::Result<&Self::Value, &Self::Error>;

    /// The result that a stored value stands for.
    fn wrap(value: Self::Value) -> R;
}

/// `T`.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// `Result<T, E>`.
#[derive(Clone, Copy, Debug)]
pub struct Fallible;

impl<T> Shape<T> for Plain {
    type Value = T;
    type Error = Infallible;

    #[inline(always)]
    fn split(result: &T) -> std::result::Result<&T, &Infallible> {
        Ok(result)
    }

    #[inline(always)]
    fn wrap(value: T) -> T {
        value
    }
}

impl<T, E> Shape<std::result::Result<T, E>> for Fallible {
    type Value = T;
    type Error = E;

    #[inline(always)]
    fn split(result: &std::result::Result<T, E>) -> std::result::Result<&T, &E> {
        result.as_ref()
    }

    #[inline(always)]
    fn wrap(value: T) -> std::result::Result<T, E> {
        Ok(value)
    }
}

// ------------------------------------------------------------------------------------------ the form of a value

/// The form in which a value is kept in memory.
pub trait Storage<V>: Copy + Send + Sync + 'static {
    /// What lies in the store. Cloning it runs no code of the user's.
    type Kept: StoredValue;

    /// The kept form of a value.
    fn keep(value: V) -> Self::Kept;

    /// A value for the caller; made outside the store's locks.
    fn give(kept: Self::Kept) -> V;
}

/// Kept as it is: `Copy` types and `Arc`s.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

/// Kept behind an [`Arc`], so that the user's `Clone` runs outside the store's locks.
#[derive(Clone, Copy, Debug)]
pub struct Behind;

/// A value behind an `Arc` of the engine's own. Whoever drops it last need not be who knows of it.
pub struct Shared<V>(Arc<Contained<V>>);

impl<V> Shared<V> {
    pub(crate) fn new(value: Contained<V>) -> Shared<V> {
        Shared(Arc::new(value))
    }
}

impl<V: Clone> Shared<V> {
    /// A copy, by the user's `Clone`.
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
    type Kept = V;

    #[inline(always)]
    fn keep(value: V) -> V {
        value
    }

    #[inline(always)]
    fn give(kept: V) -> V {
        kept
    }
}

impl<V: StoredValue> Storage<V> for Behind {
    type Kept = Shared<V>;

    fn keep(value: V) -> Shared<V> {
        Shared::new(Contained::new(value))
    }

    #[inline(always)]
    fn give(kept: Shared<V>) -> V {
        kept.copy()
    }
}

// ----------------------------------------------------------------------------------------------- bytes and weight

/// Counts the bytes that a value's MessagePack form would have.
pub(crate) fn weigh_serialized<V: Serialize>(value: &V) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut serializer = rmp_serde::Serializer::new(Count(0)).with_struct_map();
    match value.serialize(&mut serializer) {
        Ok(()) => serializer.get_ref().0,
        // What cannot be serialized still takes room; it counts as what was seen of it.
        Err(_) => serializer.get_ref().0.max(1),
    }
}

/// Whether a value serializes as `None`: for caches, which only know that it can be serialized.
pub(crate) fn is_none<V: Serialize>(value: &V) -> bool {
    super::outermost::of(value) == crate::engine::Outermost::None
}

// -------------------------------------------------------------------------------------------------------- results

/// Shares a whole result with the callers who wait for it, and keeps errors for `err_ttl`.
pub struct Share<R> {
    pub(crate) share: fn(&R) -> Arc<dyn Any + Send + Sync>,
    pub(crate) take: fn(&(dyn Any + Send + Sync)) -> Option<R>,
}

impl<R> Clone for Share<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Share<R> {}

/// Compares two values, for `verify`.
pub type Equal<V> = fn(&V, &V) -> bool;

/// What is known of a value's type; kept with the function for handles.
pub struct ValueFacts<V> {
    pub(crate) is_none: fn(&V) -> bool,
    pub(crate) codec: Option<Codec<V>>,
    pub(crate) weigh: Option<fn(&V) -> u64>,
    pub(crate) direct: bool,
    /// A cache's own rule about what is stored.
    pub(crate) when: Option<fn(&V) -> bool>,
    /// Compares what lies in the cache with what the function returns.
    pub(crate) equal: Option<Equal<V>>,
}

impl<V> Clone for ValueFacts<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ValueFacts<V> {}

/// What is known of a return type.
pub struct Facts<R, P: Shape<R>, S> {
    pub(crate) value: ValueFacts<P::Value>,
    pub(crate) share: Option<Share<R>>,
    pub(crate) whole: Option<Codec<R>>,
    /// An error as text: as it shows itself, else by its type's name.
    pub(crate) shown: fn(&P::Error) -> String,
    storage: PhantomData<(P, S)>,
}

impl<R, P: Shape<R>, S> Clone for Facts<R, P, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, P: Shape<R>, S> Copy for Facts<R, P, S> {}

impl<R, P: Shape<R>, S: Storage<P::Value>> Facts<R, P, S> {
    /// Puts the answers together.
    #[expect(clippy::too_many_arguments, reason = "one per question, written by `facts!` only")]
    #[inline(always)]
    pub fn new(
        _: &Probe<R>,
        _: P,
        _: S,
        is_none: fn(&P::Value) -> bool,
        codec: Option<Codec<P::Value>>,
        weigh: Option<fn(&P::Value) -> u64>,
        equal: Option<Equal<P::Value>>,
        share: Option<Share<R>>,
        whole: Option<Codec<R>>,
        shown: fn(&P::Error) -> String,
    ) -> Self {
        let direct = std::any::TypeId::of::<S>() == std::any::TypeId::of::<Direct>();
        let value = ValueFacts { is_none, codec, weigh, direct, when: None, equal };
        Facts { value, share, whole, shown, storage: PhantomData }
    }

    /// Facts of a cache, which knows the value's type and nothing of errors.
    pub(crate) fn of_value(value: ValueFacts<P::Value>) -> Self {
        Facts { value, share: None, whole: None, shown: type_name_of, storage: PhantomData }
    }

    /// What may be done with values, for checks when an instance is made.
    pub fn kinds(&self) -> ValueKinds {
        ValueKinds { errors: self.whole.is_some(), ..self.value.kinds() }
    }
}

/// A copy of a value, to be stored or handed to others.
pub(crate) fn copied<V: Clone>(value: &V) -> Result<Contained<V>> {
    caught(ErrorKind::Codec, "the `Clone` of a value", || Contained::new(value.clone()))
}

impl<V> ValueFacts<V> {
    /// Whether a value is `None`, which may be asked of its `Serialize`.
    pub(crate) fn finds_none(&self, value: &V) -> Result<bool> {
        caught(ErrorKind::Codec, "looking whether a value is `None`", || (self.is_none)(value))
    }

    pub(crate) fn kinds(&self) -> ValueKinds {
        let types = self.codec.map(|codec| codec.types);
        ValueKinds { types, weight: self.weigh.is_some(), equality: self.equal.is_some(), errors: false }
    }
}

/// What may be done with values of a function.
#[derive(Clone, Copy, Debug)]
pub struct ValueKinds {
    /// The type, if it can be serialized.
    pub(crate) types: Option<fn() -> Types>,
    pub(crate) weight: bool,
    pub(crate) equality: bool,
    /// Whether a whole result that is an error can be serialized.
    pub(crate) errors: bool,
}

macro_rules! opaque {
    ($($name:ident<$($parameter:ident $(: $bound:path)?),*>)*) => {$(
        impl<$($parameter $(: $bound)?),*> fmt::Debug for $name<$($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque!(Share<R> ValueFacts<V> Facts<R, P: Shape<R>, S>);

/// The probe of the value inside `R`.
#[inline(always)]
pub fn value_probe<R, P: Shape<R>>(_: &Probe<R>, _: &P) -> Probe<P::Value> {
    Probe::new()
}

/// The probe of the error inside `R`.
#[inline(always)]
pub fn error_probe<R, P: Shape<R>>(_: &Probe<R>, _: &P) -> Probe<P::Error> {
    Probe::new()
}

fn type_name_of<E>(_: &E) -> String {
    std::any::type_name::<E>().to_owned()
}

/// A type with a reference in it, which an alias may hide from the macro. Serde reads some references out of the bytes
/// they lie in; method resolution does not see that it cannot do so for `'static`, so the question is kept from it.
pub trait Borrowed {}

impl<T: ?Sized> Borrowed for &T {}
impl<T: Borrowed> Borrowed for Option<T> {}
impl<T: Borrowed> Borrowed for Vec<T> {}
impl<T: Borrowed, E> Borrowed for std::result::Result<T, E> {}

/// The traits whose methods answer; imported where `facts!` stands.
pub mod probe {
    use super::*;

    macro_rules! answer {
        ($($name:ident $method:ident [$($generics:tt)*] $on:ty => $answer:ty $body:block)*) => {$(
            #[expect(missing_docs, reason = "one answer each, named for what it says")]
            pub trait $name {
                type Answer;
                fn $method(&self) -> Self::Answer;
            }
            impl<$($generics)*> $name for $on {
                type Answer = $answer;
                #[inline(always)]
                fn $method(&self) -> $answer $body
            }
        )*};
    }

    answer! {
        ShapeFallible shape [T, E] &Probe<std::result::Result<T, E>> => Fallible { Fallible }
        ShapePlain shape [R] Probe<R> => Plain { Plain }

        StorageCopy storage [V: Copy] &&Probe<V> => Direct { Direct }
        StorageArc storage [V: ?Sized] &Probe<Arc<V>> => Direct { Direct }
        StorageBehind storage [V] Probe<V> => Behind { Behind }

        NoneOption is_none [T] &Probe<Option<T>> => fn(&Option<T>) -> bool { Option::is_none }
        NoneNever is_none [V] Probe<V> => fn(&V) -> bool { |_| false }

        CodecBorrowedError codec [T, E: Borrowed] &&&Probe<std::result::Result<T, E>> => Option<Codec<std::result::Result<T, E>>> { None }
        CodecBorrowed codec [V: Borrowed] &&Probe<V> => Option<Codec<V>> { None }
        CodecSerde codec [V: Serialize + DeserializeOwned + 'static] &Probe<V> => Option<Codec<V>> { Some(Codec::new()) }
        CodecNone codec [V] Probe<V> => Option<Codec<V>> { None }

        WeighOwn weigh [V: Weigh] &&Probe<V> => Option<fn(&V) -> u64> { Some(V::weigh) }
        WeighSerde weigh [V: Serialize] &Probe<V> => Option<fn(&V) -> u64> { Some(weigh_serialized::<V>) }
        WeighNone weigh [V] Probe<V> => Option<fn(&V) -> u64> { None }

        EqualOwn equal [V: PartialEq] &Probe<V> => Option<Equal<V>> { Some(V::eq) }
        EqualNone equal [V] Probe<V> => Option<Equal<V>> { None }

        ShownDisplay shown [E: fmt::Display] &Probe<E> => fn(&E) -> String { E::to_string }
        ShownName shown [E] Probe<E> => fn(&E) -> String { type_name_of::<E> }

        ShareClone share [R: StoredValue] &Probe<R> => Option<Share<R>> {
            Some(Share {
                share: |result| Arc::new(Contained::new(result.clone())),
                take: |any| any.downcast_ref::<Contained<R>>().map(|result| R::clone(result)),
            })
        }
        ShareNone share [R] Probe<R> => Option<Share<R>> { None }
    }
}

/// Facts about a return type; `facts!(ref R)` for one that is spelled with a reference, which stays in memory.
#[doc(hidden)]
#[macro_export]
macro_rules! __facts {
    (ref $R:ty) => {{
        #[allow(unused_imports, clippy::allow_attributes, reason = "each answer needs only some of them")]
        use $crate::rt::probe::*;
        let result = $crate::rt::Probe::<$R>::new();
        let shape = (&&result).shape();
        let value = $crate::rt::value_probe(&result, &shape);
        let error = $crate::rt::error_probe(&result, &shape);
        $crate::rt::Facts::new(
            &result,
            shape,
            (&&&value).storage(),
            (&&value).is_none(),
            ::core::option::Option::None,
            ::core::option::Option::None,
            (&&value).equal(),
            (&&result).share(),
            ::core::option::Option::None,
            (&&error).shown(),
        )
    }};
    ($R:ty) => {{
        #[allow(unused_imports, clippy::allow_attributes, reason = "each answer needs only some of them")]
        use $crate::rt::probe::*;
        let result = $crate::rt::Probe::<$R>::new();
        let shape = (&&result).shape();
        let value = $crate::rt::value_probe(&result, &shape);
        let error = $crate::rt::error_probe(&result, &shape);
        $crate::rt::Facts::new(
            &result,
            shape,
            (&&&value).storage(),
            (&&value).is_none(),
            (&&&&value).codec(),
            (&&&value).weigh(),
            (&&value).equal(),
            (&&result).share(),
            (&&&&result).codec(),
            (&&error).shown(),
        )
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Local;
    struct NotClone;
    type Alias<T> = std::result::Result<T, NotClone>;

    fn shape<R, P: Shape<R>, S>(_: &Facts<R, P, S>) -> (&'static str, &'static str) {
        (std::any::type_name::<P>(), std::any::type_name::<S>())
    }

    #[test]
    fn types_are_seen_through() {
        let (shape_of, storage) = shape(&crate::__facts!(Alias<Option<u8>>));
        assert!(shape_of.ends_with("Fallible") && storage.ends_with("Direct"));
        let (shape_of, storage) = shape(&crate::__facts!(Vec<String>));
        assert!(shape_of.ends_with("Plain") && storage.ends_with("Behind"));
        assert!(shape(&crate::__facts!(Arc<Local>)).1.ends_with("Direct"));
        let alias = crate::__facts!(Alias<Option<u8>>);
        assert!(alias.share.is_none() && (alias.value.is_none)(&None));
        let kinds = |kinds: ValueKinds| (kinds.types.is_some(), kinds.weight, kinds.equality);
        assert_eq!(kinds(alias.kinds()), (true, true, true));
        assert_eq!(kinds(crate::__facts!(Local).kinds()), (false, false, false));
        let borrowed = crate::__facts!(ref &'static str).kinds();
        assert!(borrowed.types.is_none() && borrowed.equality);
        assert!(crate::__facts!(std::result::Result<u8, String>).share.is_some());
    }
}
