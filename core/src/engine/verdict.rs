//! Judges entries: may one be served, and as what. No other part of the engine interprets the times of an entry, or the
//! invalidation of its groups.
//!
//! Hits, lookups, listings, sweeps, removals and `explain` call this, about entries in memory and about envelopes
//! alike: [`judge`] takes the times of an entry, the invalidations since its load, and the time it is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{CachedEntry, Moment, Strength, TagEpoch};

use super::{EngineContext, Plan};
use crate::meta::Freshness;

/// A clock that is ahead by more than this makes an entry a miss.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// Verdict about the use of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The entry answers lookups and calls.
    Fresh,
    /// The entry may be served at once while it is loaded again.
    Stale,
    /// The entry may replace the result of a failed load.
    Grace,
    /// The entry may not be served.
    Dead(Death),
}

/// Reason why an entry may not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The entry is older than its ttl with all extensions.
    Expired,
    /// The entry was not read for `max_idle`.
    Idle,
    /// A group of the entry was invalidated after its load began.
    Invalidated(GroupKind),
    /// The clock of the writer is ahead of this one.
    FromTheFuture,
}

/// Kind of a group of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Namespace,
    Function,
    Tag,
}

/// An invalidation of one of an entry's groups after its load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalidation {
    pub(crate) strength: Strength,
    pub(crate) group: GroupKind,
}

/// The times of an entry, by the clock that `now` is read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    pub(crate) created: Moment,
    pub(crate) fresh_until: Moment,
    /// Time after freshness in which the entry may be served while it is loaded again.
    pub(crate) stale_for: Duration,
    /// Time after that in which the entry may replace a failed load.
    pub(crate) grace_for: Duration,
    /// Time when the entry has not been read for too long.
    pub(crate) idle_until: Moment,
}

/// Judges an entry at `now`. `epochs` returns the invalidation since its load, and is called only for entries that are
/// in time: the versions of a shared store may cost a read.
pub(crate) fn judge<E>(
    times: &Timeline,
    epochs: impl FnOnce() -> Result<Option<Invalidation>, E>,
    now: Moment,
) -> Result<Verdict, E> {
    let aged = times.at(now);
    if aged.is_dead() {
        return Ok(aged);
    }
    Ok(match epochs()? {
        None => aged,
        Some(Invalidation { strength: Strength::Hard, group }) => Verdict::Dead(Death::Invalidated(group)),
        Some(Invalidation { strength: Strength::Soft, group }) => times.expired_softly(aged, group),
    })
}

impl Verdict {
    pub(crate) fn is_fresh(self) -> bool {
        self == Verdict::Fresh
    }

    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Verdict::Dead(_))
    }
}

impl From<Verdict> for Freshness {
    fn from(verdict: Verdict) -> Freshness {
        match verdict {
            Verdict::Fresh => Freshness::Fresh,
            Verdict::Stale => Freshness::Stale,
            Verdict::Grace => Freshness::Grace,
            Verdict::Dead(_) => Freshness::Expired,
        }
    }
}

impl Timeline {
    /// Returns the times of an entry in memory.
    pub(crate) fn of(cached: &CachedEntry) -> Timeline {
        let extra = cached.extra();
        let idle_until = extra.and_then(|extra| Some(extra.accessed().after(extra.idle?)));
        Timeline {
            // The clock of a process never goes back, so nothing in its memory is from the future.
            created: Moment::from_millis(0),
            fresh_until: cached.fresh_until(),
            stale_for: extra.map_or(Duration::ZERO, |extra| extra.stale_for),
            grace_for: extra.map_or(Duration::ZERO, |extra| extra.grace_for),
            idle_until: idle_until.unwrap_or(Moment::NEVER),
        }
    }

    /// Judges by time alone.
    pub(crate) fn at(&self, now: Moment) -> Verdict {
        let until =
            |added| if self.fresh_until == Moment::NEVER { Moment::NEVER } else { self.fresh_until.after(added) };
        if self.created > now.after(MAX_SKEW) {
            Verdict::Dead(Death::FromTheFuture)
        } else if self.idle_until <= now {
            Verdict::Dead(Death::Idle)
        } else if now < self.fresh_until {
            Verdict::Fresh
        } else if now < until(self.stale_for) {
            Verdict::Stale
        } else if now < until(self.stale_for + self.grace_for) {
            Verdict::Grace
        } else {
            Verdict::Dead(Death::Expired)
        }
    }

    /// Judges an entry in time one of whose groups has expired softly: it counts as past its ttl, whatever is left of
    /// it.
    fn expired_softly(&self, aged: Verdict, group: GroupKind) -> Verdict {
        let was_stale = matches!(aged, Verdict::Fresh | Verdict::Stale);
        if was_stale && !self.stale_for.is_zero() {
            Verdict::Stale
        } else if !self.grace_for.is_zero() {
            Verdict::Grace
        } else {
            Verdict::Dead(Death::Invalidated(group))
        }
    }
}

/// The epochs by which this process judges the entries of one function in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs<'a> {
    now: u64,
    namespace: &'a TagEpoch,
    function: &'a TagEpoch,
}

impl<'a> Epochs<'a> {
    pub(crate) fn new(instance: &'a EngineContext, function: &'a TagEpoch) -> Epochs<'a> {
        // Read before any tag epoch: an invalidation in between has a higher epoch, so that an entry that is confirmed
        // for this one is judged again.
        let now = instance.epoch().now();
        Epochs { now, namespace: instance.namespace_epoch(), function }
    }

    /// Returns the invalidation after `epoch`, a hard one before soft ones.
    pub(crate) fn invalidation(&self, epoch: u64, tags: &[Arc<TagEpoch>]) -> Option<Invalidation> {
        let tags = || tags.iter().map(|tag| (GroupKind::Tag, &**tag));
        let groups = || [(GroupKind::Namespace, self.namespace), (GroupKind::Function, self.function)].into_iter();
        [Strength::Hard, Strength::Soft].into_iter().find_map(|strength| {
            let raised = groups().chain(tags()).find(|(_, tag_epoch)| tag_epoch.epoch(strength) > epoch);
            raised.map(|(group, _)| Invalidation { strength, group })
        })
    }

    pub(crate) fn judge(&self, cached: &CachedEntry, now: Moment) -> Verdict {
        let epoch = cached.epoch();
        let tags = || cached.extra().map_or(&[][..], |extra| &extra.tags);
        // Without any invalidation since, the tag epochs need not be read, which are scattered in memory.
        let invalidation = || if epoch == self.now { None } else { self.invalidation(epoch, tags()) };
        let Ok(verdict) = judge(&Timeline::of(cached), || Ok::<_, Infallible>(invalidation()), now);
        verdict
    }
}

impl Plan {
    /// Returns whether an entry in memory answers a call, and counts that as a use.
    #[inline(always)]
    pub(crate) fn is_fresh(&self, cached: &CachedEntry) -> bool {
        // Nearly every hit ends here, and pays one comparison with the clock and one with the instance's epoch for ttl
        // and all invalidation together. This part of the timeline is repeated so that the rest can stay out of line.
        let is_in_time = cached.fresh_until() == Moment::NEVER || cached.fresh_until() > self.now();
        (is_in_time && cached.epoch() == self.instance.epoch().now() && !self.touches) || self.use_if_fresh(cached)
    }

    #[cold]
    #[inline(never)]
    fn use_if_fresh(&self, cached: &CachedEntry) -> bool {
        let is_fresh = self.judge(cached).is_fresh();
        if is_fresh && self.touches {
            cached.touch(self.now());
        }
        is_fresh
    }

    /// Judges an entry in memory, which does not count as a use.
    pub(crate) fn judge(&self, cached: &CachedEntry) -> Verdict {
        let epochs = self.epochs();
        let verdict = epochs.judge(cached, self.now());
        if verdict.is_fresh() {
            // The next hit has to compare one number only, until something is invalidated again.
            cached.confirm(epochs.now);
        }
        verdict
    }

    /// Returns true if a load that began at `epoch` was not invalidated since, by these tags or a wider group.
    pub(crate) fn valid_since(&self, epoch: u64, tags: &[Arc<TagEpoch>]) -> bool {
        self.epochs().invalidation(epoch, tags).is_none()
    }

    fn epochs(&self) -> Epochs<'_> {
        Epochs::new(&self.instance, &self.function.tag_epoch)
    }
}

#[cfg(test)]
mod tests {
    use retainit_plugin::{EntryMeta, EntryTimes};

    use super::*;

    const NEVER: Moment = Moment::NEVER;
    const EXPIRED: Verdict = Verdict::Dead(Death::Expired);
    const TAG: Verdict = Verdict::Dead(Death::Invalidated(GroupKind::Tag));

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn times(fresh_until: Moment, stale: u64, grace: u64) -> Timeline {
        let (stale_for, grace_for) = (Duration::from_millis(stale), Duration::from_millis(grace));
        Timeline { created: at(1_000), fresh_until, stale_for, grace_for, idle_until: NEVER }
    }

    fn judged(times: Timeline, invalidated: Option<Strength>, now: u64) -> Verdict {
        let invalidation = invalidated.map(|strength| Invalidation { strength, group: GroupKind::Tag });
        let Ok(verdict) = judge(&times, || Ok::<_, Infallible>(invalidation), at(now));
        verdict
    }

    // The life of an entry: fresh, stale, grace, gone; softly expired, it is stale or in grace where it may be that at
    // all; invalidated, it is gone.
    #[test]
    fn a_verdict_follows_from_times_epochs_and_now() {
        use Verdict::{Fresh, Grace, Stale};
        let plain = times(at(2_000), 0, 0);
        let stale = times(at(2_000), 100, 0);
        let grace = times(at(2_000), 0, 100);
        let both = times(at(2_000), 100, 100);
        let forever = times(NEVER, 100, 100);
        for (times, now, untouched, soft) in [
            (plain, 1_000, Fresh, TAG),
            (plain, 1_999, Fresh, TAG),
            (plain, 2_000, EXPIRED, EXPIRED),
            (stale, 1_999, Fresh, Stale),
            (stale, 2_000, Stale, Stale),
            (stale, 2_099, Stale, Stale),
            (stale, 2_100, EXPIRED, EXPIRED),
            (grace, 1_999, Fresh, Grace),
            (grace, 2_000, Grace, Grace),
            (grace, 2_100, EXPIRED, EXPIRED),
            (both, 1_999, Fresh, Stale),
            (both, 2_099, Stale, Stale),
            (both, 2_100, Grace, Grace),
            (both, 2_199, Grace, Grace),
            (both, 2_200, EXPIRED, EXPIRED),
            (forever, u64::MAX - 2, Fresh, Stale),
            (times(NEVER, 0, 0), 1_000, Fresh, TAG),
        ] {
            let hard = if untouched.is_dead() { untouched } else { TAG };
            for (invalidated, expected) in
                [(None, untouched), (Some(Strength::Soft), soft), (Some(Strength::Hard), hard)]
            {
                assert_eq!(judged(times, invalidated, now), expected, "{times:?} at {now}, {invalidated:?}");
            }
        }
    }

    #[test]
    fn an_entry_may_be_idle_or_from_the_future() {
        let idle = Timeline { idle_until: at(1_500), ..times(NEVER, 0, 0) };
        assert_eq!(judged(idle, None, 1_499), Verdict::Fresh);
        assert_eq!(judged(idle, None, 1_500), Verdict::Dead(Death::Idle));
        let ahead = Timeline { created: at(9_000), ..times(NEVER, 0, 0) };
        assert_eq!(judged(ahead, None, 4_000), Verdict::Fresh, "within the skew that is allowed");
        assert_eq!(judged(ahead, None, 3_999), Verdict::Dead(Death::FromTheFuture));
    }

    #[test]
    fn versions_of_an_entry_that_is_past_its_time_are_not_asked_for() {
        let unknown = || Err("they are not at hand");
        assert_eq!(judge(&times(at(2_000), 0, 0), unknown, at(2_000)), Ok(EXPIRED));
        assert_eq!(judge(&times(at(2_000), 0, 0), unknown, at(1_999)), Err("they are not at hand"));
    }

    // Backends sweep by `discard_at`: it is the moment at which the verdict becomes `Dead`.
    #[test]
    fn an_entry_is_dead_from_when_it_may_be_discarded() {
        let millis = Duration::from_millis;
        for (stale, grace, idle) in [(0, 0, None), (10, 0, None), (0, 5, None), (10, 5, None), (10, 5, Some(400))] {
            let mut extra = EntryMeta::default();
            (extra.stale_for, extra.grace_for, extra.idle) = (millis(stale), millis(grace), idle.map(millis));
            let (created, fresh_until, load_time) = (at(1_000), at(2_000), Duration::ZERO);
            let cached =
                CachedEntry::new(1u8, EntryTimes { epoch: 1, created, fresh_until, load_time, extra: Some(extra) });
            let end = cached.discard_at().as_millis();
            assert!(!Timeline::of(&cached).at(at(end - 1)).is_dead());
            assert!(Timeline::of(&cached).at(at(end)).is_dead());
        }
    }

    #[test]
    fn a_hard_invalidation_comes_before_soft_ones() {
        let (namespace, function, tag) = (TagEpoch::new(), TagEpoch::new(), Arc::new(TagEpoch::new()));
        let tags = [Arc::clone(&tag)];
        let of = |epoch| Epochs { now: 9, namespace: &namespace, function: &function }.invalidation(epoch, &tags);
        assert_eq!(of(0), None);
        namespace.raise(Strength::Soft, 7);
        function.raise(Strength::Soft, 6);
        tag.raise(Strength::Hard, 5);
        let found = |strength, group| Some(Invalidation { strength, group });
        assert_eq!(of(4), found(Strength::Hard, GroupKind::Tag));
        assert_eq!(of(5), found(Strength::Soft, GroupKind::Namespace));
        assert_eq!(of(7), None);
    }
}
