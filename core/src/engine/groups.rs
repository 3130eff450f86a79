//! Groups: one number for all invalidation in memory, names for shared stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use retainit_plugin::{Group, Mark, Strength};

use crate::key::text::escape;
use crate::{Error, ErrorKind, Result};

/// The generation of an instance: how many invalidations there were. A hit compares one number with it.
#[derive(Debug)]
pub(crate) struct Generation {
    now: AtomicU64,
    raising: Mutex<()>,
}

impl Default for Generation {
    fn default() -> Self {
        Generation { now: AtomicU64::new(1), raising: Mutex::new(()) }
    }
}

impl Generation {
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Invalidates a group: the mark is visible before the generation is, so that whoever sees the new generation
    /// sees the mark.
    pub(crate) fn raise(&self, mark: &Mark, strength: Strength) {
        let _raising = self.raising.lock();
        let next = self.now.load(Ordering::Relaxed) + 1;
        mark.raise(strength, next);
        self.now.store(next, Ordering::Release);
    }
}

const SHARDS: usize = 16;

/// The tags somebody holds: entries and loads under way. A tag nobody holds needs no mark.
#[derive(Debug)]
pub(crate) struct Tags {
    shards: [Mutex<Shard>; SHARDS],
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    marks: HashMap<Box<str>, Arc<Mark>, foldhash::fast::RandomState>,
    sweep_at: usize,
}

const SMALL: usize = 64;

impl Default for Tags {
    fn default() -> Self {
        Tags { shards: std::array::from_fn(|_| Mutex::default()), hasher: foldhash::fast::RandomState::default() }
    }
}

impl Tags {
    fn shard(&self, tag: &str) -> &Mutex<Shard> {
        use std::hash::BuildHasher;
        &self.shards[(self.hasher.hash_one(tag) >> 7) as usize % SHARDS]
    }

    /// The mark of a tag. It lives as long as somebody holds it.
    pub(crate) fn mark(&self, tag: &str) -> Arc<Mark> {
        let mut shard = self.shard(tag).lock();
        if let Some(mark) = shard.marks.get(tag) {
            return Arc::clone(mark);
        }
        if shard.marks.len() >= shard.sweep_at.max(SMALL) {
            shard.sweep();
        }
        let mark = Arc::new(Mark::new());
        shard.marks.insert(tag.into(), Arc::clone(&mark));
        mark
    }

    /// The mark, if anybody holds it.
    pub(crate) fn held(&self, tag: &str) -> Option<Arc<Mark>> {
        self.shard(tag).lock().marks.get(tag).cloned()
    }

    /// Forgets the tags nobody holds and gives their memory back.
    pub(crate) fn sweep(&self) {
        self.shards.iter().for_each(|shard| shard.lock().sweep());
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().marks.len()).sum()
    }
}

impl Shard {
    /// New holders come only through this shard, so a count of one stays one while it is locked.
    fn sweep(&mut self) {
        self.marks.retain(|_, mark| Arc::strong_count(mark) > 1);
        self.marks.shrink_to(self.marks.len() * 2);
        self.sweep_at = self.marks.len() * 2;
    }
}

/// The most tags of one entry.
pub(crate) const MOST_TAGS: usize = 254;

/// The most groups of one entry: the namespace, the function and its tags. Every read compares as many versions.
pub(super) const MOST_GROUPS: usize = MOST_TAGS + 2;

/// Brings tags into one order and drops repetitions: templates may give one tag twice.
pub(crate) fn make_distinct(tags: &mut Vec<String>) {
    tags.sort_unstable();
    tags.dedup();
}

/// Whether an entry may have these tags, each of which is there once.
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

/// The groups of a request. Most have none, and those share nothing, not even a count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups(Option<Arc<[Group]>>);

impl std::ops::Deref for Groups {
    type Target = [Group];

    fn deref(&self) -> &[Group] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Groups {
        Groups(Some(groups.into_iter().collect()))
    }
}

/// The name of a tag in a shared store.
pub(crate) fn tag_group(namespace: &str, tag: &str) -> Group {
    group('t', namespace, tag)
}

/// The name of the namespace's epoch in a shared store.
pub(crate) fn namespace_group(namespace: &str) -> Group {
    Group::new(format!("{}-", prefix('e', namespace)))
}

/// The name of a function's epoch in a shared store.
pub(crate) fn function_group(namespace: &str, function: &str) -> Group {
    group('e', namespace, function)
}

fn group(plane: char, namespace: &str, name: &str) -> Group {
    let mut text = prefix(plane, namespace);
    escape(name, &mut text);
    Group::new(text)
}

/// `r1:{plane}:{namespace}:-:`, the beginning of every key of a plane.
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
        let held = tags.mark("held");
        for n in 0..100_000 {
            tags.mark(&format!("tag:{n}"));
        }
        assert!(tags.len() < SHARDS * SMALL * 2 + 2);
        tags.sweep();
        assert_eq!(tags.len(), 1);
        assert!(Arc::ptr_eq(&held, &tags.mark("held")));
    }
}
