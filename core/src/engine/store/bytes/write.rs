//! Stores in a byte store: makes a draft of the value, and sends it under the versions of its groups.

use std::time::{Duration, SystemTime};

use retainit_plugin::{Bytes, Error, ErrorKind, GroupVersion, Result, StoreCondition, Stored};

use super::ByteStore;
use crate::engine::envelope::{Envelope, check_groups, too_large};
use crate::engine::flight::TicketFence;
use crate::engine::groups::Groups;
use crate::engine::{Mode, Stock, Write};
use crate::value::Encoded;

impl ByteStore {
    /// Makes the draft of an entry, which is all that needs the value.
    pub(in crate::engine::store) fn draft(
        &self,
        write: &Write<'_>,
        fresh_for: Option<Duration>,
        stock: &mut dyn Stock,
    ) -> Result<Draft> {
        // First, for it costs nothing: a value whose condition cannot hold is not encoded.
        self.when(write)?;
        let plan = write.plan;
        check_groups(write.groups)?;
        let encoded = stock.encode(plan)?;
        let max_value = plan.instance.max_value();
        if encoded.payload.len() as u64 > max_value {
            let error = too_large(encoded.payload.len(), max_value);
            plan.function.security("store", &self.name, &error);
            return Err(error);
        }
        let wall = plan.instance.clock().wall();
        let created = wall.checked_sub(write.age).unwrap_or(wall);
        let (load_time, epoch) = (write.load_time, write.ticket.epoch);
        let (key, args_digest) = plan.logical_key_and_digest(write.key);
        Ok(Draft { encoded, key, created, load_time, fresh_for, epoch, args_digest })
    }

    fn when(&self, write: &Write<'_>) -> Result<StoreCondition> {
        Ok(match (write.mode, &write.ticket.fence) {
            (Mode::Fill | Mode::Replace, Some(TicketFence::Slot(fence))) => StoreCondition::Fenced(**fence),
            (Mode::Absent, _) if !self.capabilities().has_set_if_absent() => {
                return Err(Error::new(ErrorKind::Unsupported, "this backend does not offer `set_if_absent`"));
            }
            (Mode::Absent, _) => StoreCondition::Absent,
            _ => StoreCondition::Always,
        })
    }

    /// Stores a draft. Returns false if its condition did not hold.
    pub(in crate::engine::store) async fn send(&self, write: &Write<'_>, draft: Draft) -> Result<bool> {
        let (key, when) = (draft.key.clone(), self.when(write)?);
        let ttl = draft.fresh_for.map(|fresh_for| fresh_for.saturating_sub(write.age));
        let stored = match write.mode {
            // A loaded value is stored under the versions from before its load: an invalidation meanwhile makes it dead
            // on arrival.
            Mode::Fill | Mode::Replace => {
                let entry = draft.seal(write.groups, &write.ticket.versions)?;
                self.store(write.caller, &key, entry, when, ttl, write.groups).await?
            }
            // A value of the program's is as new as the present versions.
            Mode::Always | Mode::Absent => {
                let groups = write.groups.clone();
                let seal = move |versions: &[Option<GroupVersion>]| draft.seal(&groups, versions);
                self.set(write.caller, &key, seal, when, ttl, write.groups).await?
            }
        };
        Ok(stored == Stored::Yes)
    }
}

/// An entry of a byte store without its versions.
#[derive(Debug)]
pub(crate) struct Draft {
    encoded: Encoded,
    key: String,
    created: SystemTime,
    load_time: Duration,
    fresh_for: Option<Duration>,
    epoch: u64,
    args_digest: Vec<u8>,
}

impl Draft {
    /// Makes the entry. Fails where a group has no version: such an entry could never be served.
    fn seal(&self, groups: &Groups, versions: &[Option<GroupVersion>]) -> Result<Bytes> {
        let Encoded { serializer, fingerprint, option_tag, payload } = &self.encoded;
        let missing = || Error::new(ErrorKind::Backend, "the backend has made no version for a group of the entry");
        let versions = versions.iter().copied().chain(std::iter::repeat(None));
        let versions = groups.iter().zip(versions);
        let groups = versions.map(|(group, version)| Ok((group.as_str().as_bytes(), version.ok_or_else(missing)?)));
        let envelope = Envelope {
            fresh_for: self.fresh_for,
            load_time: self.load_time,
            epoch: self.epoch,
            groups: groups.collect::<Result<_>>()?,
            args_digest: &self.args_digest,
            fingerprint: *fingerprint,
            ..Envelope::new(*option_tag, self.created, serializer, payload)
        };
        Ok(envelope.encode())
    }
}
