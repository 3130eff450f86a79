//! Implements groups of entries: one number for all invalidation in memory, and names in shared stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use retainit_plugin::lock::Mutex;
use retainit_plugin::{Error, ErrorKind, GroupNames, Result, Strength, TagEpoch};

use super::verdict::GroupKind;
use crate::key::text::escape;

/// Epoch of an instance: the number of its invalidations. A hit compares one number with it.
#[derive(Debug)]
pub(crate) struct InstanceEpoch {
    now: AtomicU64,
    raising: Mutex<()>,
}

impl Default for InstanceEpoch {
    fn default() -> Self {
        InstanceEpoch { now: AtomicU64::new(1), raising: Mutex::new(()) }
    }
}

impl InstanceEpoch {
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Invalidates a group. The tag epoch is visible before the instance epoch is, so that a reader of the new instance
    /// epoch also reads the new tag epoch.
    pub(crate) fn raise(&self, tag_epoch: &TagEpoch, strength: Strength) {
        let _raising = self.raising.lock();
        let next = self.now.load(Ordering::Relaxed) + 1;
        tag_epoch.raise(strength, next);
        self.now.store(next, Ordering::Release);
    }
}

const SHARDS: usize = 16;

/// Tags that entries and loads under way hold. A tag without holders needs no epoch.
#[derive(Debug)]
pub(crate) struct Tags {
    shards: [Mutex<TagShard>; SHARDS],
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug, Default)]
struct TagShard {
    epochs: HashMap<Box<str>, Arc<TagEpoch>, foldhash::fast::RandomState>,
    sweep_at: usize,
}

const SMALL: usize = 64;

impl Default for Tags {
    fn default() -> Self {
        Tags { shards: std::array::from_fn(|_| Mutex::default()), hasher: foldhash::fast::RandomState::default() }
    }
}

impl Tags {
    fn shard(&self, tag: &str) -> &Mutex<TagShard> {
        use std::hash::BuildHasher;
        &self.shards[(self.hasher.hash_one(tag) >> 7) as usize % SHARDS]
    }

    /// Returns the epoch of a tag, which exists as long as it has holders.
    pub(crate) fn epoch(&self, tag: &str) -> Arc<TagEpoch> {
        let mut shard = self.shard(tag).lock();
        if let Some(tag_epoch) = shard.epochs.get(tag) {
            return Arc::clone(tag_epoch);
        }
        if shard.epochs.len() >= shard.sweep_at.max(SMALL) {
            shard.sweep();
        }
        let tag_epoch = Arc::new(TagEpoch::new());
        shard.epochs.insert(tag.into(), Arc::clone(&tag_epoch));
        tag_epoch
    }

    /// Returns the epoch of a tag, if it has holders.
    pub(crate) fn held(&self, tag: &str) -> Option<Arc<TagEpoch>> {
        self.shard(tag).lock().epochs.get(tag).cloned()
    }

    /// Removes tags without holders and frees their memory.
    pub(crate) fn sweep(&self) {
        self.shards.iter().for_each(|shard| shard.lock().sweep());
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().epochs.len()).sum()
    }
}

impl TagShard {
    /// Removes tags without holders from one shard. New holders come only through this shard, so a count of one stays
    /// one while it is locked.
    fn sweep(&mut self) {
        self.epochs.retain(|_, tag_epoch| Arc::strong_count(tag_epoch) > 1);
        self.epochs.shrink_to(self.epochs.len() * 2);
        self.sweep_at = self.epochs.len() * 2;
    }
}

/// The most tags of one entry.
pub(crate) const MOST_TAGS: usize = 254;

/// The most groups of one entry: the namespace, the function and its tags. Every read compares as many versions.
pub(super) const MOST_GROUPS: usize = MOST_TAGS + 2;

/// Sorts tags and removes duplicates: templates may produce one tag twice.
pub(crate) fn make_distinct(tags: &mut Vec<String>) {
    tags.sort_unstable();
    tags.dedup();
}

/// Checks that an entry may have these distinct tags.
///
/// # Errors
///
/// [`ErrorKind::Config`] for too many.
pub(crate) fn check_tags(tags: &[String]) -> Result<()> {
    if tags.len() <= MOST_TAGS {
        return Ok(());
    }
    let text = format!("an entry has at most {MOST_TAGS} tags, this one would have {}", tags.len());
    Err(Error::new(ErrorKind::Config, text))
}

/// Name of a group in the key space of a store: plane, namespace and name, escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group(Arc<str>);

impl Group {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Group {
        Group(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Groups of a request. Most requests have none, and no allocation for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(Option<Arc<[Group]>>);

impl std::ops::Deref for Groups {
    type Target = [Group];

    fn deref(&self) -> &[Group] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Groups {
    /// Returns the names, as backends take them.
    pub(crate) fn names(&self) -> GroupNames<'_> {
        self.iter().map(Group::as_str).collect()
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Groups {
        Groups(Some(groups.into_iter().collect()))
    }
}

/// Returns the name of a tag in a shared store.
pub(crate) fn tag_group(namespace: &str, tag: &str) -> Group {
    group('t', namespace, tag)
}

/// Returns the name of the namespace's epoch in a shared store.
pub(crate) fn namespace_group(namespace: &str) -> Group {
    Group::new(format!("{}-", prefix('e', namespace)))
}

/// Returns the name of a function's epoch in a shared store.
pub(crate) fn function_group(namespace: &str, function: &str) -> Group {
    group('e', namespace, function)
}

fn group(plane: char, namespace: &str, name: &str) -> Group {
    let mut text = prefix(plane, namespace);
    escape(name, &mut text);
    Group::new(text)
}

/// Returns the kind of group that a name in a shared store belongs to.
pub(super) fn kind_of(name: &[u8]) -> GroupKind {
    match name.strip_prefix(b"r1:e:") {
        // The functions of a namespace have their ids where it has a dash.
        Some(epoch) if epoch.ends_with(b":-:-") => GroupKind::Namespace,
        Some(_) => GroupKind::Function,
        None => GroupKind::Tag,
    }
}

/// Returns `r1:{plane}:{namespace}:-:`, the prefix of every key of a plane.
pub(crate) fn prefix(plane: char, namespace: &str) -> String {
    let mut text = format!("r1:{plane}:");
    escape(namespace, &mut text);
    text.push_str(":-:");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_nobody_holds_is_forgotten() {
        let tags = Tags::default();
        let held = tags.epoch("held");
        for n in 0..100_000 {
            tags.epoch(&format!("tag:{n}"));
        }
        assert!(tags.len() < SHARDS * SMALL * 2 + 2);
        tags.sweep();
        assert_eq!(tags.len(), 1);
        assert!(Arc::ptr_eq(&held, &tags.epoch("held")));
    }
}
