use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail in retainit.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for callers who branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option or a combination of options cannot be used.
    Config,
    /// A name that stands for no backend.
    UnknownBackend,
    /// Two things claim one name, or a process-wide default stands already.
    Duplicate,
    /// The key cannot be written as canonical text.
    Key,
    /// The value could not be written as bytes or read back.
    Codec,
    /// A cache of that name keeps values of another type.
    TypeMismatch,
    /// The backend cannot do what was asked.
    Unsupported,
    /// The backend answered with an error or not at all.
    Backend,
    /// The backend did not answer in time.
    Timeout,
    /// A removal could not be acknowledged by every tier yet.
    Pending,
    /// The instance was closed.
    Closed,
}

impl ErrorKind {
    /// The name used in logs and events.
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
            ErrorKind::Timeout => "timeout",
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
/// ```
/// use retainit_plugin::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::UnknownBackend, "no backend is called `redsi`").context("function", "shop::user");
/// assert_eq!(error.kind(), ErrorKind::UnknownBackend);
/// assert_eq!(error.to_string(), "no backend is called `redsi` (function: shop::user)");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; the message starts in lower case and names the option or key, never a secret.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner { kind, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Adds where it happened; shown behind the message.
    #[must_use]
    pub fn context(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.0.context.push((name, value.into()));
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without a change of the program.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Backend | ErrorKind::Timeout | ErrorKind::Pending)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            write!(f, "{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("message", &self.to_string()).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as &(dyn StdError + 'static))
    }
}
