use std::sync::{Arc, RwLock};

use crate::{ErrorKind, caught};

type Hook = Arc<dyn Fn() -> Option<String> + Send + Sync>;

static HOOK: RwLock<Option<Hook>> = RwLock::new(None);

/// Says in whose name the calling thread or task acts: events carry it where a subscriber asks for it, as `audit` does.
///
/// The hook runs where the event happens, on the caller's side, so it may read thread-local and task-local state. It is
/// asked only while such a subscriber listens. A second call replaces it, for every instance of the process.
///
/// ```
/// retainit_plugin::set_actor(|| std::env::var("USER").ok());
/// ```
pub fn set_actor(hook: impl Fn() -> Option<String> + Send + Sync + 'static) {
    *HOOK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Arc::new(hook));
}

/// In whose name the calling thread or task acts. A hook that panics answers `None`.
pub fn actor() -> Option<String> {
    // The hook runs outside the lock: it may be slow, or set another one.
    let hook = HOOK.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?;
    caught(ErrorKind::Config, "the hook of `set_actor`", || hook()).ok().flatten()
}
