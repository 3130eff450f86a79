//! Questions whose answers are compile errors that name the mistake.

use super::{Facts, Fallible, Shape};

/// A return type that is a `Result`.
#[diagnostic::on_unimplemented(
    message = "`err_ttl` and `err_if` are about errors, and this function returns no `Result`",
    label = "returns no `Result`",
    note = "remove the argument, or return `Result<T, E>`"
)]
pub trait IsResult {}
impl IsResult for Fallible {}

/// A stored type that is an `Option`.
#[diagnostic::on_unimplemented(
    message = "`none_ttl` is about `None`, and this function returns no `Option`",
    label = "returns no `Option`",
    note = "remove `none_ttl`, or return `Option<T>` or `Result<Option<T>, E>`"
)]
pub trait IsOption {}
impl<T> IsOption for Option<T> {}

/// A result that can be kept or shared as a whole.
#[diagnostic::on_unimplemented(
    message = "`err_ttl` keeps errors, and `{Self}` cannot be kept",
    label = "not `Clone + Send + Sync + 'static`",
    note = "derive `Clone` for the error, or keep it behind an `Arc`"
)]
pub trait Shareable {}
#[diagnostic::do_not_recommend]
impl<R: Clone + Send + Sync + 'static> Shareable for R {}

/// A value that can be kept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be retained",
    label = "not `Clone + Send + Sync + 'static`",
    note = "derive `Clone`, return it behind an `Arc`, or return an owned value"
)]
pub trait Retained {}
#[diagnostic::do_not_recommend]
impl<V: Clone + Send + Sync + 'static> Retained for V {}

/// A value that can be compared with another.
#[diagnostic::on_unimplemented(
    message = "`verify` compares values, and `{Self}` cannot be compared",
    label = "does not implement `PartialEq`",
    note = "derive `PartialEq` for what the function returns, or remove `verify`"
)]
pub trait Comparable {}
#[diagnostic::do_not_recommend]
impl<V: PartialEq> Comparable for V {}

/// For `none_ttl`.
pub fn option<R, P: Shape<R>, S>(_: &Facts<R, P, S>)
where
    P::Value: IsOption,
{
}

/// For `err_ttl` and `err_if`.
pub fn result<R, P: Shape<R> + IsResult, S>(_: &Facts<R, P, S>) {}

/// For `verify`.
pub fn comparable<R, P: Shape<R>, S>(_: &Facts<R, P, S>)
where
    P::Value: Comparable,
{
}

/// For `err_ttl`.
pub fn shareable<R: Shareable>() {}

/// For every function.
pub fn retained<R, P: Shape<R>, S>(_: &Facts<R, P, S>)
where
    P::Value: Retained,
{
}
