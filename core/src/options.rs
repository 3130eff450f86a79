//! The options of a function or cache, and the order in which their levels are asked.

use std::time::Duration;

use retainit_plugin::{IntoTtl, Settings, Ttl};

use crate::overrides::Overrides;
use crate::{Error, Result};

/// What one level says; `None` leaves a choice to the levels below.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) none_ttl: Option<Ttl>,
    pub(crate) err_ttl: Option<Ttl>,
    pub(crate) jitter: Option<f64>,
    pub(crate) max_load_time: Option<Duration>,
    pub(crate) single_flight: Option<bool>,
    pub(crate) idle: Option<Duration>,
}

/// What holds in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) ttl: Ttl,
    pub(crate) none_ttl: Option<Ttl>,
    pub(crate) err_ttl: Option<Ttl>,
    pub(crate) jitter: f64,
    pub(crate) max_load_time: Duration,
    pub(crate) single_flight: bool,
    pub(crate) idle: Option<Duration>,
}

impl Options {
    pub(crate) const NONE: Options = Options {
        ttl: None,
        none_ttl: None,
        err_ttl: None,
        jitter: None,
        max_load_time: None,
        single_flight: None,
        idle: None,
    };

    /// These options with what they leave open taken from `below`.
    pub(crate) fn over(&self, below: &Options) -> Options {
        Options {
            ttl: self.ttl.or(below.ttl),
            none_ttl: self.none_ttl.or(below.none_ttl),
            err_ttl: self.err_ttl.or(below.err_ttl),
            jitter: self.jitter.or(below.jitter),
            max_load_time: self.max_load_time.or(below.max_load_time),
            single_flight: self.single_flight.or(below.single_flight),
            idle: self.idle.or(below.idle),
        }
    }

    /// The end of the line: the defaults.
    pub(crate) fn resolve(&self, remote: bool) -> Resolved {
        Resolved {
            ttl: self.ttl.unwrap_or(Ttl::Never),
            none_ttl: self.none_ttl,
            err_ttl: self.err_ttl,
            jitter: self.jitter.unwrap_or(if remote { 0.1 } else { 0.0 }),
            max_load_time: self.max_load_time.unwrap_or(Duration::from_secs(60)),
            single_flight: self.single_flight.unwrap_or(true),
            idle: self.idle,
        }
    }
}

impl From<Settings> for Options {
    fn from(settings: Settings) -> Options {
        Options { ttl: settings.ttl, jitter: settings.jitter, idle: settings.idle, ..Options::NONE }
    }
}

impl From<&Overrides> for Options {
    fn from(overrides: &Overrides) -> Options {
        Options {
            ttl: overrides.ttl,
            none_ttl: overrides.none_ttl,
            err_ttl: overrides.err_ttl,
            jitter: overrides.jitter,
            ..Options::NONE
        }
    }
}

/// Options of one call, above those of its cache.
///
/// ```
/// use retainit_core::CallOptions;
///
/// let short = CallOptions::new().ttl("1s").tags(["x"]);
/// # let _ = short;
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct CallOptions {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Vec<String>,
    pub(crate) problem: Option<Error>,
}

impl CallOptions {
    /// Nothing said.
    pub fn new() -> CallOptions {
        CallOptions::default()
    }

    /// How long this value is fresh.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> CallOptions {
        match ttl.into_ttl() {
            Ok(ttl) => self.ttl = Some(ttl),
            Err(error) => self.problem = Some(error),
        }
        self
    }

    /// Tags beside those of the cache.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> CallOptions {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    pub(crate) fn check(self) -> Result<CallOptions> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }
}
