use std::fmt;

use crate::engine::{Plan, plan::Bypass};
use crate::key::KeyBuf;
use crate::meta::Meta;

/// Why a lookup hits or misses, and which options hold. `Display` tells it to people.
#[derive(Clone, Debug)]
pub struct Explain {
    function: String,
    key: String,
    backend: String,
    options: String,
    reason: Reason,
}

/// Why a lookup hits or misses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Hit: within its ttl.
    Fresh(Meta),
    /// Miss for handles, an answer for calls: the function's error is kept under `err_ttl`.
    StoredError,
    /// Miss: never stored, removed, or evicted.
    Absent,
    /// Miss: past its ttl.
    Expired(Meta),
    /// Miss: loaded before an invalidation.
    Invalidated(&'static str),
    /// Miss: an override disables the cache here.
    Disabled,
    /// Miss: something about the function's options cannot be used.
    Broken(String),
    /// Miss: the instance was closed.
    Closed,
}

impl Explain {
    pub(crate) fn new(plan: &Plan, key: &KeyBuf, reason: Reason) -> Explain {
        let options = &plan.options;
        let or_off = |ttl: Option<retainit_plugin::Ttl>| ttl.map_or("not stored".to_owned(), |ttl| ttl.to_string());
        Explain {
            function: plan.function.id.clone(),
            key: key.text(),
            backend: match &plan.bypass {
                Some(Bypass::Broken(_)) => "none".to_owned(),
                _ => format!("{} ({})", plan.store.name, plan.store.type_name),
            },
            options: format!(
                "ttl {}, none {}, errors {}, jitter {}, single-flight {}, max load time {:?}",
                options.ttl,
                or_off(options.none_ttl),
                or_off(options.err_ttl),
                options.jitter,
                if options.single_flight { "local" } else { "off" },
                options.max_load_time,
            ),
            reason,
        }
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether a lookup hits.
    pub fn is_hit(&self) -> bool {
        matches!(self.reason, Reason::Fresh(_))
    }

    /// The key as `keys()` shows it.
    pub fn key(&self) -> String {
        format!("{}:{}", self.function, self.key)
    }

    /// The backend's name and type.
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
            Reason::Absent => f.write_str("miss: absent; never stored, removed or evicted"),
            Reason::Expired(meta) => write!(f, "miss: expired, {:?} old", meta.age()),
            Reason::Invalidated(what) => write!(f, "miss: invalidated, {what}"),
            Reason::Disabled => f.write_str("miss: an override disables the cache here"),
            Reason::Broken(why) => write!(f, "miss: calls run uncached, {why}"),
            Reason::Closed => f.write_str("miss: the instance is closed"),
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        writeln!(f, "  key      {}", self.key())?;
        writeln!(f, "  backend  {}", self.backend)?;
        write!(f, "  options  {}", self.options)
    }
}
