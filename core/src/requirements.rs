//! Defines the requirements of the attributes on a function's types. Each trait is implemented for all types that fit,
//! and the compiler's message about one that does not fit names the trait.
//!
//! | trait | required of | implemented for |
//! |---|---|---|
//! | [`ClonableResult`] | values of a retained function: `T` of `T` and of `Result<T, E>` | `Clone` |
//! | [`SharedResult`] | values of a retained function | `Send + Sync + 'static` |
//! | [`KeyArgument`] | arguments in keys and tags | [`serde::Serialize`](https://docs.rs/serde) |
//! | [`OptionResult`] | values, with `none_ttl` | `Option` |
//! | [`FallibleResult`] | the return type, with `err_ttl` or `err_if` | `Result` |
//! | [`ClonableError`] | the whole return type, with `err_ttl` | `Clone + Send + Sync + 'static` |
//! | [`ComparableResult`] | values, with `verify` | `PartialEq` |
//! | [`PutValueOf`] | values of a function with `#[retain_put]` | values of the named function |
//! | [`SendFuture`] | the future of an async function with a handle | `Send` |
//! | [`Reload`], [`ReloadSync`] | a function that its handle refreshes or warms | functions that run from owned arguments |
//! | [`PutTarget`] | a function that `#[retain_put]` names | functions whose tags use nothing but the key |
//!
//! A generic function may use them as bounds: `T: KeyArgument` is equivalent to `T: Serialize`.

use std::future::Future;

use serde::Serialize;

pub use crate::call::{PutTarget, Reload, ReloadSync};
use crate::value::{Probe, ReturnOps, ReturnShape};

/// An alias of any type: generated code uses `Of<_>` to report a requirement at more than one token.
#[doc(hidden)]
pub type Of<T> = T;

/// Requires that the value of a function can be copied for each caller.
#[diagnostic::on_unimplemented(
    message = "a kept result is copied for each caller, and `{Self}` is not `Clone`",
    label = "has to be `Clone`",
    note = "derive `Clone` for it, or return it behind an `Arc`"
)]
pub trait ClonableResult: Clone {}
#[diagnostic::do_not_recommend]
impl<V: Clone> ClonableResult for V {}

/// Requires that the value of a function can be shared between threads and borrows from nothing.
#[diagnostic::on_unimplemented(
    message = "a kept result is shared between threads, and `{Self}` cannot be",
    label = "has to be `Send + Sync + 'static`",
    note = "return `Arc` instead of `Rc`, an owned value instead of a borrowed one, a lock or an atomic instead of `Cell` \
            or `RefCell`"
)]
pub trait SharedResult: Send + Sync + 'static {}
#[diagnostic::do_not_recommend]
impl<V: Send + Sync + 'static> SharedResult for V {}

/// Requires that an argument can be written into a key or a tag.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key or a tag: it does not implement `serde::Serialize`",
    label = "has to implement `serde::Serialize`",
    note = "derive `serde::Serialize` for it, or leave the argument out of the key, with `skip(…)` or `key = …`"
)]
pub trait KeyArgument: Serialize {}
#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyArgument for T {}

/// Requires that the value of a function is an `Option`.
#[diagnostic::on_unimplemented(
    message = "`none_ttl` is about `None`, and this function returns no `Option` but `{Self}`",
    label = "the function returns no `Option`",
    note = "remove `none_ttl`, or return `Option<T>` or `Result<Option<T>, E>`"
)]
pub trait OptionResult {}
#[diagnostic::do_not_recommend]
impl<T> OptionResult for Option<T> {}

/// Requires that a function returns a `Result`.
#[diagnostic::on_unimplemented(
    message = "`err_ttl` and `err_if` are about errors, and this function returns no `Result` but `{Self}`",
    label = "the function returns no `Result`",
    note = "remove the argument, or return `Result<T, E>`"
)]
pub trait FallibleResult {}
#[diagnostic::do_not_recommend]
impl<T, E> FallibleResult for Result<T, E> {}

/// Requires that a whole `Result` can be stored, with the error in it.
#[diagnostic::on_unimplemented(
    message = "`err_ttl` keeps errors, and `{Self}` cannot be kept",
    label = "has to be `Clone + Send + Sync + 'static`",
    note = "derive `Clone` for the error, or keep it behind an `Arc`"
)]
pub trait ClonableError: Clone + Send + Sync + 'static {}
#[diagnostic::do_not_recommend]
impl<R: Clone + Send + Sync + 'static> ClonableError for R {}

/// Requires that the value of a function can be compared with a later one.
#[diagnostic::on_unimplemented(
    message = "`verify` compares values, and `{Self}` cannot be compared",
    label = "has to implement `PartialEq`",
    note = "derive `PartialEq` for what the function returns, or remove `verify`"
)]
pub trait ComparableResult: PartialEq {}
#[diagnostic::do_not_recommend]
impl<V: PartialEq> ComparableResult for V {}

/// Requires that a function returns a value of the function named by `#[retain_put(of = …)]`.
#[diagnostic::on_unimplemented(
    message = "`#[retain_put]` would store `{Self}`, and the function it names keeps `{V}`: nobody would find it",
    label = "not what the function named by `of` keeps, which is `{V}`",
    note = "return `{V}`, or a `Result` of it"
)]
pub trait PutValueOf<V> {}
#[diagnostic::do_not_recommend]
impl<V> PutValueOf<V> for V {}

/// Requires that the future of an async function can be moved to another thread: its handle refreshes and warms there.
///
/// A function whose future has to stay on its thread needs `handle = off`.
pub trait SendFuture: Future + Sized {
    #[doc(hidden)]
    type Sent: Future<Output = Self::Output>;

    #[doc(hidden)]
    fn sent(self) -> Self::Sent;
}
impl<F: Future + Send> SendFuture for F {
    type Sent = F;

    #[inline(always)]
    fn sent(self) -> F {
        self
    }
}

/// Checks of the requirements, which generated code calls.
#[doc(hidden)]
pub trait Requirements {
    fn result_is_cloned<R, P: ReturnShape<R, Value = Self>, S>(_: &ReturnOps<R, P, S>)
    where
        Self: ClonableResult,
    {
    }

    fn result_is_shared<R, P: ReturnShape<R, Value = Self>, S>(_: &ReturnOps<R, P, S>)
    where
        Self: SharedResult + Sized,
    {
    }

    fn result_is_option<R, P: ReturnShape<R, Value = Self>, S>(_: &ReturnOps<R, P, S>)
    where
        Self: OptionResult + Sized,
    {
    }

    fn result_is_compared<R, P: ReturnShape<R, Value = Self>, S>(_: &ReturnOps<R, P, S>)
    where
        Self: ComparableResult + Sized,
    {
    }

    fn result_is_fallible<P: ReturnShape<Self>, S>(_: &ReturnOps<Self, P, S>)
    where
        Self: FallibleResult + Sized,
    {
    }

    fn error_is_cloned<P: ReturnShape<Self>, S>(_: &ReturnOps<Self, P, S>)
    where
        Self: ClonableError,
    {
    }

    /// Requires a value of type `V`, which the probe fixes: else the compiler would infer the value's own type for it.
    fn result_is_put_value_of<V, R, P: ReturnShape<R, Value = Self>, S>(_: &Probe<V>, _: &ReturnOps<R, P, S>)
    where
        Self: PutValueOf<V> + Sized,
    {
    }

    #[inline(always)]
    fn future_is_send_unless_handle_is_off(self) -> <Self as SendFuture>::Sent
    where
        Self: SendFuture,
    {
        self.sent()
    }

    #[inline(always)]
    fn is_in_key(&self) -> &Self
    where
        Self: KeyArgument,
    {
        self
    }

    #[inline(always)]
    fn value_in_key(self) -> Self
    where
        Self: KeyArgument + Sized,
    {
        self
    }
}
impl<T: ?Sized> Requirements for T {}
