//! Events that the engine sends to its subscribers.

mod actor;
mod kind;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use actor::{actor, set_actor};
pub use kind::{EventKind, EventKinds};

/// An event of a cache. Cheap to clone; it contains neither arguments nor values.
///
/// Its fields depend on the kind: see [`EventKind`].
#[derive(Clone)]
pub struct Event(Arc<EventParts>);

/// The parts of an event, for those who make one: the engine, and tests of subscribers.
///
/// ```
/// use std::time::SystemTime;
///
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{Event, EventKind, EventParts};
///
/// let mut parts = EventParts::new(EventKind::CacheMiss, SystemTime::UNIX_EPOCH);
/// parts.function = Some("shop::user".into());
/// let event = Event::from(parts);
/// assert_eq!(event.to_string(), "cache_miss function=shop::user");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventParts {
    /// Kind of the event.
    pub kind: EventKind,
    /// Time of the event, by the instance's clock.
    pub time: SystemTime,
    /// Number of the instance in the process, counted from 1; 0 for none.
    pub instance: u64,
    /// The instance's namespace.
    pub namespace: Arc<str>,
    /// The function's id, or the cache's name.
    pub function: Option<Box<str>>,
    /// The key, tag or pattern, hashed unless the instance shows them.
    pub key: Option<Box<str>>,
    /// The backend, by the name it was registered under.
    pub backend: Option<Arc<str>>,
    /// Name of the operation, such as `read` or `invalidate_tag`.
    pub operation: Option<Box<str>>,
    /// Duration of the operation.
    pub duration: Option<Duration>,
    /// Text of the error.
    pub error: Option<Box<str>>,
    /// Number of dropped events or of cleared entries.
    pub count: Option<u64>,
    /// Actor of the event, where a subscriber requests it.
    pub actor: Option<Box<str>>,
    /// Further text.
    pub detail: Option<Box<str>>,
}

impl EventParts {
    /// Makes parts of an event with a kind and a time alone.
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
    /// Returns the kind of the event.
    pub fn kind(&self) -> EventKind {
        self.0.kind
    }

    /// Returns the time of the event, by the instance's clock.
    pub fn time(&self) -> SystemTime {
        self.0.time
    }

    /// Returns the number of the instance in the process, counted from 1; 0 for none.
    pub fn instance(&self) -> u64 {
        self.0.instance
    }

    /// Returns the instance's namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Returns the function's id, or the cache's name.
    pub fn function(&self) -> Option<&str> {
        self.0.function.as_deref()
    }

    /// Returns the arguments' part of the key; the tag or pattern of a `cache_clear`. It is hashed with the instance's
    /// secret unless the instance shows keys, and absent for functions with `pii`.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Returns the backend, by the name it was registered under.
    pub fn backend(&self) -> Option<&str> {
        self.0.backend.as_deref()
    }

    /// Returns the name of the operation: `read`, `store`, `invalidate_tag` …
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.as_deref()
    }

    /// Returns the duration of the operation.
    pub fn duration(&self) -> Option<Duration> {
        self.0.duration
    }

    /// Returns the text of the error; its type, if it is a function's error that cannot be shown as text.
    pub fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// Returns the number of dropped events or of cleared entries.
    pub fn count(&self) -> Option<u64> {
        self.0.count
    }

    /// Returns the actor, by the hook of [`set_actor`]; only where a subscriber requests it.
    pub fn actor(&self) -> Option<&str> {
        self.0.actor.as_deref()
    }

    /// Returns further text, such as how full a backend is.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Lists the fields that are set, by name and as text, in the order in which they are shown.
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
