use std::time::{Duration, SystemTime};

/// State of an entry with regard to its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// Within its ttl.
    Fresh,
    /// Past its ttl, and served at once while it is loaded again.
    Stale,
    /// Past that, and served because the load failed.
    Grace,
    /// Past every use, or invalidated; only `get_entry` returns it.
    Expired,
}

/// Metadata of an entry at the moment it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// State with regard to its times.
    pub freshness: Freshness,
    /// Time at which it was stored.
    pub created_at: SystemTime,
    /// Time at which it stops being fresh; `None` for never.
    pub fresh_until: Option<SystemTime>,
    /// Duration of its load.
    pub load_time: Duration,
    age: Duration,
    ttl: Option<Duration>,
}

impl Meta {
    /// Returns true if it is within its ttl, and was not invalidated.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// Returns the time since it was stored.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns the rest of its ttl: `None` for an entry that never expires, zero for one that has expired.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    pub(crate) fn new(
        now: SystemTime,
        age: Duration,
        fresh_for: Option<Duration>,
        load_time: Duration,
        freshness: Freshness,
    ) -> Meta {
        let created_at = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        Meta {
            freshness,
            created_at,
            fresh_until: fresh_for.and_then(|fresh_for| created_at.checked_add(fresh_for)),
            load_time,
            age,
            ttl: fresh_for.map(|fresh_for| fresh_for.saturating_sub(age)),
        }
    }
}

/// Result of a look into the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// No usable entry.
    Miss,
    /// An entry was found. A stored `None` is a hit too.
    Hit {
        /// Stored value.
        value: V,
        /// Metadata of the entry.
        meta: Meta,
    },
}

impl<V> Lookup<V> {
    /// Returns true if an entry was found.
    pub fn is_hit(&self) -> bool {
        matches!(self, Lookup::Hit { .. })
    }

    /// Returns true if no entry was found.
    pub fn is_miss(&self) -> bool {
        matches!(self, Lookup::Miss)
    }

    /// Returns the value, if there is one.
    pub fn value(self) -> Option<V> {
        match self {
            Lookup::Hit { value, .. } => Some(value),
            Lookup::Miss => None,
        }
    }

    /// Returns the metadata of the entry, if there is one.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Lookup::Hit { meta, .. } => Some(meta),
            Lookup::Miss => None,
        }
    }
}

/// An entry as it is in the store, even if it may not be served any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<V> {
    /// Stored value.
    pub value: V,
    /// Metadata of the entry.
    pub meta: Meta,
}

impl<V> Entry<V> {
    /// Returns true if it is within its ttl, and was not invalidated.
    pub fn is_fresh(&self) -> bool {
        self.meta.is_fresh()
    }

    /// Returns the time since it was stored.
    pub fn age(&self) -> Duration {
        self.meta.age()
    }
}

/// Number of entries that an operation has removed, for whatever reason it removes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evicted {
    /// Exact number of entries.
    Exact(u64),
    /// Unknown number: the store has no index to count with. The entries are removed all the same.
    Unknown,
}

impl Evicted {
    /// Returns the number, if it is known.
    pub fn count(self) -> Option<u64> {
        match self {
            Evicted::Exact(n) => Some(n),
            Evicted::Unknown => None,
        }
    }

    pub(crate) fn and(self, other: Evicted) -> Evicted {
        match (self, other) {
            (Evicted::Exact(a), Evicted::Exact(b)) => Evicted::Exact(a + b),
            _ => Evicted::Unknown,
        }
    }
}
