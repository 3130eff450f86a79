use super::groups::{Groups, function_group, namespace_group, prefix, tag_group};
use super::{EngineContext, Function, Plan, Store};
use crate::key::{KeyBuf, text};

/// Room for the arguments of most calls in a key, in bytes.
const ARGUMENTS: usize = 32;

/// Names of a function in a byte store, made once because every call there needs them.
#[derive(Debug)]
pub(crate) struct Names {
    /// Prefix of every key.
    prefix: Box<str>,
    /// Groups of namespace and function; empty if the store does not support versions.
    groups: Groups,
}

impl Names {
    /// Makes the names for a store. A function in memory has a prefix too: a removal may have to reach the byte store
    /// that an override hides.
    pub(super) fn new(instance: &EngineContext, function: &Function, store: &Store) -> Names {
        let namespace = instance.namespace();
        let mut key = prefix('d', namespace);
        text::escape(&function.id, &mut key);
        key.push('@');
        key.push_str(&function.version.to_string());
        key.push(':');
        let groups = || [namespace_group(namespace), function_group(namespace, &function.full_id())];
        let versions = store.has_versions();
        Names { prefix: key.into(), groups: if versions { groups().into_iter().collect() } else { Groups::default() } }
    }
}

/// Returns a key for a trial by `health()`, which no entry uses and no listing shows.
pub(crate) fn trial_key(namespace: &str, number: u64) -> String {
    format!("{}health@0:{number:016x}", prefix('h', namespace))
}

impl Plan {
    /// Returns the groups that can invalidate an entry with these tags, for stores that support versions.
    pub(crate) fn groups(&self, tags: &[String]) -> Groups {
        let own = self.own_groups();
        if tags.is_empty() || own.is_empty() {
            return own.clone();
        }
        let tags = tags.iter().map(|tag| tag_group(self.instance.namespace(), tag));
        own.iter().cloned().chain(tags).collect()
    }

    /// Returns the groups of an entry without tags.
    pub(crate) fn own_groups(&self) -> &Groups {
        &self.names.groups
    }

    /// Returns the full key in a byte store.
    pub(crate) fn logical_key(&self, key: &KeyBuf) -> String {
        self.logical_key_and_digest(key).0
    }

    /// Returns the full key in a byte store, and the digest of arguments that the key does not show.
    pub(crate) fn logical_key_and_digest(&self, key: &KeyBuf) -> (String, Vec<u8>) {
        let mut full = String::with_capacity(self.names.prefix.len() + ARGUMENTS);
        full.push_str(&self.names.prefix);
        let digest = key.write_text(&mut full);
        (full, digest)
    }

    /// Returns the prefix of every key of this function in a byte store.
    pub(crate) fn function_prefix(&self) -> &str {
        &self.names.prefix
    }
}
