use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Bytes, Fence, Group, Kept, ObjectBackend, StoredValue, Version, Visit};

use super::envelope::{Envelope, Fault, Outermost, unknown};
use super::groups::Groups;
use super::{ByteStore, Face, Plan};
use crate::key::KeyBuf;
use crate::meta::Meta;
use crate::rt::{Sealed, ValueFacts};
use crate::{Error, ErrorKind, Result};

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Looked<K> {
    Hit(Hit<K>),
    Miss,
}

/// Something that may be served.
#[derive(Debug)]
pub(crate) enum Hit<K> {
    Value(K, Meta),
    /// An error kept under `err_ttl`.
    Failure(Failure),
}

/// A whole result that failed, as it is kept.
#[derive(Clone)]
pub(crate) enum Failure {
    Any(Arc<dyn Any + Send + Sync>),
    Bytes(Sealed),
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failure")
    }
}

/// Finds an entry by the key taken by value.
struct Finder<'a, K> {
    plan: &'a Plan,
    key: &'a [u8],
    look: Look,
    found: Looked<K>,
}

impl<K: StoredValue> Visit for Finder<'_, K> {
    fn visit(&mut self, key: &[u8], kept: &Kept) -> bool {
        if key != self.key {
            return false;
        }
        let shown = match self.look {
            Look::Use => self.plan.is_live(kept),
            Look::Peek => self.plan.may_be_served(kept),
            Look::Raw => true,
        };
        if shown {
            let meta = Meta::of(kept, self.plan);
            if let Some(value) = kept.value::<K>() {
                self.found = Looked::Hit(Hit::Value(value.clone(), meta));
            } else if let Some(failure) = kept.value::<Failure>() {
                self.found = Looked::Hit(Hit::Failure(failure.clone()));
            }
        }
        true
    }
}

/// How an object store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// As a use of the entry.
    Use,
    /// Leaving its standing as it was.
    Peek,
    /// The same, and whether or not it may still be served.
    Raw,
}

pub(crate) fn lookup_object<K: StoredValue>(
    plan: &Plan,
    object: &dyn ObjectBackend,
    key: &KeyBuf,
    look: Look,
) -> Looked<K> {
    let mut finder = Finder { plan, key: key.bytes(), look, found: Looked::Miss };
    let place = plan.place(key.hash());
    match look {
        Look::Use => object.get(place, &mut finder),
        Look::Peek | Look::Raw => object.peek(place, &mut finder),
    };
    finder.found
}

/// What a byte store gave, with what a loader needs.
#[derive(Debug)]
pub(crate) struct BytesLooked<V> {
    pub(crate) looked: Looked<V>,
    pub(crate) fence: Option<Fence>,
    pub(crate) versions: Vec<Version>,
}

/// Where to look in a byte store, and how.
#[derive(Debug)]
pub(crate) struct BytesLook<'a> {
    pub(crate) store: &'a ByteStore,
    pub(crate) face: Face,
    pub(crate) key: &'a str,
    /// Take the fence for a load of at most this long.
    pub(crate) lease: Option<Duration>,
    pub(crate) groups: &'a Groups,
    /// What the entry has to say of arguments that the key does not show.
    pub(crate) args_digest: Vec<u8>,
    pub(crate) even_dead: bool,
}

pub(crate) async fn lookup_bytes<V>(plan: &Plan, look: BytesLook<'_>, facts: &ValueFacts<V>) -> Result<BytesLooked<V>> {
    let snapshot = look.store.read(look.face, look.key, look.lease, look.groups).await?;
    let missed = |looked| BytesLooked { looked, fence: snapshot.fence, versions: snapshot.versions.clone() };
    let Some(bytes) = &snapshot.entry else {
        return Ok(missed(Looked::Miss));
    };
    match read_entry(plan, &look, bytes, &snapshot.versions, facts).await {
        Ok(looked) => Ok(missed(looked)),
        Err(fault) => {
            plan.unread(&fault);
            Ok(missed(Looked::Miss))
        }
    }
}

impl Plan {
    /// Tells of an entry that is a miss because it cannot be used. What is damaged stays until the load that follows
    /// puts a value in its place: that store is fenced, while a removal, which backends offer without a condition,
    /// might take a newer value.
    pub(super) fn unread(&self, fault: &Fault) {
        let backend = &self.store.name;
        match fault {
            Fault::Damaged(error) => self.function.failed("read", backend, error),
            Fault::Security(error) => self.function.security("read", backend, error),
            Fault::Unknown(error) if self.function.unknown.now(&**self.instance.clock()) => {
                self.function.failed("read", backend, error);
            }
            Fault::Unknown(_) => {}
        }
    }
}

/// What came of reading a payload.
impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error.kind() {
            ErrorKind::Unsupported => Fault::Unknown(error),
            _ => Fault::Damaged(error),
        }
    }
}

async fn read_entry<V>(
    plan: &Plan,
    look: &BytesLook<'_>,
    bytes: &Bytes,
    versions: &[Version],
    facts: &ValueFacts<V>,
) -> Result<Looked<V>, Fault> {
    let envelope = Envelope::decode(bytes, plan.instance.max_value())?;
    if envelope.args_digest != look.args_digest {
        let error = Error::new(ErrorKind::Codec, "a stored entry belongs to other arguments");
        return Err(Fault::Security(error));
    }
    let now = plan.instance.clock().wall();
    let Some(age) = envelope.age(now) else {
        return Ok(Looked::Miss);
    };
    let is_fresh = envelope.fresh_for.is_none_or(|fresh_for| age < fresh_for);
    if !look.even_dead && (!is_fresh || !versions_hold(look, &envelope, versions).await?) {
        return Ok(Looked::Miss);
    }
    let meta = Meta::new(now, age, envelope.fresh_for, envelope.load_time);
    let sealed = unseal(plan, envelope)?;
    if sealed.outermost == Outermost::Error {
        let sealed = Sealed { outermost: Outermost::Plain, ..sealed };
        return Ok(Looked::Hit(Hit::Failure(Failure::Bytes(sealed))));
    }
    let codec =
        facts.codec.ok_or_else(|| Error::new(ErrorKind::Codec, "values of this type are kept in memory only"))?;
    let value = codec.read(&sealed, &plan.instance.deadline())?;
    Ok(Looked::Hit(Hit::Value(value, meta)))
}

/// The payload with the serializer that its envelope names, whatever new entries are written with.
fn unseal(plan: &Plan, envelope: Envelope) -> Result<Sealed, Fault> {
    let Envelope { serializer, fingerprint, outermost, payload, .. } = envelope;
    let format = match plan.format.as_ref().filter(|format| format.name() == serializer) {
        Some(format) => format.clone(),
        None => plan.instance.format(&serializer).ok_or_else(|| unknown(format!("serializer `{serializer}`")))?,
    };
    Ok(Sealed { format, fingerprint, outermost, payload })
}

/// Whether no group of the entry was invalidated since before its load. Groups the caller did not know of, such as
/// the tags of one `set_with`, cost a read of their own.
async fn versions_hold(look: &BytesLook<'_>, envelope: &Envelope, versions: &[Version]) -> Result<bool> {
    let mut unknown = Vec::new();
    for (name, version) in &envelope.groups {
        match look.groups.iter().position(|group| group.as_str() == *name) {
            Some(at) if versions.get(at) == Some(version) => {}
            Some(_) => return Ok(false),
            None => unknown.push(Group::new(name.as_str())),
        }
    }
    if unknown.is_empty() {
        return Ok(true);
    }
    let unknown: Groups = unknown.into_iter().collect();
    let current = look.store.read(look.face, look.key, None, &unknown).await?.versions;
    let holds = |(group, version): (&Group, &Version)| envelope.version(group.as_str()) == Some(*version);
    Ok(current.len() == unknown.len() && unknown.iter().zip(&current).all(holds))
}
