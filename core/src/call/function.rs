use std::any::Any;

use retainit_plugin::{Result, Ttl};

use super::Reloaded;
use crate::engine::How;
use crate::key::KeyBuf;
use crate::runtime::Boxed;
use crate::site::Site;

/// A retained function, implemented by a type that has its name.
pub trait RetainedFunction: 'static {
    /// The key arguments.
    type Key<'a>: ?Sized;
    /// The return type.
    type Output: 'static;

    /// Returns its site.
    fn site() -> &'static Site;

    /// Encodes key arguments.
    ///
    /// # Errors
    ///
    /// Those of [`KeyBuf::new`].
    fn key(key: &Self::Key<'_>) -> Result<KeyBuf>;
}

/// A function whose tags follow from its key arguments alone, so that `#[retain_put]` can store for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has tags that use arguments outside its key, so that nothing can be stored for it",
    label = "its tags need more than the key",
    note = "use only key arguments in the tags of a function that is named by `#[retain_put(of = …)]`"
)]
pub trait PutTarget: RetainedFunction {
    /// Returns the ttl of a value, if the attribute computes it.
    #[doc(hidden)]
    fn ttl_of(_value: &dyn Any) -> Option<Result<Ttl>> {
        None
    }
}

/// A function that can run from owned arguments.
#[diagnostic::on_unimplemented(
    message = "`refresh` and `warm` run the function from owned arguments, which `{Self}` cannot",
    label = "has an argument without an owned form",
    note = "arguments can be owned values, `&T`, `&str`, `&Path` or `&[T]`, without references in them"
)]
pub trait Reload: RetainedFunction {
    /// All arguments, owned.
    type Args: 'static;

    /// Runs the function behind its cache, as `how` says.
    #[doc(hidden)]
    fn reload(args: Self::Args, how: How) -> Boxed<Reloaded<Self::Output>>;
}

/// A sync function that can run from owned arguments.
#[diagnostic::on_unimplemented(
    message = "`refresh` and `warm` run the function from owned arguments, which `{Self}` cannot",
    label = "has an argument without an owned form",
    note = "arguments can be owned values, `&T`, `&str`, `&Path` or `&[T]`, without references in them"
)]
pub trait ReloadSync: RetainedFunction {
    /// All arguments, owned.
    type Args;

    /// Runs the function behind its cache, as `how` says.
    #[doc(hidden)]
    fn reload(args: Self::Args, how: How) -> Reloaded<Self::Output>;
}
