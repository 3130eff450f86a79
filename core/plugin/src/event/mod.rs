//! What the engine tells its subscribers.

mod actor;
mod kind;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use actor::{actor, set_actor};
pub use kind::{EventKind, EventKinds};

/// Something that happened in a cache. Cheap to clone; arguments and values never appear in it.
///
/// Which fields are there depends on the kind: see [`EventKind`].
#[derive(Clone)]
pub struct Event(Arc<EventParts>);

/// The parts of an event, for those who make one: the engine, and tests of subscribers.
///
/// ```
/// use std::time::SystemTime;
///
/// use retainit_plugin::{Event, EventKind, EventParts};
///
/// let mut parts = EventParts::new(EventKind::CacheMiss, SystemTime::UNIX_EPOCH);
/// parts.function = Some("shop::user".into());
/// let event = Event::from(parts);
/// assert_eq!(event.to_string(), "cache_miss function=shop::user");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventParts {
    /// What it tells of.
    pub kind: EventKind,
    /// When it happened, by the instance's clock.
    pub time: SystemTime,
    /// Which instance of the process, counted from 1; 0 for none.
    pub instance: u64,
    /// The instance's namespace.
    pub namespace: Arc<str>,
    /// The function's id, or the cache's name.
    pub function: Option<Box<str>>,
    /// The key, tag or pattern, hashed unless the instance shows them.
    pub key: Option<Box<str>>,
    /// The backend, by the name it was registered under.
    pub backend: Option<Arc<str>>,
    /// What was done, such as `read` or `invalidate_tag`.
    pub operation: Option<Box<str>>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// What went wrong.
    pub error: Option<Box<str>>,
    /// How many: of dropped events, of entries that were cleared.
    pub count: Option<u64>,
    /// In whose name it was done, where somebody listens who asks for that.
    pub actor: Option<Box<str>>,
    /// What else there is to say.
    pub detail: Option<Box<str>>,
}

impl EventParts {
    /// Parts of an event that says no more than what and when.
    pub fn new(kind: EventKind, time: SystemTime) -> EventParts {
        EventParts {
            kind,
            time,
            instance: 0,
            namespace: Arc::default(),
            function: None,
            key: None,
            backend: None,
            operation: None,
            duration: None,
            error: None,
            count: None,
            actor: None,
            detail: None,
        }
    }
}

impl From<EventParts> for Event {
    fn from(parts: EventParts) -> Event {
        Event(Arc::new(parts))
    }
}

impl Event {
    /// What it tells of.
    pub fn kind(&self) -> EventKind {
        self.0.kind
    }

    /// When it happened, by the instance's clock.
    pub fn time(&self) -> SystemTime {
        self.0.time
    }

    /// Which instance of the process it comes from, counted from 1; 0 for none.
    pub fn instance(&self) -> u64 {
        self.0.instance
    }

    /// The instance's namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The function's id, or the cache's name.
    pub fn function(&self) -> Option<&str> {
        self.0.function.as_deref()
    }

    /// The arguments' part of the key; the tag or pattern of a `cache_clear`. It is hashed with the instance's secret
    /// unless the instance shows keys, and absent for functions with `pii`.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The backend, by the name it was registered under.
    pub fn backend(&self) -> Option<&str> {
        self.0.backend.as_deref()
    }

    /// What was done: `read`, `store`, `invalidate_tag` …
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.as_deref()
    }

    /// How long it took.
    pub fn duration(&self) -> Option<Duration> {
        self.0.duration
    }

    /// What went wrong. Of a function's error that cannot be shown as text, its type.
    pub fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// How many: events that were dropped, entries that were cleared.
    pub fn count(&self) -> Option<u64> {
        self.0.count
    }

    /// In whose name it was done, by the hook of [`set_actor`]; only where a subscriber asks for it.
    pub fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// What else there is to say, such as how full a backend is.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The fields that are there, by name and as text, in the order in which they are shown.
    fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        [
            ("function", text(self.function())),
            ("key", text(self.key())),
            ("backend", text(self.backend())),
            ("operation", text(self.operation())),
            ("duration", self.duration().map(|duration| format!("{duration:?}"))),
            ("count", self.count().map(|count| count.to_string())),
            ("actor", text(self.actor())),
            ("detail", text(self.detail())),
            ("error", text(self.error())),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        self.fields().try_for_each(|(name, text)| write!(f, " {name}={text}"))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Event");
        all.field("kind", &self.kind()).field("time", &self.time()).field("instance", &self.instance());
        all.field("namespace", &self.namespace());
        self.fields().for_each(|(name, text)| {
            all.field(name, &text);
        });
        all.finish()
    }
}
