//! Reports entries that have left memory to the caches that they belong to.

use std::fmt;
use std::sync::{Arc, Weak};

use retainit_plugin::lock::RwLock;
use retainit_plugin::{CachedEntry, Contained, ErrorKind, Removal, RemovalCause, StoredValue, caught};

use super::Function;
use crate::key::arguments_text;
use crate::value::Shared;

/// Receives the text of a key, the entry and the cause of its removal.
pub(crate) type RemovalListener = dyn Fn(&str, &CachedEntry, RemovalCause) + Send + Sync;

/// Makes a listener of a closure over values as caches hold them.
pub(crate) fn listener<V: StoredValue>(
    receive: impl Fn(&str, &V, RemovalCause) + Send + Sync + 'static,
) -> Arc<RemovalListener> {
    // What it captures is dropped by whoever holds it last, which may be the call of another key.
    let receive = Contained::new(receive);
    Arc::new(move |key, cached, cause| {
        if let Some(value) = cached.value::<Shared<V>>() {
            receive(key, value.get(), cause);
        }
    })
}

/// Listeners of one function or cache. Each is owned by its cache and ends with it.
#[derive(Default)]
pub(crate) struct RemovalListeners(RwLock<Vec<Weak<RemovalListener>>>);

impl fmt::Debug for RemovalListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemovalListeners").field(&self.0.read().len()).finish()
    }
}

impl RemovalListeners {
    pub(crate) fn add(&self, listener: &Arc<RemovalListener>) {
        let mut listeners = self.0.write();
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    fn alive(&self) -> Vec<Arc<RemovalListener>> {
        self.0.read().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Function {
    /// Passes a removed entry to every listener, on this thread and outside all locks: a listener may use the cache.
    pub(crate) fn removed(&self, backend: &str, removal: &Removal<'_>) {
        let listeners = self.removal_listeners.alive();
        if listeners.is_empty() {
            return;
        }
        let key = arguments_text(self.keys, removal.entry.key);
        for listener in listeners {
            let receive = || listener(&key, removal.entry.cached, removal.cause);
            if let Err(error) = caught(ErrorKind::Backend, "the closure of `on_removal`", receive) {
                self.failed("on_removal", backend, &error);
            }
        }
    }
}
