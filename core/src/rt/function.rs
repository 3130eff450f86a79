use std::future::Future;
use std::pin::Pin;

use super::{How, KeyBuf, Reloaded, Site};
use crate::Result;

/// A boxed future that may be spawned.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A retained function by the type that has its name.
pub trait Function: 'static {
    /// The key arguments.
    type Key<'a>: ?Sized;
    /// What it returns.
    type Output: 'static;

    /// Its site.
    fn site() -> &'static Site;

    /// Takes a key by value.
    ///
    /// # Errors
    ///
    /// As [`KeyBuf::new`].
    fn key(key: &Self::Key<'_>) -> Result<KeyBuf>;
}

/// A function whose tags follow from its key arguments alone, so that `#[retain_put]` can store for it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has tags that use arguments outside its key, so nothing can be stored for it",
    label = "its tags need more than the key",
    note = "use only key arguments in the tags of a function that is named by `#[retain_put(of = …)]`"
)]
pub trait PutTarget: Function {
    /// The tags of a key.
    fn tags(key: &Self::Key<'_>) -> Vec<String>;
}

/// A function that can run from owned arguments.
pub trait Reload: Function {
    /// All arguments, owned.
    type Args: Send + 'static;

    /// Runs it.
    fn reload(args: Self::Args, how: How) -> Boxed<Reloaded<Self::Output>>;
}

/// A sync function that can run from owned arguments.
pub trait ReloadSync: Function {
    /// All arguments, owned.
    type Args;

    /// Runs it.
    fn reload(args: Self::Args, how: How) -> Reloaded<Self::Output>;
}
