use std::sync::{Arc, RwLock};

use crate::{ErrorKind, caught};

type Hook = Arc<dyn Fn() -> Option<String> + Send + Sync>;

static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

/// Sets the hook that names the actor of the calling thread or task: events carry it where a subscriber requests it, as
/// `audit` does.
///
/// The hook runs where the event happens, on the caller's side, so it may read thread-local and task-local state. It is
/// called only while there is such a subscriber. A second call replaces it, for every instance of the process.
///
/// ```
/// retainit_plugin::set_actor(|| std::env::var("USER").ok());
/// ```
pub fn set_actor(hook: impl Fn() -> Option<String> + Send + Sync + 'static) {
    *HOOK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Arc::new(hook));
}

/// Returns the actor of the calling thread or task; `None` if the hook panics.
pub fn actor() -> Option<String> {
    // The hook runs outside the lock: it may be slow, or set another one.
    let hook = HOOK.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?;
    caught(ErrorKind::Config, "the hook of `set_actor`", || hook()).ok().flatten()
}
