use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use retainit_plugin::{BackendConfig, Built, Context, Error, ErrorKind, Field, IntoTtl, Result, Settings, Ttl};

use crate::backend::MemoryBackend;
use crate::clock_pro::ClockPro;
use crate::lru::Lru;
use crate::totals::Bounds;

const MAX_ENTRIES: usize = 10_000;

/// Which entry goes first when the backend is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The one least likely to be asked for again, by CLOCK-Pro with ghosts (Jiang et al., USENIX 2005) as
    /// quick_cache has it. Hits of several threads hardly meet.
    #[default]
    Default,
    /// Exactly the least recently used one: reads count as use, peeks do not. Every call takes one lock.
    Lru,
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Policy> {
        match text {
            "default" => Ok(Policy::Default),
            "lru" => Ok(Policy::Lru),
            _ => {
                Err(Error::new(ErrorKind::Config, format!("unknown policy `{text}`: expected \"default\" or \"lru\"")))
            }
        }
    }
}

impl TryFrom<&str> for Policy {
    type Error = Error;

    fn try_from(text: &str) -> Result<Policy> {
        text.parse()
    }
}

/// A field that was set; the text says why it cannot be used.
type Set<T> = Option<Result<T, String>>;

/// The configuration of a memory backend.
///
/// Both bounds hold at every moment. Setters never fail: [`build`](BackendConfig::build) reports every problem at
/// once.
///
/// ```
/// use retainit_memory::MemoryConfig;
///
/// let config = MemoryConfig::new().max_entries(50_000).max_bytes(64 << 20).ttl("5m").policy("lru");
/// # use retainit_plugin::BackendConfig;
/// # assert!(config.settings().ttl.is_some());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemoryConfig {
    max_entries: Option<usize>,
    max_bytes: Option<u64>,
    ttl: Set<Ttl>,
    jitter: Option<f64>,
    max_idle: Set<Ttl>,
    policy: Set<Policy>,
    strict: Option<bool>,
}

impl MemoryConfig {
    /// Every field at its default.
    pub fn new() -> MemoryConfig {
        MemoryConfig::default()
    }

    /// The most entries it holds, at least 1. Default 10 000, also where `max_bytes` is set.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> MemoryConfig {
        self.max_entries = Some(entries);
        self
    }

    /// Another name for [`max_entries`](MemoryConfig::max_entries).
    #[must_use]
    pub fn max_size(self, entries: usize) -> MemoryConfig {
        self.max_entries(entries)
    }

    /// The most bytes its values weigh together, at least 1. Default: not counted.
    ///
    /// Weights are those of `Weigh`, or of the serialized form; the cost of the entries themselves (100 to 210
    /// bytes each) comes on top. The default policy works in shards of at least 4 MiB, and an entry heavier than 97 % of a
    /// shard's share is not kept: it is told as evicted. `lru` and `strict` keep whatever weighs at most `max_bytes`.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> MemoryConfig {
        self.max_bytes = Some(bytes);
        self
    }

    /// How long results are fresh: `"5m"`, seconds, a `Duration` or a `Ttl`. Default: functions decide.
    #[must_use]
    pub fn ttl(mut self, ttl: impl IntoTtl) -> MemoryConfig {
        self.ttl = Some(ttl.into_ttl().map_err(|error| error.to_string()));
        self
    }

    /// The largest fraction, 0 to 1, by which a ttl is shortened. Default: functions decide.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> MemoryConfig {
        self.jitter = Some(fraction);
        self
    }

    /// After how long without a read a result expires, in the forms of [`ttl`](MemoryConfig::ttl). Default
    /// `"never"`.
    #[must_use]
    pub fn max_idle(mut self, idle: impl IntoTtl) -> MemoryConfig {
        self.max_idle = Some(idle.into_ttl().map_err(|error| error.to_string()));
        self
    }

    /// Which entry goes first: a [`Policy`], `"default"` or `"lru"`. Default `"default"`.
    #[must_use]
    pub fn policy<P>(mut self, policy: P) -> MemoryConfig
    where
        P: TryInto<Policy, Error: fmt::Display>,
    {
        self.policy = Some(policy.try_into().map_err(|error| error.to_string()));
        self
    }

    /// Whether the bounds must also be usable to the last entry and byte. Default `false`.
    ///
    /// Bounds are never passed, but in shards one may be full while another is not, so fewer than `max_entries` may
    /// be there. With `strict` the default policy has a single shard; with `max_bytes` too, the store of `lru` is
    /// used. Both take one lock per change, `lru` also per hit.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> MemoryConfig {
        self.strict = Some(strict);
        self
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        check(self.max_entries == Some(0), "max_entries: expected at least 1, got 0");
        check(self.max_bytes == Some(0), "max_bytes: expected at least 1, got 0");
        let jitter = self.jitter.filter(|jitter| !(0.0..=1.0).contains(jitter));
        if let Some(jitter) = jitter {
            check(true, &format!("jitter: expected a fraction from 0 to 1, got {jitter}"));
        }
        let off = matches!(self.max_idle, Some(Ok(Ttl::Off)));
        check(off, "max_idle: `off` is not an idle time: expected \"10m\" or \"never\"");
        for (field, problem) in
            [("ttl", problem(&self.ttl)), ("max_idle", problem(&self.max_idle)), ("policy", problem(&self.policy))]
        {
            if let Some(problem) = problem {
                check(true, &format!("{field}: {problem}"));
            }
        }
        problems
    }
}

fn problem<T>(field: &Set<T>) -> Option<&str> {
    field.as_ref()?.as_ref().err().map(String::as_str)
}

fn value<T: Copy>(field: &Set<T>) -> Option<T> {
    field.as_ref()?.as_ref().ok().copied()
}

impl BackendConfig for MemoryConfig {
    fn type_name(&self) -> &'static str {
        "memory"
    }

    fn fields() -> &'static [Field] {
        const {
            &[
                Field::new("max_entries").aliases(&["max_size"]),
                Field::new("max_bytes"),
                Field::new("ttl"),
                Field::new("jitter"),
                Field::new("max_idle").aliases(&["idle"]),
                Field::new("policy"),
                Field::new("strict"),
            ]
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = value(&self.ttl);
        settings.jitter = self.jitter;
        settings.idle = match value(&self.max_idle) {
            Some(Ttl::For(idle)) => Some(idle),
            _ => None,
        };
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::new(ErrorKind::Config, problems.join("; ")).context("backend", &*context.name));
        }
        let bounds = Bounds { entries: self.max_entries.unwrap_or(MAX_ENTRIES) as u64, bytes: self.max_bytes };
        let strict = self.strict.unwrap_or(false);
        let policy = value(&self.policy).unwrap_or_default();
        let Context { name, listener, .. } = context;
        Ok(Built::Object(if policy == Policy::Lru || strict && bounds.bytes.is_some() {
            Arc::new(MemoryBackend::new(name, Lru::new(bounds), listener))
        } else {
            Arc::new(MemoryBackend::new(name, ClockPro::new(bounds, strict), listener))
        }))
    }
}

retainit_plugin::register_backend!("memory", MemoryConfig);
