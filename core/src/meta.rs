use std::time::{Duration, SystemTime};

use retainit_plugin::{Kept, Moment};

use crate::engine::Plan;

/// Where an entry stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// Within its ttl.
    Fresh,
    /// Past its ttl, and served at once while it is loaded again.
    Stale,
    /// Past that, and served because the load failed.
    Grace,
    /// Past every use; only `entry` shows it.
    Expired,
}

/// What is known of an entry, as of the moment it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Where it stands.
    pub freshness: Freshness,
    /// When it was stored.
    pub created_at: SystemTime,
    /// When it stops being fresh; `None` for never.
    pub fresh_until: Option<SystemTime>,
    /// How long its load took.
    pub load_time: Duration,
    age: Duration,
    ttl: Option<Duration>,
}

impl Meta {
    /// Whether it is within its ttl.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// How long it has been stored.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How much of its ttl is left: `None` for one that never expires, zero for one that has.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    pub(crate) fn of(kept: &Kept, plan: &Plan) -> Meta {
        let now = plan.now();
        let fresh_for = match kept.fresh_until() {
            Moment::NEVER => None,
            until => Some(until.since(kept.created())),
        };
        Meta::new(plan.instance.clock().wall(), now.since(kept.created()), fresh_for, kept.load_time())
    }

    pub(crate) fn new(now: SystemTime, age: Duration, fresh_for: Option<Duration>, load_time: Duration) -> Meta {
        let created_at = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_fresh = fresh_for.is_none_or(|fresh_for| age < fresh_for);
        Meta {
            freshness: if is_fresh { Freshness::Fresh } else { Freshness::Expired },
            created_at,
            fresh_until: fresh_for.and_then(|fresh_for| created_at.checked_add(fresh_for)),
            load_time,
            age,
            ttl: fresh_for.map(|fresh_for| fresh_for.saturating_sub(age)),
        }
    }
}

/// The answer of a look into the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// Nothing that may be used.
    Miss,
    /// Something is there. A stored `None` is a hit too.
    Hit {
        /// What was stored.
        value: V,
        /// What is known of it.
        meta: Meta,
    },
}

impl<V> Lookup<V> {
    /// Whether something is there.
    pub fn is_hit(&self) -> bool {
        matches!(self, Lookup::Hit { .. })
    }

    /// Whether nothing is there.
    pub fn is_miss(&self) -> bool {
        matches!(self, Lookup::Miss)
    }

    /// The value, if there is one.
    pub fn value(self) -> Option<V> {
        match self {
            Lookup::Hit { value, .. } => Some(value),
            Lookup::Miss => None,
        }
    }

    /// What is known of the entry, if there is one.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Lookup::Hit { meta, .. } => Some(meta),
            Lookup::Miss => None,
        }
    }
}

/// An entry as it lies in the store, whether or not it may still be served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<V> {
    /// What was stored.
    pub value: V,
    /// What is known of it.
    pub meta: Meta,
}

impl<V> Entry<V> {
    /// Whether it is within its ttl.
    pub fn is_fresh(&self) -> bool {
        self.meta.is_fresh()
    }

    /// How long it has been stored.
    pub fn age(&self) -> Duration {
        self.meta.age()
    }
}

/// How many entries a clear has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evicted {
    /// Exactly so many.
    Exact(u64),
    /// The store keeps no index to count with. They are gone all the same.
    Unknown,
}

impl Evicted {
    /// The count, if it is known.
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
