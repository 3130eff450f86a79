use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    CachedEntry, Context, EntryAddress, EntryRef, EntryTimes, InsertMode, Inserted, Listener, Moment, NewEntry,
    ObjectBackend, ObjectFence, RemovalCause, Visit,
};

use crate::{ManualClock, Recorder};

pub(super) type Make = Arc<dyn Fn(Context) -> Arc<dyn ObjectBackend> + Send + Sync>;

/// The site of all cases that need only one.
pub(super) const SITE: u32 = 7;

/// The backend of one case, new, with its listener.
pub(super) struct Bench {
    pub(super) backend: Arc<dyn ObjectBackend>,
    pub(super) recorder: Recorder,
    pub(super) clock: ManualClock,
    make: Make,
}

impl Bench {
    pub(super) fn new(make: Make) -> Bench {
        let (clock, recorder) = (ManualClock::new(), Recorder::new());
        let backend = build(&make, &clock, Arc::new(recorder.clone()));
        Bench { backend, recorder, clock, make }
    }

    /// Builds another backend, which reports to `listener`.
    pub(super) fn build(&self, listener: Arc<dyn Listener>) -> Arc<dyn ObjectBackend> {
        build(&self.make, &self.clock, listener)
    }

    pub(super) fn insert(&self, key: &[u8], value: &str, put: InsertMode<'_>) -> Inserted {
        self.insert_at(address(SITE, key), key, value, put)
    }

    pub(super) fn insert_at(&self, address: EntryAddress, key: &[u8], value: &str, put: InsertMode<'_>) -> Inserted {
        self.backend.insert(self.entry(address, key, value), put)
    }

    /// Inserts an entry of a site that is bounded to `most`.
    pub(super) fn insert_bounded(&self, site: u32, key: &[u8], most: u64, put: InsertMode<'_>) -> Inserted {
        let entry = self.entry(address(site, key), key, "value");
        self.backend.insert(NewEntry { max_entries: Some(most), ..entry }, put)
    }

    pub(super) fn entry<'a>(&self, address: EntryAddress, key: &'a [u8], value: &str) -> NewEntry<'a> {
        let bytes = if self.backend.weighs() { value.len() as u64 } else { 0 };
        let cached = lasting(value.to_owned(), Moment::NEVER);
        NewEntry { address, key, cached, bytes, max_entries: None }
    }

    /// Returns the number of entries of a site.
    pub(super) fn held(&self, site: u32) -> usize {
        let mut held = 0;
        self.backend.scan(&mut |entry| held += usize::from(entry.site == site));
        held
    }

    /// Inserts in any case, which cannot be refused.
    pub(super) fn set(&self, key: &[u8], value: &str) {
        assert_eq!(self.insert(key, value, InsertMode::Always), Inserted::Yes);
    }

    pub(super) fn fence(&self, key: &[u8]) -> ObjectFence {
        self.backend.fence(address(SITE, key))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<String> {
        let mut finder = Finder::new(key);
        let found = self.backend.get(address(SITE, key), &mut finder);
        finder.value(found)
    }

    pub(super) fn peek(&self, key: &[u8]) -> Option<String> {
        self.peek_at(address(SITE, key), key)
    }

    pub(super) fn peek_at(&self, address: EntryAddress, key: &[u8]) -> Option<String> {
        let mut finder = Finder::new(key);
        let found = self.backend.peek(address, &mut finder);
        finder.value(found)
    }

    pub(super) fn remove(&self, key: &[u8]) -> bool {
        self.backend.remove(address(SITE, key), &mut Finder::new(key))
    }

    /// Returns the causes reported for one key.
    pub(super) fn causes(&self, key: &[u8]) -> Vec<RemovalCause> {
        self.recorder.causes(SITE, key)
    }
}

fn build(make: &Make, clock: &ManualClock, listener: Arc<dyn Listener>) -> Arc<dyn ObjectBackend> {
    make(Context::new("conformance", Arc::new(clock.clone()), listener))
}

/// Returns a value that is fresh until `end`.
pub(super) fn lasting<V: Send + Sync + 'static>(value: V, end: Moment) -> CachedEntry {
    CachedEntry::new(value, times(end))
}

/// Returns times of an entry that is fresh until `end`.
pub(super) fn times(end: Moment) -> EntryTimes {
    EntryTimes { epoch: 1, created: Moment::from_millis(1), fresh_until: end, load_time: Duration::ZERO, extra: None }
}

/// Returns the address at which the engine looks for a key.
pub(super) fn address(site: u32, key: &[u8]) -> EntryAddress {
    let mut hasher = DefaultHasher::new();
    (site, key).hash(&mut hasher);
    EntryAddress { hash: hasher.finish(), site }
}

/// Returns the text an entry holds.
pub(super) fn text(cached: &CachedEntry) -> String {
    cached.value::<String>().expect("every value of this case is a text").clone()
}

pub(super) fn shown(entry: EntryRef<'_>) -> (u32, Vec<u8>, String) {
    (entry.site, entry.key.to_vec(), text(entry.cached))
}

/// Looks for a key and takes the text of its entry.
pub(super) struct Finder<'a> {
    key: &'a [u8],
    found: Option<String>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(key: &'a [u8]) -> Finder<'a> {
        Finder { key, found: None }
    }

    fn value(self, found: bool) -> Option<String> {
        assert_eq!(found, self.found.is_some(), "the answer is not what the visitor said");
        self.found
    }
}

impl Visit for Finder<'_> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        if key != self.key {
            return false;
        }
        assert!(self.found.is_none(), "an entry was shown again after it was known");
        self.found = Some(text(cached));
        true
    }
}

/// Returns `known` for one key and rejects all others.
pub(super) struct Says<'a> {
    pub(super) key: &'a [u8],
    pub(super) known: bool,
}

impl Visit for Says<'_> {
    fn visit(&mut self, key: &[u8], _: &CachedEntry) -> bool {
        key == self.key && self.known
    }
}
