//! Looks keys up in a byte store: for calls, and for handles and caches.

use std::time::Duration;

use retainit_plugin::{
    Bytes, Error, ErrorKind, Fence, GroupVersion, GroupVersions, KnownVersions, Result, Snapshot, StoreCondition,
    WantedFence,
};

use super::super::{LoadStart, Since};
use super::known::is_overtaken;
use super::live::judge_envelope;
use super::{ByteStore, Operation};
use crate::engine::envelope::{Envelope, Fault, unknown_name};
use crate::engine::flight::Ticket;
use crate::engine::groups::{Group, Groups};
use crate::engine::{Caller, CallerKind, Failure, Hit, Job, Looked, Plan, ReadMode, Write};
use crate::key::KeyBuf;
use crate::meta::Meta;
use crate::value::{OptionTag, Sealed, ValueOps};

/// Result of a look, with the fence and versions for a load.
#[derive(Debug)]
struct BytesLooked<V> {
    looked: Looked<V>,
    fence: Option<Fence>,
    versions: GroupVersions,
}

/// Result of a look before the value is decoded, which depends on its type.
pub(crate) struct Unopened {
    looked: Result<Looked<Sealed<Bytes>>, Fault>,
    /// Bytes of the whole entry.
    entry: Option<Bytes>,
    pub(crate) fence: Option<Fence>,
    pub(crate) versions: GroupVersions,
}

impl Unopened {
    /// Returns the result of a store that answers at once: nothing.
    pub(in crate::engine::store) fn nothing() -> Unopened {
        Unopened { looked: Ok(Looked::Miss), entry: None, fence: None, versions: GroupVersions::new() }
    }

    /// Returns the entry, if it could be read. One that could not is reported.
    pub(crate) fn looked(self, plan: &Plan) -> Looked<Sealed<Bytes>> {
        self.looked.unwrap_or_else(|fault| {
            plan.unread(&fault);
            Looked::Miss
        })
    }
}

/// Request for a look into a byte store.
#[derive(Debug)]
struct BytesLook<'a> {
    plan: &'a Plan,
    caller: Caller<'a>,
    key: &'a str,
    fence: WantedFence,
    groups: &'a Groups,
    /// Digest that the entry must have of arguments that the key does not show.
    args_digest: Vec<u8>,
    /// True if entries are returned whether or not they are fresh.
    include_unserved: bool,
}

/// Bytes of an entry, as a backend returned them.
#[derive(Clone, Copy)]
struct RawEntry<'a> {
    bytes: &'a Bytes,
    verified: bool,
}

impl ByteStore {
    // ------------------------------------------------------------------------------------------------------ for calls

    /// Begins a load, as far as that needs no wait.
    pub(in crate::engine::store) fn start_load(&self, job: &Job, fence: WantedFence) -> LoadStart {
        let since = self.since(&job.plan);
        if job.patience.is_used_up() || !self.is_available() {
            // Without a look there is no fence, and no store.
            let Since { epoch, removals } = since;
            let ticket = Ticket { epoch, fence: None, versions: Box::default(), removals };
            return LoadStart::Ticket { ticket, unreachable: true };
        }
        if !self.reads_at_once(job.caller()) {
            return LoadStart::Later;
        }
        let (key, args_digest) = job.plan.logical_key_and_digest(&job.key);
        LoadStart::Looked(since, self.look_unopened_at_once(&call_look(job, fence, &key, args_digest)))
    }

    /// Looks a key up for a call.
    pub(in crate::engine::store) async fn look(&self, job: &Job, fence: WantedFence) -> Result<Unopened> {
        let (key, args_digest) = job.plan.logical_key_and_digest(&job.key);
        self.look_unopened(&call_look(job, fence, &key, args_digest)).await
    }

    /// Returns instance epoch and removals for a ticket. They are read before the store is: a removal in between makes
    /// the ticket too old, which costs a load, never too new.
    pub(in crate::engine::store) fn since(&self, plan: &Plan) -> Since {
        Since { epoch: plan.instance.epoch().now(), removals: self.removals() }
    }

    // ------------------------------------------------------------------------------------------- for handles and caches

    /// Looks a key up and decodes its value. A damaged entry is removed.
    pub(in crate::engine::store) async fn lookup<V>(
        &self,
        plan: &Plan,
        key: &KeyBuf,
        mode: ReadMode,
        ops: &ValueOps<V>,
        caller_kind: CallerKind,
    ) -> Result<Looked<V>> {
        let (key, args_digest) = plan.logical_key_and_digest(key);
        let (caller, groups) = (Caller { caller_kind, patience: &self.patience() }, plan.own_groups());
        let include_unserved = mode == ReadMode::Raw;
        let look =
            BytesLook { plan, caller, key: &key, fence: WantedFence::None, groups, args_digest, include_unserved };
        Ok(self.lookup_as(look, ops).await?.looked)
    }

    /// Looks a key up for `explain`: returns the fault of an entry that cannot be used, leaves the entry in place and
    /// reports nothing.
    pub(in crate::engine::store) async fn inspect<V>(
        &self,
        plan: &Plan,
        key: &KeyBuf,
        ops: &ValueOps<V>,
        caller_kind: CallerKind,
    ) -> Result<Result<Looked<V>, Fault>> {
        let (key, args_digest) = plan.logical_key_and_digest(key);
        let (caller, groups) = (Caller { caller_kind, patience: &self.patience() }, plan.own_groups());
        let look = BytesLook {
            plan,
            caller,
            key: &key,
            fence: WantedFence::None,
            groups,
            args_digest,
            include_unserved: true,
        };
        let Unopened { looked, .. } = self.look_unopened(&look).await?;
        Ok(looked.and_then(|looked| open(plan, looked, ops)))
    }

    /// Takes the ticket to replace an entry that may not be served. `None` if the entry may be served, or there is no
    /// fence.
    pub(in crate::engine::store) async fn ticket_if_unserved<V>(
        &self,
        write: &Write<'_>,
        ops: &ValueOps<V>,
    ) -> Result<Option<Ticket>> {
        let Write { plan, caller, groups, .. } = *write;
        let (key, args_digest) = (plan.logical_key(write.key), write.key.args_digest());
        let fence = WantedFence::Take(plan.options.max_load_time);
        let look = BytesLook { plan, caller, key: &key, fence, groups, args_digest, include_unserved: false };
        let BytesLooked { looked, fence, versions } = self.lookup_as(look, ops).await?;
        if let Looked::Hit(hit) = looked {
            hit.into_meta();
            return Ok(None);
        }
        let epoch = write.ticket.epoch;
        Ok(fence.map(|fence| Ticket {
            epoch,
            fence: Some(fence.into()),
            versions: versions.into_boxed_slice(),
            removals: 0,
        }))
    }

    async fn lookup_as<V>(&self, look: BytesLook<'_>, ops: &ValueOps<V>) -> Result<BytesLooked<V>> {
        let plan = look.plan;
        let Unopened { looked, entry, fence, versions } = self.look_unopened(&look).await?;
        let fault = match looked.and_then(|looked| open(plan, looked, ops)) {
            Ok(looked) => return Ok(BytesLooked { looked, fence, versions }),
            Err(fault) => fault,
        };
        plan.unread(&fault);
        if let (Fault::Damaged(_) | Fault::Tampered(_), Some(entry)) = (&fault, &entry)
            && let Err(error) = self.discard(&look, entry).await
        {
            plan.function.failed("remove", &self.name, &error);
        }
        Ok(BytesLooked { looked: Looked::Miss, fence, versions })
    }

    // -------------------------------------------------------------------------------------------------------- looking

    /// Looks a key up without decoding its value. Groups that the caller does not know, such as the tags of a
    /// `set_with`, cost a read of their own.
    async fn look_unopened(&self, look: &BytesLook<'_>) -> Result<Unopened> {
        let found = self.read_known(look, look.fence, look.groups).await?;
        let asked = match found.examine(look) {
            Err(Unread::Asks(groups)) => {
                let versions = self.versions_known(look, &groups, &found.entry).await;
                found.examine_again(look, (&groups, versions))
            }
            examined => examined,
        };
        Ok(found.unopened(asked))
    }

    /// Reads a slot, with the versions of groups: those that are known well enough are not asked for.
    async fn read_known(&self, look: &BytesLook<'_>, fence: WantedFence, groups: &Groups) -> Result<Snapshot> {
        let Some(known) = &self.known else {
            return self.read(Operation::Read, look.caller, look.key, fence, groups).await;
        };
        let asked = known.ask(groups, look.plan.options.max_staleness);
        let mut found = self.read(Operation::Read, look.caller, look.key, fence, &asked.unknown).await?;
        let remembered = asked.versions.clone();
        found.versions = known.learn(groups, asked, &found.versions);
        self.catch_up(look, groups, &found.entry, &remembered, &mut found.versions).await;
        Ok(found)
    }

    /// Asks again for remembered versions that an entry has overtaken. Judged by the older ones it would be loaded and
    /// stored under them, which would make it dead for all who know the newer.
    async fn catch_up(
        &self,
        look: &BytesLook<'_>,
        groups: &Groups,
        entry: &Option<Bytes>,
        remembered: &[Option<GroupVersion>],
        versions: &mut GroupVersions,
    ) {
        let (Some(known), Some(entry)) = (&self.known, entry) else { return };
        // Its checksum is compared later: one that is damaged costs a read here.
        let Ok(envelope) = Envelope::decode(entry, true, look.plan.instance.max_value()) else { return };
        let carried = |group: &Group| {
            envelope.groups.iter().find(|(name, _)| *name == group.as_str().as_bytes()).map(|(_, version)| *version)
        };
        let is_overtaken = |place: &usize| {
            let carried = carried(&groups[*place]);
            remembered[*place].zip(carried).is_some_and(|(version, carried)| is_overtaken(version, carried))
        };
        let places: Vec<usize> = (0..groups.len().min(remembered.len())).filter(is_overtaken).collect();
        if places.is_empty() {
            return;
        }
        let overtaken: Groups = places.iter().map(|place| groups[*place].clone()).collect();
        known.forget(&overtaken);
        let asked = known.ask(&overtaken, Duration::ZERO);
        let read = self.read(Operation::Read, look.caller, look.key, WantedFence::None, &overtaken).await;
        let found = read.map_or_else(|_| GroupVersions::new(), |found| known.learn(&overtaken, asked, &found.versions));
        for (place, version) in places.into_iter().zip(found) {
            versions[place] = version;
        }
    }

    /// Returns the versions of groups, read with the slot unless all are known.
    async fn versions_known(&self, look: &BytesLook<'_>, groups: &Groups, entry: &Option<Bytes>) -> Result<Snapshot> {
        if let Some(known) = &self.known {
            let mut asked = known.ask(groups, look.plan.options.max_staleness);
            if asked.unknown.is_empty() {
                let remembered = asked.versions.clone();
                self.catch_up(look, groups, entry, &remembered, &mut asked.versions).await;
                return Ok(Snapshot::new(None, None, asked.versions));
            }
        }
        self.read_known(look, WantedFence::None, groups).await
    }

    /// Looks a key up for a sync caller on a blocking backend, without a future.
    fn look_unopened_at_once(&self, look: &BytesLook<'_>) -> Result<Unopened> {
        let found = self.read_at_once(look.caller, look.key, look.fence, look.groups)?;
        let asked = match found.examine(look) {
            Err(Unread::Asks(groups)) => {
                let versions = self.read_at_once(look.caller, look.key, WantedFence::None, &groups);
                found.examine_again(look, (&groups, versions))
            }
            examined => examined,
        };
        Ok(found.unopened(asked))
    }

    /// Removes a damaged entry, unless another has replaced it: stores an entry that has expired already on the fence
    /// of this one. If a load follows, its result replaces the entry instead.
    async fn discard(&self, look: &BytesLook<'_>, damaged: &Bytes) -> Result<()> {
        if look.fence != WantedFence::None || !self.capabilities().has_fences() {
            return Ok(());
        }
        let none = Groups::default();
        let Snapshot { entry, fence, .. } =
            self.read(Operation::Other, look.caller, look.key, WantedFence::Seen, &none).await?;
        let Some(fence) = fence.filter(|_| entry.as_ref() == Some(damaged)) else { return Ok(()) };
        let when = StoreCondition::Fenced(fence);
        self.store(look.caller, look.key, Bytes::new(), when, Some(Duration::ZERO), &none).await.map(drop)
    }
}

fn call_look<'l>(job: &'l Job, fence: WantedFence, key: &'l str, args_digest: Vec<u8>) -> BytesLook<'l> {
    let (caller, groups) = (job.caller(), job.groups());
    BytesLook { plan: &job.plan, caller, key, fence, groups, args_digest, include_unserved: false }
}

/// Examines the entry that a backend returned.
trait Examine {
    fn examine(&self, look: &BytesLook<'_>) -> Result<Looked<Sealed<Bytes>>, Unread>;

    /// Examines the entry again, with the versions of the groups that were unknown.
    fn examine_again(
        &self,
        look: &BytesLook<'_>,
        asked: (&Groups, Result<Snapshot>),
    ) -> Result<Looked<Sealed<Bytes>>, Unread>;

    fn unopened(self, looked: Result<Looked<Sealed<Bytes>>, Unread>) -> Unopened;
}

impl Examine for Snapshot {
    fn examine(&self, look: &BytesLook<'_>) -> Result<Looked<Sealed<Bytes>>, Unread> {
        let Some(bytes) = &self.entry else { return Ok(Looked::Miss) };
        read_entry(look, RawEntry { bytes, verified: self.verified }, &[(&look.groups.names(), &*self.versions)])
    }

    fn examine_again(
        &self,
        look: &BytesLook<'_>,
        (asked, found): (&Groups, Result<Snapshot>),
    ) -> Result<Looked<Sealed<Bytes>>, Unread> {
        let Some(bytes) = &self.entry else { return Ok(Looked::Miss) };
        let (found, names) = (found.map_err(Fault::Failed)?, look.groups.names());
        let known = (&*names, &*self.versions);
        read_entry(look, RawEntry { bytes, verified: self.verified }, &[known, (&asked.names(), &found.versions)])
    }

    fn unopened(self, looked: Result<Looked<Sealed<Bytes>>, Unread>) -> Unopened {
        let Snapshot { entry, fence, versions, .. } = self;
        Unopened { looked: looked.map_err(Unread::into_fault), entry, fence, versions }
    }
}

/// Decodes the value of an entry.
fn open<V>(plan: &Plan, looked: Looked<Sealed<Bytes>>, ops: &ValueOps<V>) -> Result<Looked<V>, Fault> {
    looked.try_map(|sealed| sealed.open(plan, ops))
}

/// Reason why an entry was not read.
pub(super) enum Unread {
    Fault(Fault),
    /// The versions of these groups are unknown.
    Asks(Groups),
}

impl Unread {
    fn into_fault(self) -> Fault {
        match self {
            Unread::Fault(fault) => fault,
            Unread::Asks(_) => {
                Fault::Failed(Error::new(ErrorKind::Backend, "the versions of its groups were not to be had"))
            }
        }
    }
}

impl<F: Into<Fault>> From<F> for Unread {
    fn from(fault: F) -> Unread {
        Unread::Fault(fault.into())
    }
}

fn read_entry(
    look: &BytesLook<'_>,
    entry: RawEntry<'_>,
    versions: &[KnownVersions<'_>],
) -> Result<Looked<Sealed<Bytes>>, Unread> {
    let plan = look.plan;
    let envelope = Envelope::decode(entry.bytes, entry.verified, plan.instance.max_value())?;
    // Before the verdict: an entry of other arguments is reported even if it is expired.
    if envelope.args_digest != look.args_digest {
        let error = Error::new(ErrorKind::Codec, "a stored entry belongs to other arguments");
        return Err(Fault::Security(error).into());
    }
    let now = plan.instance.clock().wall();
    // Before the payload is examined: an expired entry with an unknown serializer is a miss, not a fault.
    let verdict = judge_envelope(&envelope, versions, now)?;
    if !verdict.is_fresh() && !look.include_unserved {
        return Ok(Looked::Miss);
    }
    let meta = Meta::new(now, envelope.age(now), envelope.fresh_for, envelope.load_time, verdict.into());
    let Sealed { format, fingerprint, option_tag, payload } = unseal(plan, envelope)?;
    let payload = entry.bytes.slice_ref(payload);
    let hit = match option_tag {
        OptionTag::Error => {
            let option_tag = OptionTag::Plain;
            Hit::Failure(Failure::Bytes(Sealed { format, fingerprint, option_tag, payload }), meta)
        }
        option_tag => Hit::Value(Sealed { format, fingerprint, option_tag, payload }, meta),
    };
    Ok(Looked::shown(hit, verdict))
}

/// Returns the payload with the serializer that its envelope names, which may differ from that of new entries.
fn unseal<'a>(plan: &Plan, envelope: Envelope<'a>) -> Result<Sealed<&'a [u8]>, Fault> {
    let Envelope { serializer, fingerprint, option_tag, payload, .. } = envelope;
    let format = match plan.format.as_ref().filter(|format| format.name() == serializer) {
        Some(format) => format.clone(),
        None => plan.instance.format(serializer).ok_or_else(|| unknown_name("serializer", serializer))?,
    };
    Ok(Sealed { format, fingerprint, option_tag, payload })
}
