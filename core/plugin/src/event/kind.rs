use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident $name:literal,)*) => {
        /// Kind of an event. Prints and parses the names with underscores, such as `cache_hit`.
        ///
        /// ```
        /// # mod retainit { pub use retainit_plugin as plugin; }
        /// use retainit::plugin::EventKind;
        ///
        /// assert_eq!(EventKind::CacheHit.to_string(), "cache_hit");
        /// assert_eq!("cache_miss".parse::<EventKind>()?, EventKind::CacheMiss);
        /// # Ok::<_, retainit_plugin::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$kind),*];

            /// Returns its name: `cache_hit`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A call or lookup was answered from the cache. Its duration is the lookup's.
    CacheHit "cache_hit",
    /// A call or lookup found nothing it could use.
    CacheMiss "cache_miss",
    /// A value was stored.
    CacheSet "cache_set",
    /// A key that was there was removed.
    CacheDelete "cache_delete",
    /// A function, the namespace, a tag or what matches a pattern was cleared or invalidated; `operation()` names it.
    CacheClear "cache_clear",
    /// A cache operation failed. The call was answered all the same.
    CacheError "cache_error",
    /// An entry left because its backend was full.
    CacheEvict "cache_evict",
    /// The function itself begins to run. It ends with one `function_call_end` or one `function_error`.
    FunctionCallStart "function_call_start",
    /// The function has run: its duration is the event's. `error()` is `cancelled` if its caller went away meanwhile.
    FunctionCallEnd "function_call_end",
    /// The function returned an error or panicked. The event has the duration of the run.
    FunctionError "function_error",
    /// A backend was built. A later subscriber receives this event for the backends that are there already.
    BackendInit "backend_init",
    /// A backend was closed.
    BackendClose "backend_close",
    /// The circuit breaker of a backend changed its state: `operation()` is the new one, `closed`, `open` or `half_open`,
    /// `detail()` both, `error()` what opened it.
    BreakerChange "breaker_change",
    /// The backplane was lost or came back. Nothing emits it yet: there is no backplane.
    BackplaneChange "backplane_change",
    /// A backend has filled to nine tenths.
    NearCapacity "near_capacity",
    /// The function returned another value than the cache.
    VerifyMismatch "verify_mismatch",
    /// A subscriber's queue was full; `count()` events were not delivered to it.
    EventsDropped "events_dropped",
    /// A possible attack: a damaged or oversized entry.
    Security "security",
    /// The configuration was loaded, reloaded or changed by code.
    ConfigChange "config_change",
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<EventKind, Error> {
        EventKind::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
            Error::new(ErrorKind::Config, format!("no event is called `{text}`; there are: {}", names.join(", ")))
        })
    }
}

/// A set of kinds. Where one is taken, a single kind, an array or a slice will do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EventKinds(u32);

impl EventKinds {
    /// The empty set.
    pub const NONE: EventKinds = EventKinds(0);

    /// Every kind.
    pub const ALL: EventKinds = EventKinds((1 << EventKind::ALL.len()) - 1);

    /// Returns whether `kind` is in the set.
    #[inline]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, others: EventKinds) -> EventKinds {
        EventKinds(self.0 | others.0)
    }

    /// Returns the kinds that are not in `others`.
    #[must_use]
    pub const fn without(self, others: EventKinds) -> EventKinds {
        EventKinds(self.0 & !others.0)
    }

    /// Returns the kinds, in their order.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }

    /// Returns a number with a bit for each kind; its meaning is valid in this process only.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Restores a set from its [`bits`](EventKinds::bits).
    pub const fn from_bits(bits: u32) -> EventKinds {
        EventKinds(bits & EventKinds::ALL.0)
    }
}

impl fmt::Debug for EventKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(EventKind::as_str)).finish()
    }
}

impl FromIterator<EventKind> for EventKinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> EventKinds {
        EventKinds(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u32))
    }
}

impl From<EventKind> for EventKinds {
    fn from(kind: EventKind) -> EventKinds {
        [kind].into()
    }
}

impl<const N: usize> From<[EventKind; N]> for EventKinds {
    fn from(kinds: [EventKind; N]) -> EventKinds {
        kinds.into_iter().collect()
    }
}

impl From<Vec<EventKind>> for EventKinds {
    fn from(kinds: Vec<EventKind>) -> EventKinds {
        kinds.into_iter().collect()
    }
}

impl From<&[EventKind]> for EventKinds {
    fn from(kinds: &[EventKind]) -> EventKinds {
        kinds.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T-01, T-02, T-03
    #[test]
    fn names_come_back_and_a_wrong_one_is_answered_with_the_right_ones() {
        for kind in EventKind::ALL {
            assert_eq!(kind.to_string().parse::<EventKind>().expect("its own name"), *kind);
        }
        assert_eq!(format!("{:>11}", EventKind::CacheHit), "  cache_hit");
        let error = "CACHE_HITS".parse::<EventKind>().expect_err("no such kind").to_string();
        assert!(error.contains("`CACHE_HITS`") && error.contains("cache_hit, cache_miss"), "{error}");
    }

    #[test]
    fn sets_of_kinds() {
        let some = EventKinds::from([EventKind::CacheHit, EventKind::ConfigChange]);
        assert!(some.contains(EventKind::CacheHit) && !some.contains(EventKind::CacheMiss));
        assert_eq!(some.iter().collect::<Vec<_>>(), [EventKind::CacheHit, EventKind::ConfigChange]);
        assert_eq!(EventKinds::ALL.iter().count(), EventKind::ALL.len());
        assert_eq!(EventKinds::ALL.without(some).with(some), EventKinds::ALL);
        assert!(some.without(EventKind::ALL.into()).is_empty());
        assert_eq!(EventKinds::from_bits(some.bits()), some);
        assert_eq!(format!("{some:?}"), r#"{"cache_hit", "config_change"}"#);
    }
}
