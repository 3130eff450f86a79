use std::fmt;

use crate::engine::{Death, GroupKind, Plan, Verdict, plan::Bypass};
use crate::instance::{Explained, options};
use crate::key::KeyBuf;
use crate::meta::Meta;
use crate::stats::Stats;

/// Explanation of a lookup: hit or miss with the reason, and the effective options. `Display` writes it as text.
#[derive(Clone, Debug)]
pub struct Explain {
    function: String,
    key: String,
    backend: String,
    options: Vec<Explained>,
    reason: Reason,
    stats: Stats,
}

/// Reason why a lookup hits or misses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Hit: within its ttl.
    Fresh(Meta),
    /// Miss for handles, an answer for calls: the function's error is stored under `err_ttl`.
    StoredError,
    /// Miss: there is no entry. It was not stored yet, removed or evicted; `Display` adds the counters that show which.
    Absent,
    /// Miss: there is an entry that this program cannot use.
    Unreadable(String),
    /// Miss: past its ttl.
    Expired(Meta),
    /// Miss: not read for the function's `max_idle`.
    Idle(Meta),
    /// Miss: loaded before an invalidation.
    Invalidated(&'static str),
    /// Miss: the function's option `disabled` is on, in a file, an override or the attribute.
    Disabled,
    /// Miss: some option of the function cannot be used.
    Broken(String),
    /// Miss: the instance was closed.
    Closed,
}

impl Reason {
    /// Says why an entry that is there is not served.
    pub(crate) fn unserved(verdict: Verdict, meta: Meta) -> Reason {
        match verdict {
            Verdict::Fresh => Reason::Fresh(meta),
            Verdict::Stale | Verdict::Grace | Verdict::Dead(Death::Expired) => Reason::Expired(meta),
            Verdict::Dead(Death::Idle) => Reason::Idle(meta),
            Verdict::Dead(Death::Invalidated(group)) => Reason::Invalidated(match group {
                GroupKind::Namespace => "the namespace was cleared",
                GroupKind::Function => "the function was cleared",
                GroupKind::Tag => "one of its tags was invalidated",
            }),
            Verdict::Dead(Death::FromTheFuture) => {
                let why = "it was created in the future: the clock that wrote it is ahead of this one";
                Reason::Unreadable(why.to_owned())
            }
        }
    }
}

impl Explain {
    pub(crate) fn new(plan: &Plan, key: &KeyBuf, reason: Reason, stats: Stats) -> Explain {
        Explain {
            function: plan.function.id.clone(),
            key: key.text(),
            backend: match &plan.bypass {
                Some(Bypass::Broken(_)) => "none".to_owned(),
                _ => format!("{} ({})", plan.store.name, plan.store.type_name),
            },
            options: options(plan),
            reason,
            stats,
        }
    }

    /// Returns the reason.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns true if a lookup hits.
    pub fn is_hit(&self) -> bool {
        matches!(self.reason, Reason::Fresh(_))
    }

    /// Returns the key as `keys()` shows it.
    pub fn key(&self) -> String {
        format!("{}:{}", self.function, self.key)
    }

    /// Returns every option with its source.
    pub fn options(&self) -> &[Explained] {
        &self.options
    }

    /// Returns the backend's name and type.
    pub fn backend(&self) -> &str {
        &self.backend
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Fresh(meta) => match meta.ttl() {
                Some(left) => write!(f, "hit: fresh, {:?} old, {left:?} left", meta.age()),
                None => write!(f, "hit: fresh, {:?} old, never expires", meta.age()),
            },
            Reason::StoredError => {
                f.write_str("miss: an error is kept for this key (err_ttl); calls are answered with it")
            }
            Reason::Absent => f.write_str("miss: is not there: not stored yet, removed or evicted"),
            Reason::Unreadable(why) => write!(f, "miss: an entry is there and cannot be used, {why}"),
            Reason::Expired(meta) => write!(f, "miss: expired, {:?} old", meta.age()),
            Reason::Idle(meta) => write!(f, "miss: not read for too long, {:?} old", meta.age()),
            Reason::Invalidated(what) => write!(f, "miss: invalidated, {what}"),
            Reason::Disabled => f.write_str("miss: the cache is off here, by the option `disabled`"),
            Reason::Broken(why) => write!(f, "miss: calls run uncached, {why}"),
            Reason::Closed => f.write_str("miss: the instance is closed"),
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        if self.reason == Reason::Absent {
            let Stats { loads, evictions, errors, uncached, .. } = self.stats;
            writeln!(
                f,
                "  so far   {loads} loads of any key by this process, {evictions} evictions, {errors} failed operations, \
                 {uncached} uncached calls"
            )?;
        }
        writeln!(f, "  key      {}", self.key())?;
        writeln!(f, "  backend  {}", self.backend)?;
        f.write_str("  options")?;
        self.options.iter().try_for_each(|option| write!(f, "\n    {option}"))
    }
}
