//! Operations on a return type without the type itself.

use super::Site;
use crate::value::{ReturnOps, ReturnShape, ValueKinds};

/// A return type's operations without the type: for handles, and for checks when an instance is made.
pub trait Known {
    /// Stores a copy with the function.
    fn keep(&self, site: &'static Site);

    /// Returns the operations that values allow.
    fn kinds(&self) -> ValueKinds;
}

impl<R, P: ReturnShape<R>, S> Known for ReturnOps<R, P, S>
where
    P::Value: 'static,
{
    fn keep(&self, site: &'static Site) {
        site.keep_ops(self.value);
    }

    fn kinds(&self) -> ValueKinds {
        ValueKinds { errors: self.whole.is_some(), ..self.value.kinds() }
    }
}
