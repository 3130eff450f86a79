use super::groups::{Groups, function_group, namespace_group, prefix, tag_group};
use super::{Function, Plan, Store};
use crate::Retainit;
use crate::key::{KeyBuf, text};

/// Room for the arguments of most calls in a key.
const ARGUMENTS: usize = 32;

/// What a function is called in a byte store: made once, as every call there asks for it.
#[derive(Debug)]
pub(crate) struct Names {
    /// What every key begins with.
    prefix: Box<str>,
    /// Namespace and function; empty if the store keeps no versions.
    groups: Groups,
}

impl Names {
    /// The names in a store. Keys have theirs in memory too: a removal may have to reach the byte store that an override
    /// hides.
    pub(super) fn new(instance: &Retainit, function: &Function, store: &Store) -> Names {
        let namespace = instance.namespace();
        let mut key = prefix('d', namespace);
        text::escape(&function.id, &mut key);
        key.push('@');
        key.push_str(&function.version.to_string());
        key.push(':');
        let groups = || [namespace_group(namespace), function_group(namespace, &function.full_id())];
        let versions = store.bytes().is_some_and(|bytes| bytes.capabilities().has_versions());
        Names { prefix: key.into(), groups: if versions { groups().into_iter().collect() } else { Groups::default() } }
    }
}

impl Plan {
    /// The names of everything that can invalidate an entry with these tags, for stores that keep versions.
    pub(crate) fn groups(&self, tags: &[String]) -> Groups {
        let own = self.own_groups();
        if tags.is_empty() || own.is_empty() {
            return own.clone();
        }
        let tags = tags.iter().map(|tag| tag_group(self.instance.namespace(), tag));
        own.iter().cloned().chain(tags).collect()
    }

    /// Those of an entry without tags.
    pub(crate) fn own_groups(&self) -> &Groups {
        &self.names.groups
    }

    /// The full key in a byte store.
    pub(crate) fn logical_key(&self, key: &KeyBuf) -> String {
        self.logical_key_and_digest(key).0
    }

    /// The full key in a byte store, and what the entry has to say of arguments that it does not show.
    pub(crate) fn logical_key_and_digest(&self, key: &KeyBuf) -> (String, Vec<u8>) {
        let mut full = String::with_capacity(self.names.prefix.len() + ARGUMENTS);
        full.push_str(&self.names.prefix);
        let digest = key.write_text(&mut full);
        (full, digest)
    }

    /// What every key of this function begins with in a byte store.
    pub(crate) fn function_prefix(&self) -> &str {
        &self.names.prefix
    }
}
