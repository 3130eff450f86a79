use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Context, Entry, Fence, Inserted, Kept, Life, Listener, Moment, NewEntry, ObjectBackend, Place, Put, RemovalCause,
    Visit,
};

use crate::{ManualClock, Recorder};

pub(super) type Make = Arc<dyn Fn(Context) -> Arc<dyn ObjectBackend> + Send + Sync>;

/// The site of all cases that need only one.
pub(super) const SITE: u32 = 7;

/// What one case works on: a new backend and what it tells.
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

    /// Another backend, which tells `listener`.
    pub(super) fn build(&self, listener: Arc<dyn Listener>) -> Arc<dyn ObjectBackend> {
        build(&self.make, &self.clock, listener)
    }

    pub(super) fn insert(&self, key: &[u8], value: &str, put: Put<'_>) -> Inserted {
        self.insert_at(place(SITE, key), key, value, put)
    }

    pub(super) fn insert_at(&self, place: Place, key: &[u8], value: &str, put: Put<'_>) -> Inserted {
        let bytes = if self.backend.weighs() { value.len() as u64 } else { 0 };
        let kept = lasting(value.to_owned(), Moment::NEVER);
        self.backend.insert(NewEntry { place, key, kept, bytes }, put)
    }

    /// An insert in any case, which cannot be refused.
    pub(super) fn set(&self, key: &[u8], value: &str) {
        assert_eq!(self.insert(key, value, Put::Always), Inserted::Yes);
    }

    pub(super) fn fence(&self, key: &[u8]) -> Fence {
        self.backend.fence(place(SITE, key))
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<String> {
        let mut finder = Finder::new(key);
        let found = self.backend.get(place(SITE, key), &mut finder);
        finder.value(found)
    }

    pub(super) fn peek(&self, key: &[u8]) -> Option<String> {
        self.peek_at(place(SITE, key), key)
    }

    pub(super) fn peek_at(&self, place: Place, key: &[u8]) -> Option<String> {
        let mut finder = Finder::new(key);
        let found = self.backend.peek(place, &mut finder);
        finder.value(found)
    }

    pub(super) fn remove(&self, key: &[u8]) -> bool {
        self.backend.remove(place(SITE, key), &mut Finder::new(key))
    }

    pub(super) fn discard(&self, key: &[u8], dead: bool, cause: RemovalCause) -> bool {
        let mut says = Says { key, known: dead };
        self.backend.discard(place(SITE, key), &mut says, cause)
    }

    /// The causes told of one key.
    pub(super) fn causes(&self, key: &[u8]) -> Vec<RemovalCause> {
        self.recorder.causes(SITE, key)
    }
}

fn build(make: &Make, clock: &ManualClock, listener: Arc<dyn Listener>) -> Arc<dyn ObjectBackend> {
    make(Context::new("conformance", Arc::new(clock.clone()), listener))
}

/// A value that is fresh until `end`.
pub(super) fn lasting<V: Send + Sync + 'static>(value: V, end: Moment) -> Kept {
    Kept::new(
        value,
        Life {
            generation: 1,
            created: Moment::from_millis(1),
            fresh_until: end,
            load_time: Duration::ZERO,
            extra: None,
        },
    )
}

/// Where the engine would look for a key.
pub(super) fn place(site: u32, key: &[u8]) -> Place {
    let mut hasher = DefaultHasher::new();
    (site, key).hash(&mut hasher);
    Place { hash: hasher.finish(), site }
}

/// The text an entry holds.
pub(super) fn text(kept: &Kept) -> String {
    kept.value::<String>().expect("every value of this case is a text").clone()
}

pub(super) fn shown(entry: Entry<'_>) -> (u32, Vec<u8>, String) {
    (entry.site, entry.key.to_vec(), text(entry.kept))
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
    fn visit(&mut self, key: &[u8], kept: &Kept) -> bool {
        if key != self.key {
            return false;
        }
        assert!(self.found.is_none(), "an entry was shown again after it was known");
        self.found = Some(text(kept));
        true
    }
}

/// Says `known` of one key and knows no other.
pub(super) struct Says<'a> {
    pub(super) key: &'a [u8],
    pub(super) known: bool,
}

impl Visit for Says<'_> {
    fn visit(&mut self, key: &[u8], _: &Kept) -> bool {
        key == self.key && self.known
    }
}
