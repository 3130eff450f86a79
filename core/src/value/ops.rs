//! Operations on a return type, for code that cannot name their type: a function that asks about its return type once
//! hands the answers on as `impl Ops`.

use super::{ReturnOps, ReturnShape, Storage};

/// [`ReturnOps`] of a return type, whatever their shape and storage.
pub trait Ops {
    /// The return type.
    type Output;
    /// Its shape.
    type Shape: ReturnShape<Self::Output>;
    /// The form of its value in memory.
    type Storage: Storage<<Self::Shape as ReturnShape<Self::Output>>::Value>;

    /// Returns the operations.
    fn ops(&self) -> &ReturnOps<Self::Output, Self::Shape, Self::Storage>;
}

impl<R, P: ReturnShape<R>, S: Storage<P::Value>> Ops for ReturnOps<R, P, S> {
    type Output = R;
    type Shape = P;
    type Storage = S;

    #[inline(always)]
    fn ops(&self) -> &ReturnOps<R, P, S> {
        self
    }
}
