//! Judges entries of byte stores by the times and versions in their envelopes.

use std::sync::Arc;
use std::time::SystemTime;

use retainit_plugin::{Clock, GroupNames, GroupVersion, KnownVersions, Liveness, LivenessCheck, Snapshot, Strength};
use smallvec::SmallVec;

use super::look::Unread;
use crate::engine::EngineContext;
use crate::engine::envelope::{Envelope, damaged, wall_moment};
use crate::engine::groups::{Group, Groups, kind_of};
use crate::engine::verdict::{Invalidation, Verdict, judge};

/// Checks entries by their envelopes. An entry that this program cannot read may not be served.
#[derive(Clone, Debug)]
pub(crate) struct ByEnvelope {
    clock: Arc<dyn Clock>,
    max_value: u64,
    likely: Groups,
}

impl ByEnvelope {
    pub(crate) fn new(instance: &EngineContext, likely: &Groups) -> ByEnvelope {
        ByEnvelope { clock: Arc::clone(instance.clock()), max_value: instance.max_value(), likely: likely.clone() }
    }
}

impl LivenessCheck for ByEnvelope {
    fn likely(&self) -> GroupNames<'_> {
        self.likely.names()
    }

    fn check(&self, found: &Snapshot, versions: &[KnownVersions<'_>]) -> Liveness {
        let Some(bytes) = &found.entry else { return Liveness::Dead };
        let Ok(envelope) = Envelope::decode(bytes, found.verified, self.max_value) else { return Liveness::Dead };
        match judge_envelope(&envelope, versions, self.clock.wall()) {
            Ok(Verdict::Fresh) => Liveness::Live,
            Ok(_) | Err(Unread::Fault(_)) => Liveness::Dead,
            Err(Unread::Asks(groups)) => Liveness::Asks(groups.names().into_iter().map(str::to_owned).collect()),
        }
    }
}

/// Judges an entry by its envelope.
///
/// # Errors
///
/// [`Unread::Asks`] for versions that are not among those known.
pub(super) fn judge_envelope(
    envelope: &Envelope<'_>,
    versions: &[KnownVersions<'_>],
    wall: SystemTime,
) -> Result<Verdict, Unread> {
    judge(&envelope.timeline(), || invalidation(envelope, versions), wall_moment(wall))
}

/// Returns the invalidation of an entry's groups since before its load, a hard one before soft ones.
fn invalidation(envelope: &Envelope<'_>, versions: &[KnownVersions<'_>]) -> Result<Option<Invalidation>, Unread> {
    let mut known: SmallVec<[VersionCursor<'_>; 2]> =
        versions.iter().map(|(groups, versions)| VersionCursor { groups, versions, next: 0 }).collect();
    let (mut unknown, mut soft) = (Vec::new(), None);
    for (name, version) in &envelope.groups {
        let current = match known.iter_mut().find_map(|known| known.next(name)) {
            None => known.iter().find_map(|known| known.of(name)),
            current => current,
        };
        let invalidation = |strength| Invalidation { strength, group: kind_of(name) };
        match current {
            Some(Some(current)) if current == version => {}
            Some(Some(current)) if current.hard == version.hard => soft = soft.or(Some(invalidation(Strength::Soft))),
            // A missing version matches nothing: a store that loses state causes misses, not stale hits.
            Some(_) => return Ok(Some(invalidation(Strength::Hard))),
            None => {
                let name = std::str::from_utf8(name).map_err(|_| damaged("a group has a name that is not UTF-8"))?;
                unknown.push(Group::new(name));
            }
        }
    }
    // An unknown version may mean a hard invalidation.
    if unknown.is_empty() { Ok(soft) } else { Err(Unread::Asks(unknown.into_iter().collect())) }
}

/// Searches current versions of groups. Entries mostly name groups in this order, so that each search begins behind the
/// last hit: a header with many groups costs no more comparisons than it has groups.
struct VersionCursor<'a> {
    groups: &'a [&'a str],
    versions: &'a [Option<GroupVersion>],
    next: usize,
}

impl<'a> VersionCursor<'a> {
    /// Returns the version of the group after the last one found, if that has this name.
    fn next(&mut self, name: &[u8]) -> Option<Option<&'a GroupVersion>> {
        let found = self.groups.get(self.next)?.as_bytes() == name;
        self.next += usize::from(found);
        found.then(|| self.version(self.next - 1))
    }

    /// Returns the version of a group at any position.
    fn of(&self, name: &[u8]) -> Option<Option<&'a GroupVersion>> {
        let at = self.groups.iter().position(|group| group.as_bytes() == name)?;
        Some(self.version(at))
    }

    fn version(&self, at: usize) -> Option<&'a GroupVersion> {
        self.versions.get(at).and_then(Option::as_ref)
    }
}
