//! The options of a function or cache, and the order in which their levels are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use retainit_plugin::{IntoTtl, Settings, Ttl};

use crate::overrides::Overrides;
use crate::{Error, ErrorKind, Result};

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
    /// The serializer's name; `None` leaves the choice to the value's type.
    pub(crate) serializer: Option<&'static str>,
    /// The fraction of hits on which the function runs too.
    pub(crate) verify: Option<f64>,
    /// Calls run as if there were no cache.
    pub(crate) disabled: Option<bool>,
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
    pub(crate) serializer: Option<&'static str>,
    pub(crate) verify: f64,
    pub(crate) disabled: bool,
    /// The longest that anything is fresh, whoever says otherwise.
    pub(crate) max_ttl: Option<Ttl>,
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
        serializer: None,
        verify: None,
        disabled: None,
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
            serializer: self.serializer.or(below.serializer),
            verify: self.verify.or(below.verify),
            disabled: self.disabled.or(below.disabled),
        }
    }

    /// Leaves to a backend what it says too, where `is_below` says that these options stand below it.
    pub(crate) fn yield_to(&mut self, backend: &Options, is_below: impl Fn(&str) -> bool) {
        if backend.ttl.is_some() && is_below("ttl") {
            self.ttl = None;
        }
        if backend.jitter.is_some() && is_below("jitter") {
            self.jitter = None;
        }
        if backend.serializer.is_some() && is_below("serializer") {
            self.serializer = None;
        }
    }

    /// The options that both say, and not the same.
    pub(crate) fn differences(&self, other: &Options) -> Vec<&'static str> {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            matches!((one, other), (Some(one), Some(other)) if one != other)
        }
        let all = [
            ("ttl", differ(self.ttl, other.ttl)),
            ("none_ttl", differ(self.none_ttl, other.none_ttl)),
            ("err_ttl", differ(self.err_ttl, other.err_ttl)),
            ("jitter", differ(self.jitter, other.jitter)),
            ("max_load_time", differ(self.max_load_time, other.max_load_time)),
            ("single_flight", differ(self.single_flight, other.single_flight)),
            ("serializer", differ(self.serializer, other.serializer)),
            ("verify", differ(self.verify, other.verify)),
            ("disabled", differ(self.disabled, other.disabled)),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
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
            serializer: self.serializer.filter(|name| *name != AUTO),
            verify: self.verify.unwrap_or(0.0),
            disabled: self.disabled.unwrap_or(false),
            max_ttl: None,
        }
    }
}

impl From<Settings> for Options {
    fn from(settings: Settings) -> Options {
        let serializer = settings.serializer.as_deref().map(intern);
        Options { ttl: settings.ttl, jitter: settings.jitter, idle: settings.idle, serializer, ..Options::NONE }
    }
}

impl From<&Overrides> for Options {
    fn from(overrides: &Overrides) -> Options {
        Options {
            ttl: overrides.ttl,
            none_ttl: overrides.none_ttl,
            err_ttl: overrides.err_ttl,
            jitter: overrides.jitter,
            disabled: overrides.disabled,
            ..Options::NONE
        }
    }
}

/// The serializer that the value's type chooses.
pub(crate) const AUTO: &str = "auto";

/// The one copy of a name that is kept for good, so that options stay `Copy`. The names of serializers are few.
pub(crate) fn intern(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}

/// The serializer that a text such as `"json"` or `"json+zstd"` names.
///
/// # Errors
///
/// [`ErrorKind::Config`] for an empty part, and for a compression or an encryption behind the serializer.
pub(crate) fn serializer_of(codec: &str) -> Result<&'static str> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Config, format!("codec `{codec}`: {why}")));
    let mut parts = codec.split('+').map(str::trim);
    let serializer = parts.next().unwrap_or_default();
    if serializer.is_empty() || parts.clone().any(str::is_empty) {
        return refuse("expected the name of a serializer, such as \"json\"".into());
    }
    match parts.next() {
        Some(other) => refuse(format!(
            "`{other}`, a compression or an encryption, is not supported yet: name the serializer alone, as in \
             \"{serializer}\""
        )),
        None => Ok(intern(serializer)),
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

    /// Tags beside those of the cache; an entry has at most 254.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let (one, other) = (intern("json"), intern(&String::from("json")));
        assert!(std::ptr::eq(one, other));
    }

    #[test]
    fn a_codec_is_read_part_by_part() {
        assert_eq!(serializer_of("json").unwrap(), "json");
        let text = |codec| serializer_of(codec).unwrap_err().to_string();
        assert!(text("json+zstd").contains("`zstd`, a compression or an encryption, is not supported yet"));
        for broken in ["", "json+", "+zstd", "json++aes-gcm"] {
            assert!(text(broken).contains("expected the name of a serializer"), "{broken}");
        }
    }
}
