//! Operations on a return type, selected where the macro spells the type.
//!
//! `return_ops!(R)` selects by method resolution on [`Probe`]: the more specific implementation is behind more
//! references and is found first. So aliases are seen through (`io::Result` is a `Result`), and no trait has to be
//! implemented by the user's types.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use retainit_plugin::{Contained, ErrorKind, Result, StoredValue, Ttl, Weigh, caught};
use serde::{Serialize, de::DeserializeOwned};

use super::{Behind, Codec, Direct, NotStorable, Storage, ValueKinds};

/// Probe for the operations of `R`.
#[derive(Debug)]
pub struct Probe<R: ?Sized>(PhantomData<fn() -> Box<R>>);

#[expect(clippy::new_without_default, reason = "a question has no default")]
impl<R: ?Sized> Probe<R> {
    /// Makes a probe.
    #[inline(always)]
    pub const fn new() -> Self {
        Probe(PhantomData)
    }
}

// ---------------------------------------------------------------------------------------------- the shape of R

/// Form in which a return type holds its value.
pub trait ReturnShape<R>: Copy + Send + Sync + 'static {
    /// Stored value: `T` of `T` and of `Result<T, E>`.
    type Value;
    /// `E` of `Result<T, E>`.
    type Error;

    /// Splits a result into value or error.
    fn split(result: &R) -> std::result::Result<&Self::Value, &Self::Error>;

    /// Makes the result of a stored value.
    fn wrap(value: Self::Value) -> R;

    /// Returns the ttl that came with the result, with precedence over the options.
    fn ttl(_result: &R) -> Option<Ttl> {
        None
    }
}

/// `T`.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// `Result<T, E>`.
#[derive(Clone, Copy, Debug)]
pub struct Fallible;

impl<T> ReturnShape<T> for Plain {
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

impl<T, E> ReturnShape<std::result::Result<T, E>> for Fallible {
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

// ----------------------------------------------------------------------------------------------- bytes and weight

/// Counts the bytes of a value's MessagePack form.
pub(crate) fn weigh_serialized<V: Serialize>(value: &V) -> u64 {
    struct ByteCounter(u64);
    impl std::io::Write for ByteCounter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut serializer = rmp_serde::Serializer::new(ByteCounter(0)).with_struct_map();
    match value.serialize(&mut serializer) {
        Ok(()) => serializer.get_ref().0,
        // A value that cannot be serialized has a weight too: the bytes that were written before the error.
        Err(_) => serializer.get_ref().0.max(1),
    }
}

/// Returns true if a value serializes as `None`: for caches, which only know that it can be serialized.
pub(crate) fn is_none<V: Serialize>(value: &V) -> bool {
    super::option_tag::of(value) == super::OptionTag::None
}

// -------------------------------------------------------------------------------------------------------- results

/// Copies a whole result for the callers who wait for it, and for errors under `err_ttl`.
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

/// Comparison of two values, for `verify`.
pub type Equal<V> = fn(&V, &V) -> bool;

/// Operations on a value's type; the function's site keeps a copy for handles.
pub struct ValueOps<V> {
    pub(crate) is_none: fn(&V) -> bool,
    pub(crate) codec: Option<Codec<V>>,
    pub(crate) weigh: Option<fn(&V) -> u64>,
    pub(crate) direct: bool,
    /// Condition of a cache for storing a value.
    pub(crate) when: Option<fn(&V) -> bool>,
    /// Comparison of the stored value with the function's.
    pub(crate) equal: Option<Equal<V>>,
}

impl<V> Clone for ValueOps<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ValueOps<V> {}

/// Operations on a return type.
pub struct ReturnOps<R, P: ReturnShape<R>, S> {
    pub(crate) value: ValueOps<P::Value>,
    pub(crate) share: Option<Share<R>>,
    pub(crate) whole: Option<Codec<R>>,
    /// Text of an error: its `Display`, else its type's name.
    pub(crate) shown: fn(&P::Error) -> String,
    storage: PhantomData<(P, S)>,
}

impl<R, P: ReturnShape<R>, S> Clone for ReturnOps<R, P, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, P: ReturnShape<R>, S> Copy for ReturnOps<R, P, S> {}

/// An answer that is a type, so that its value is a constant.
pub trait ConstAnswer<T> {
    /// Value of the answer.
    const ANSWER: T;
}

/// Answer where the type does not allow the question.
#[derive(Clone, Copy, Debug)]
pub struct NoAnswer;

impl<T> ConstAnswer<Option<T>> for NoAnswer {
    const ANSWER: Option<T> = None;
}

/// All answers for one type.
struct AnswerSet<'f, R, P, S, A>(PhantomData<(&'f R, P, S, A)>);

impl<'f, R, P, S, N, C, W, Q, H, B, D> AnswerSet<'f, R, P, S, (N, C, W, Q, H, B, D)>
where
    R: 'f,
    P: ReturnShape<R>,
    S: Storage<P::Value>,
    N: ConstAnswer<fn(&P::Value) -> bool>,
    C: ConstAnswer<Option<Codec<P::Value>>>,
    W: ConstAnswer<Option<fn(&P::Value) -> u64>>,
    Q: ConstAnswer<Option<Equal<P::Value>>>,
    H: ConstAnswer<Option<Share<R>>>,
    B: ConstAnswer<Option<Codec<R>>>,
    D: ConstAnswer<fn(&P::Error) -> String>,
{
    const OPS: &'f ReturnOps<R, P, S> = &ReturnOps {
        value: ValueOps {
            is_none: N::ANSWER,
            codec: C::ANSWER,
            weigh: W::ANSWER,
            direct: S::DIRECT,
            when: None,
            equal: Q::ANSWER,
        },
        share: H::ANSWER,
        whole: B::ANSWER,
        shown: D::ANSWER,
        storage: PhantomData,
    };
}

impl<R, P: ReturnShape<R>, S: Storage<P::Value>> ReturnOps<R, P, S> {
    /// Combines the answers into a constant, so that a function holds one pointer to them.
    #[expect(clippy::too_many_arguments, reason = "one per question, written by `return_ops!` only")]
    #[inline(always)]
    pub fn new<'f, N, C, W, Q, H, B, D>(
        _: &Probe<R>,
        _: P,
        _: S,
        _: N,
        _: C,
        _: W,
        _: Q,
        _: H,
        _: B,
        _: D,
    ) -> &'f ReturnOps<R, P, S>
    where
        R: 'f,
        N: ConstAnswer<fn(&P::Value) -> bool>,
        C: ConstAnswer<Option<Codec<P::Value>>>,
        W: ConstAnswer<Option<fn(&P::Value) -> u64>>,
        Q: ConstAnswer<Option<Equal<P::Value>>>,
        H: ConstAnswer<Option<Share<R>>>,
        B: ConstAnswer<Option<Codec<R>>>,
        D: ConstAnswer<fn(&P::Error) -> String>,
    {
        AnswerSet::<'f, R, P, S, (N, C, W, Q, H, B, D)>::OPS
    }

    /// Makes the operations of a cache, which knows the value's type and nothing of errors.
    pub(crate) fn of_value(value: ValueOps<P::Value>) -> Self {
        ReturnOps { value, share: None, whole: None, shown: type_name_of, storage: PhantomData }
    }
}

/// Copies a value, to be stored or handed to others.
pub(crate) fn copied<V: Clone>(value: &V) -> Result<Contained<V>> {
    caught(ErrorKind::Codec, "the `Clone` of a value", || Contained::new(value.clone()))
}

impl<V> ValueOps<V> {
    /// Returns true if a value is `None`, which may run its `Serialize`.
    pub(crate) fn finds_none(&self, value: &V) -> Result<bool> {
        caught(ErrorKind::Codec, "looking whether a value is `None`", || (self.is_none)(value))
    }

    pub(crate) fn kinds(&self) -> ValueKinds {
        let types = self.codec.map(|codec| codec.types);
        ValueKinds {
            types,
            weight: self.weigh.is_some(),
            equality: self.equal.is_some(),
            errors: false,
            removals: false,
        }
    }
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
opaque!(Share<R> ValueOps<V> ReturnOps<R, P: ReturnShape<R>, S>);

/// Returns the probe of the value inside `R`.
#[inline(always)]
pub fn value_probe<R, P: ReturnShape<R>>(_: &Probe<R>, _: &P) -> Probe<P::Value> {
    Probe::new()
}

/// Returns the probe of the error inside `R`.
#[inline(always)]
pub fn error_probe<R, P: ReturnShape<R>>(_: &Probe<R>, _: &P) -> Probe<P::Error> {
    Probe::new()
}

fn type_name_of<E>(_: &E) -> String {
    std::any::type_name::<E>().to_owned()
}

/// A type with a reference in it, which an alias may hide from the macro. Serde borrows some references from the bytes
/// it reads; method resolution does not see that this is impossible for `'static`, so such types are excluded here.
pub trait Borrowed {}

impl<T: ?Sized> Borrowed for &T {}
impl<T: Borrowed> Borrowed for Option<T> {}
impl<T: Borrowed> Borrowed for Vec<T> {}
impl<T: Borrowed, E> Borrowed for std::result::Result<T, E> {}

/// Traits whose methods select the answers; imported where `return_ops!` expands.
pub mod probe {
    use super::*;

    macro_rules! answer {
        ($($name:ident $method:ident [$($generics:tt)*] $on:ty => $answer:ident;)*) => {$(
            #[expect(missing_docs, reason = "one answer each, named for its method")]
            pub trait $name {
                type Answer;
                fn $method(&self) -> Self::Answer;
            }
            impl<$($generics)*> $name for $on {
                type Answer = $answer;
                #[inline(always)]
                fn $method(&self) -> $answer {
                    $answer
                }
            }
        )*};
    }

    macro_rules! const_answers {
        ($($name:ident $method:ident [$($generics:tt)*] $on:ty, $about:ty => $answer:ty = $value:expr;)*) => {
            $(
                #[expect(missing_docs, reason = "one answer each, named for its method")]
                pub trait $name {
                    type Answer;
                    fn $method(&self) -> Self::Answer;
                }
                impl<$($generics)*> $name for $on {
                    type Answer = answers::$name<$about>;
                    #[inline(always)]
                    fn $method(&self) -> answers::$name<$about> {
                        answers::$name(PhantomData)
                    }
                }
                impl<$($generics)*> ConstAnswer<$answer> for answers::$name<$about> {
                    const ANSWER: $answer = $value;
                }
            )*

            /// Answers by the same names, as types.
            pub mod answers {
                $(
                    #[expect(missing_docs, reason = "one answer each, named for its method")]
                    #[derive(Debug)]
                    pub struct $name<T: ?Sized>(pub(super) std::marker::PhantomData<fn() -> Box<T>>);
                )*
            }
        };
    }

    answer! {
        ShapeFallible __retain_shape [T, E] &Probe<std::result::Result<T, E>> => Fallible;
        ShapePlain __retain_shape [R] Probe<R> => Plain;

        StorageCopy __retain_storage [V: Copy + StoredValue] &&&Probe<V> => Direct;
        StorageArc __retain_storage [V: Send + Sync + ?Sized + 'static] &&Probe<Arc<V>> => Direct;
        StorageBehind __retain_storage [V: StoredValue] &Probe<V> => Behind;
        StorageRefused __retain_storage [V] Probe<V> => NotStorable;
    }

    const_answers! {
        NoneOption __retain_is_none [T] &Probe<Option<T>>, Option<T> => fn(&Option<T>) -> bool = Option::is_none;
        NoneNever __retain_is_none [V] Probe<V>, V => fn(&V) -> bool = |_| false;

        CodecBorrowedError __retain_codec [T, E: Borrowed] &&&Probe<std::result::Result<T, E>>, std::result::Result<T, E>
            => Option<Codec<std::result::Result<T, E>>> = None;
        CodecBorrowed __retain_codec [V: Borrowed] &&Probe<V>, V => Option<Codec<V>> = None;
        CodecSerde __retain_codec [V: Serialize + DeserializeOwned + 'static] &Probe<V>, V => Option<Codec<V>> = Some(Codec::new());
        CodecNone __retain_codec [V] Probe<V>, V => Option<Codec<V>> = None;

        WeighOwn __retain_weigh [V: Weigh] &&Probe<V>, V => Option<fn(&V) -> u64> = Some(V::weigh);
        WeighSerde __retain_weigh [V: Serialize] &Probe<V>, V => Option<fn(&V) -> u64> = Some(weigh_serialized::<V>);
        WeighNone __retain_weigh [V] Probe<V>, V => Option<fn(&V) -> u64> = None;

        EqualOwn __retain_equal [V: PartialEq] &Probe<V>, V => Option<Equal<V>> = Some(V::eq);
        EqualNone __retain_equal [V] Probe<V>, V => Option<Equal<V>> = None;

        ShownDisplay __retain_shown [E: fmt::Display] &Probe<E>, E => fn(&E) -> String = E::to_string;
        ShownName __retain_shown [E] Probe<E>, E => fn(&E) -> String = type_name_of::<E>;

        ShareClone __retain_share [R: StoredValue] &Probe<R>, R => Option<Share<R>> = Some(Share {
            share: |result| Arc::new(Contained::new(result.clone())),
            take: |any| any.downcast_ref::<Contained<R>>().map(|result| R::clone(result)),
        });
        ShareNone __retain_share [R] Probe<R>, R => Option<Share<R>> = None;
    }
}

/// Returns the operations on a return type. `return_ops!(ref R)` is for one that is spelled with a reference, which
/// stays in memory; `return_ops!(value R)` returns the probe of the value alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __return_ops {
    (value $R:ty) => {{
        #[allow(unused_imports, clippy::allow_attributes, reason = "each answer needs only some of them")]
        use $crate::rt::probe::*;
        let result = $crate::rt::Probe::<$R>::new();
        $crate::rt::value_probe(&result, &(&&result).__retain_shape())
    }};
    (ref $R:ty) => {{
        #[allow(unused_imports, clippy::allow_attributes, reason = "each answer needs only some of them")]
        use $crate::rt::probe::*;
        let result = $crate::rt::Probe::<$R>::new();
        let shape = (&&result).__retain_shape();
        let value = $crate::rt::value_probe(&result, &shape);
        let error = $crate::rt::error_probe(&result, &shape);
        $crate::rt::ReturnOps::new(
            &result,
            shape,
            (&&&&value).__retain_storage(),
            (&&value).__retain_is_none(),
            $crate::rt::NoAnswer,
            $crate::rt::NoAnswer,
            (&&value).__retain_equal(),
            (&&result).__retain_share(),
            $crate::rt::NoAnswer,
            (&&error).__retain_shown(),
        )
    }};
    ($R:ty) => {{
        #[allow(unused_imports, clippy::allow_attributes, reason = "each answer needs only some of them")]
        use $crate::rt::probe::*;
        let result = $crate::rt::Probe::<$R>::new();
        let shape = (&&result).__retain_shape();
        let value = $crate::rt::value_probe(&result, &shape);
        let error = $crate::rt::error_probe(&result, &shape);
        $crate::rt::ReturnOps::new(
            &result,
            shape,
            (&&&&value).__retain_storage(),
            (&&value).__retain_is_none(),
            (&&&&value).__retain_codec(),
            (&&&value).__retain_weigh(),
            (&&value).__retain_equal(),
            (&&result).__retain_share(),
            (&&&&result).__retain_codec(),
            (&&error).__retain_shown(),
        )
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Known as _;

    #[derive(Clone)]
    struct Local;
    struct NotClone;
    type Alias<T> = std::result::Result<T, NotClone>;

    fn shape<R, P: ReturnShape<R>, S>(_: &ReturnOps<R, P, S>) -> (&'static str, &'static str) {
        (std::any::type_name::<P>(), std::any::type_name::<S>())
    }

    #[test]
    fn types_are_seen_through() {
        let (shape_of, storage) = shape(crate::__return_ops!(Alias<Option<u8>>));
        assert!(shape_of.ends_with("Fallible") && storage.ends_with("Direct"));
        let (shape_of, storage) = shape(crate::__return_ops!(Vec<String>));
        assert!(shape_of.ends_with("Plain") && storage.ends_with("Behind"));
        assert!(shape(crate::__return_ops!(Arc<Local>)).1.ends_with("Direct"));
        let alias = crate::__return_ops!(Alias<Option<u8>>);
        assert!(alias.share.is_none() && (alias.value.is_none)(&None));
        let kinds = |kinds: ValueKinds| (kinds.types.is_some(), kinds.weight, kinds.equality);
        assert_eq!(kinds(alias.kinds()), (true, true, true));
        assert_eq!(kinds(crate::__return_ops!(Local).kinds()), (false, false, false));
        let borrowed = crate::__return_ops!(ref &'static str).kinds();
        assert!(borrowed.types.is_none() && borrowed.equality);
        assert!(crate::__return_ops!(std::result::Result<u8, String>).share.is_some());
    }
}
