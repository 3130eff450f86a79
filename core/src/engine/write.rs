use std::sync::Arc;
use std::time::{Duration, SystemTime};

use retainit_plugin::{
    Bytes, Contained, EventKind, Extra, Inserted, Kept, Life, Mark, Moment, NewEntry, ObjectBackend, Put, Stored, Ttl,
    Version, When, caught,
};

use super::envelope::{Envelope, Outermost, check_groups, too_large};
use super::flight::Ticket;
use super::groups::Groups;
use super::lookup::Failure;
use super::{Face, Kind, Plan};
use crate::key::KeyBuf;
use crate::rt::{Encoded, Shared, ValueFacts};
use crate::{Error, ErrorKind, Result};
use retainit_plugin::StoredValue;

/// What is to be stored.
pub(crate) enum Value<V> {
    Value(Contained<V>),
    /// A whole failed result, and its bytes if the store wants them.
    Failure(Arc<dyn std::any::Any + Send + Sync>, Option<Encoded>),
}

/// Under which condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A load's result: only while its fence stands.
    Fill,
    /// A refresh: only while its fence stands, and no other load may follow it.
    Replace,
    /// A `set`.
    Always,
    /// A `set_if_absent`.
    Absent,
}

/// One store of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) key: &'a KeyBuf,
    pub(crate) tags: &'a [Arc<Mark>],
    pub(crate) groups: &'a Groups,
    pub(crate) ticket: &'a Ticket,
    pub(crate) mode: Mode,
    pub(crate) ttl: Ttl,
    pub(crate) load_time: Duration,
    /// When it was made, for entries put back as they were.
    pub(crate) age: Duration,
    pub(crate) face: Face,
}

/// Stores a value. False if the condition did not hold.
pub(crate) async fn write<V: StoredValue>(write: Write<'_>, value: Value<V>, facts: &ValueFacts<V>) -> Result<bool> {
    if write.plan.instance.is_closed() {
        return Err(Error::new(ErrorKind::Closed, "this instance is closed"));
    }
    let options = &write.plan.options;
    let fresh_for = match options.max_ttl.map_or(write.ttl, |max| write.ttl.cap(max)) {
        Ttl::Off => return Ok(false),
        Ttl::Never => None,
        Ttl::For(ttl) => Some(write.jittered(ttl)),
    };
    let stored = match &write.plan.store.kind {
        Kind::Object(object) => {
            let insert = || write.object(object.as_ref(), fresh_for, value, facts);
            caught(ErrorKind::Backend, "storing the value", insert)?
        }
        Kind::Bytes(_) => write.face.apart(|| write.bytes(fresh_for, value, facts)).await?,
    };
    if stored {
        write.plan.emit(EventKind::CacheSet, Some(write.key), |_| {});
    }
    Ok(stored)
}

impl Write<'_> {
    /// Shortens a ttl by up to the plan's jitter: the same for one key and generation in every process, so that
    /// copies of one entry end together while entries stored together do not.
    fn jittered(&self, ttl: Duration) -> Duration {
        let jitter = self.plan.options.jitter;
        if jitter == 0.0 {
            return ttl;
        }
        let seed = blake3::hash(self.key.bytes());
        let seed = u64::from_le_bytes(*seed.as_bytes().first_chunk::<8>().expect("a digest has 32 bytes"));
        let mixed = (seed ^ self.ticket.generation).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let u = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        ttl.mul_f64(1.0 - u * jitter)
    }

    fn object<V: StoredValue>(
        &self,
        object: &dyn ObjectBackend,
        fresh_for: Option<Duration>,
        value: Value<V>,
        facts: &ValueFacts<V>,
    ) -> bool {
        let created = Moment::from_millis(self.plan.now().as_millis().saturating_sub(self.age.as_millis() as u64));
        let bytes = match (&value, facts.weigh) {
            (Value::Value(value), Some(weigh)) if object.weighs() => weigh(value),
            _ => 0,
        };
        let life = Life {
            generation: self.ticket.generation,
            created,
            fresh_until: fresh_for.map_or(Moment::NEVER, |fresh_for| created.after(fresh_for)),
            load_time: self.load_time,
            extra: self.extra(),
        };
        let kept = match value {
            Value::Value(value) if facts.direct => Kept::new(value.into_inner(), life),
            Value::Value(value) => Kept::new(Shared::new(value), life),
            Value::Failure(any, _) => Kept::new(Failure::Any(any), life),
        };
        let ends = kept.ends();
        let entry = NewEntry { place: self.plan.place(self.key.hash()), key: self.key.bytes(), kept, bytes };
        let live = |kept: &Kept| self.plan.is_live(kept);
        let inserted = object.insert(entry, self.put(&live));
        if inserted == Inserted::Yes && ends != Moment::NEVER {
            self.plan.instance.sweep_by(&self.plan.store, ends);
        }
        inserted == Inserted::Yes
    }

    fn put<'a>(&self, live: &'a dyn Fn(&Kept) -> bool) -> Put<'a> {
        match (self.mode, self.ticket.fence) {
            (Mode::Fill, Some(fence)) => Put::Fenced(fence),
            (Mode::Replace, Some(fence)) => Put::Replace(fence),
            (Mode::Absent, _) => Put::Absent { live },
            _ => Put::Always,
        }
    }

    fn extra(&self) -> Option<Extra> {
        let idle = self.plan.options.idle;
        if self.tags.is_empty() && idle.is_none() {
            return None;
        }
        let mut extra = Extra::tags(self.tags);
        extra.idle = idle;
        Some(extra)
    }

    async fn bytes<V>(&self, fresh_for: Option<Duration>, value: Value<V>, facts: &ValueFacts<V>) -> Result<bool> {
        let Kind::Bytes(store) = &self.plan.store.kind else {
            return Ok(false);
        };
        let when = self.when(store.capabilities())?;
        let (key, args_digest) = self.plan.logical_key_and_digest(self.key);
        let draft = self.draft(fresh_for, args_digest, value, facts)?;
        let ttl = fresh_for.map(|fresh_for| fresh_for.saturating_sub(self.age));
        let stored = match self.mode {
            Mode::Fill | Mode::Replace => {
                let entry = draft.seal(self.groups, &self.ticket.versions);
                store.store(self.face, &key, entry, when, ttl, self.groups).await?
            }
            Mode::Always | Mode::Absent => {
                let groups = self.groups.clone();
                let seal = move |versions: &[Version]| draft.seal(&groups, versions);
                store.store_with(self.face, &key, seal, when, ttl, self.groups).await?
            }
        };
        Ok(stored == Stored::Yes)
    }

    fn when(&self, capabilities: retainit_plugin::Capabilities) -> Result<When> {
        Ok(match (self.mode, self.ticket.fence) {
            (Mode::Fill | Mode::Replace, Some(fence)) => When::Fenced(fence),
            (Mode::Absent, _) if !capabilities.has_set_if_absent() => {
                return Err(Error::new(ErrorKind::Unsupported, "this backend does not offer `set_if_absent`"));
            }
            (Mode::Absent, _) => When::Absent,
            _ => When::Always,
        })
    }

    fn draft<V>(
        &self,
        fresh_for: Option<Duration>,
        args_digest: Vec<u8>,
        value: Value<V>,
        facts: &ValueFacts<V>,
    ) -> Result<Draft> {
        check_groups(self.groups)?;
        let no_codec = || Error::new(ErrorKind::Codec, "values of this type are kept in memory only");
        let encoded = match value {
            Value::Value(value) => facts.codec.ok_or_else(no_codec)?.write(&value, self.plan.format.as_ref())?,
            Value::Failure(_, encoded) => Encoded { outermost: Outermost::Error, ..encoded.ok_or_else(no_codec)? },
        };
        let max_value = self.plan.instance.max_value();
        if encoded.payload.len() as u64 > max_value {
            let error = too_large(encoded.payload.len(), max_value);
            self.plan.function.security("store", &self.plan.store.name, &error);
            return Err(error);
        }
        let wall = self.plan.instance.clock().wall();
        let created = wall.checked_sub(self.age).unwrap_or(wall);
        let (load_time, generation) = (self.load_time, self.ticket.generation);
        Ok(Draft { encoded, created, load_time, fresh_for, generation, args_digest })
    }
}

/// An entry of a byte store, but for the versions it is stored under.
#[derive(Debug)]
struct Draft {
    encoded: Encoded,
    created: SystemTime,
    load_time: Duration,
    fresh_for: Option<Duration>,
    generation: u64,
    args_digest: Vec<u8>,
}

impl Draft {
    fn seal(&self, groups: &Groups, versions: &[Version]) -> Bytes {
        let Encoded { serializer, fingerprint, outermost, payload } = &self.encoded;
        let groups = groups.iter().zip(versions).map(|(group, version)| (group.as_str().as_bytes(), *version));
        let envelope = Envelope {
            fresh_for: self.fresh_for,
            load_time: self.load_time,
            generation: self.generation,
            groups: groups.collect(),
            args_digest: &self.args_digest,
            fingerprint: *fingerprint,
            ..Envelope::new(*outermost, self.created, serializer, payload)
        };
        envelope.encode()
    }
}
