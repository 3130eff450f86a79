use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail in retainit.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kind of an error, for callers who branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option or a combination of options cannot be used.
    Config,
    /// No backend has that name.
    UnknownBackend,
    /// Two things claim one name, or there is a process-wide default already.
    Duplicate,
    /// The key cannot be written as canonical text.
    Key,
    /// The value could not be written as bytes or read back.
    Codec,
    /// A cache of that name keeps values of another type.
    TypeMismatch,
    /// The backend cannot do what was asked.
    Unsupported,
    /// The backend has failed in a way that none of the next three kinds says.
    Backend,
    /// The backend cannot be reached: a connection was refused or lost, or could not be made.
    Unreachable,
    /// The backend did not answer in time.
    Timeout,
    /// The backend answered that it will not do it: no memory or room, too few replicas, read-only, no permission. It
    /// can be reached, and may do other things.
    Refused,
    /// A removal could not be acknowledged by every tier yet.
    Pending,
    /// The instance was closed.
    Closed,
}

impl ErrorKind {
    /// Returns the name used in logs and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::UnknownBackend => "unknown_backend",
            ErrorKind::Duplicate => "duplicate",
            ErrorKind::Key => "key",
            ErrorKind::Codec => "codec",
            ErrorKind::TypeMismatch => "type_mismatch",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Backend => "backend",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Refused => "refused",
            ErrorKind::Pending => "pending",
            ErrorKind::Closed => "closed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every error of retainit. It is opaque: branch on [`kind`](Error::kind), show it with `Display`.
///
/// What caused it is its [`source`](std::error::Error::source) and not in its text, so that reports which follow
/// sources print it once. Where nothing follows them, `{:#}` and [`report`](Error::report) write the causes behind the
/// text.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::UnknownBackend, "no backend is called `redsi`").with_context("function", "shop::user");
/// assert_eq!(error.kind(), ErrorKind::UnknownBackend);
/// assert_eq!(error.to_string(), "no backend is called `redsi` (function: shop::user)");
///
/// let error = Error::new(ErrorKind::Backend, "the folder does not work").with_source(std::io::Error::other("no room"));
/// assert_eq!(error.to_string(), "the folder does not work");
/// assert_eq!(format!("{error:#}"), "the folder does not work: no room");
/// ```
///
/// # Errors of backends
///
/// The engine acts on the kind that a backend gives:
///
/// | what happened | kind | what the engine does |
/// |---|---|---|
/// | connection refused, lost, not to be made; the name of the host unknown | `Unreachable` | counts it for the breaker |
/// | no answer in time | `Timeout` | counts it for the breaker |
/// | the server answered: full, read-only, too few replicas, loading, no permission | `Refused` | goes on calling |
/// | the backend cannot do that at all | `Unsupported` | goes on calling |
/// | anything else: an answer that makes no sense, a panic | `Backend` | goes on calling |
///
/// A removal that failed becomes pending, and is tried again until it is acknowledged, if trying again can help: see
/// [`is_retryable`](Error::is_retryable). That is so for every kind of the table but `Unsupported`; a backend that knows
/// better says so, as where a permission is missing:
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{Error, ErrorKind};
///
/// let full = Error::new(ErrorKind::Refused, "the server is out of memory");
/// assert!(full.is_retryable() && !full.is_unreachable());
/// let denied = Error::new(ErrorKind::Refused, "the user may not run `DEL`").with_retryable(false);
/// assert!(!denied.is_retryable());
/// assert!(Error::new(ErrorKind::Unreachable, "connection refused").is_unreachable());
/// ```
pub struct Error(Box<ErrorInner>);

struct ErrorInner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    place: Option<String>,
    field: Option<Cow<'static, str>>,
    context: Vec<(&'static str, String)>,
    problems: Vec<Error>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// `None` leaves it to the kind.
    retryable: Option<bool>,
}

impl Error {
    /// Makes an error of `kind`; the message starts in lower case and names the option or key, never a secret.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(ErrorInner {
            kind,
            message: message.into(),
            place: None,
            field: None,
            context: Vec::new(),
            problems: Vec::new(),
            source: None,
            retryable: None,
        }))
    }

    /// Makes one error of several, of the first one's kind; `what` names them, as in "problems". The text holds all of
    /// them, and [`problems`](Error::problems) lists them. `None` for none; a single one stays as it is.
    pub fn several(what: &str, mut errors: Vec<Error>) -> Option<Error> {
        if errors.len() < 2 {
            return errors.pop();
        }
        let kind = errors[0].kind();
        let mut problems = Vec::with_capacity(errors.len());
        for mut error in errors {
            match error.0.problems.is_empty() {
                true => problems.push(error),
                false => problems.append(&mut error.0.problems),
            }
        }
        let mut error = Error::new(kind, format!("{} {what}", problems.len()));
        error.0.problems = problems;
        Some(error)
    }

    /// Names the field of a configuration that it is about; shown in front of the message. The engine finds the place
    /// where that was set.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Error {
        self.0.field = Some(field.into());
        self
    }

    /// Names the place in a configuration that it is about, such as `retainit.toml:12`; shown in front of all.
    #[must_use]
    pub fn with_place(mut self, place: impl Into<String>) -> Error {
        self.0.place = Some(place.into());
        self
    }

    /// Adds where it happened; shown behind the message.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.0.context.push((name, value.into()));
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Sets whether the same call may succeed later, where that differs from what its kind says.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Error {
        self.0.retryable = Some(retryable);
        self
    }

    /// Returns its text with the causes behind it, for a log or a line that shows nothing else of it.
    pub fn report(&self) -> String {
        format!("{self:#}")
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the field of a configuration that it is about.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns the place in a configuration that it is about: a file with a line, or a variable.
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// Lists the errors that this one contains: itself, or those it was made of.
    pub fn problems(&self) -> &[Error] {
        if self.0.problems.is_empty() { std::slice::from_ref(self) } else { &self.0.problems }
    }

    /// Returns whether the same call may succeed later without a change of the program: true where the backend failed,
    /// could not be reached, was too slow or refused, unless it says otherwise.
    pub fn is_retryable(&self) -> bool {
        let pending = self.0.kind == ErrorKind::Pending;
        self.0.retryable.unwrap_or(pending || self.is_of_backend())
    }

    /// Returns whether the backend could not be reached, or did not answer in time.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unreachable | ErrorKind::Timeout)
    }

    /// Returns whether it is the backend that has failed or refused, rather than what was asked of it.
    pub fn is_of_backend(&self) -> bool {
        self.is_unreachable() || matches!(self.0.kind, ErrorKind::Backend | ErrorKind::Refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        if let Some(field) = &self.0.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            write!(f, "{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        if !self.0.problems.is_empty() {
            f.write_str(":")?;
            self.0.problems.iter().try_for_each(|problem| write!(f, "\n- {problem:#}"))?;
        }
        if f.alternate() {
            let (mut cause, mut shown) = (StdError::source(self), self.0.message.to_string());
            while let Some(error) = cause {
                let text = error.to_string();
                // Some errors have what caused them in their text and as their source too.
                if !shown.ends_with(&text) {
                    write!(f, ": {text}")?;
                    shown = text;
                }
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.to_string())
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as &(dyn StdError + 'static))
    }
}
