use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Bytes, Contained, Fence, Group, Kept, LocalBackend, ObjectBackend, Snapshot, StoredValue, Version, Visit, When,
};

use smallvec::SmallVec;

use super::bytes::read_at_once;
use super::envelope::{Envelope, Fault, Outermost, damaged, unknown_name};
use super::groups::Groups;
use super::{ByteStore, Face, Plan};
use crate::key::KeyBuf;
use crate::meta::Meta;
use crate::rt::{Sealed, ValueFacts};
use crate::{Error, ErrorKind, Result};

/// The fence for the removal of a damaged entry is used at once.
const LEASE: Duration = Duration::from_secs(1);

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Looked<K> {
    Hit(Hit<K>),
    Miss,
}

impl<K> Looked<K> {
    pub(crate) fn is_hit(&self) -> bool {
        matches!(self, Looked::Hit(_))
    }

    /// The times of a value that was found. The value itself is not wanted, and neither is a panic of its `Drop`.
    pub(crate) fn into_meta(self) -> Option<Meta> {
        match self {
            Looked::Hit(Hit::Value(value, meta)) => {
                drop(Contained::new(value));
                Some(meta)
            }
            Looked::Hit(Hit::Failure(_)) | Looked::Miss => None,
        }
    }
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
    Bytes(Sealed<Bytes>),
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

/// The bytes of an entry, as a backend gave them.
#[derive(Clone, Copy)]
struct Found<'a> {
    bytes: &'a Bytes,
    verified: bool,
}

pub(crate) async fn lookup_bytes<V>(plan: &Plan, look: BytesLook<'_>, facts: &ValueFacts<V>) -> Result<BytesLooked<V>> {
    let Snapshot { entry, fence, versions, verified, .. } =
        look.store.read(look.face, look.key, look.lease, look.groups).await?;
    let looked = match &entry {
        Some(bytes) => look_at(plan, &look, Found { bytes, verified }, &versions, facts).await,
        None => Looked::Miss,
    };
    Ok(BytesLooked { looked, fence, versions })
}

/// The same where nobody has to wait as a future: for a sync caller on a blocking backend. What is damaged stays for the
/// load that follows.
pub(crate) fn lookup_at_once<V>(
    plan: &Plan,
    backend: &dyn LocalBackend,
    look: &BytesLook<'_>,
    facts: &ValueFacts<V>,
) -> Result<BytesLooked<V>> {
    let Snapshot { entry, fence, versions, verified, .. } = read_at_once(backend, look.key, look.lease, look.groups)?;
    let looked = entry.map_or(Looked::Miss, |bytes| {
        let (entry, known) = (Found { bytes: &bytes, verified }, (look.groups, &*versions));
        let looked = match read_entry(plan, look, entry, &[known], facts) {
            Err(Unread::Asks(groups)) => {
                let found = read_at_once(backend, look.key, None, &groups);
                read_again(plan, look, entry, known, (&groups, found), facts)
            }
            looked => looked,
        };
        looked.unwrap_or_else(|unread| {
            plan.unread(&unread.into_fault());
            Looked::Miss
        })
    });
    Ok(BytesLooked { looked, fence, versions })
}

/// What an entry is to this caller. Groups the caller did not know of, such as the tags of one `set_with`, cost a read
/// of their own.
async fn look_at<V>(
    plan: &Plan,
    look: &BytesLook<'_>,
    entry: Found<'_>,
    versions: &[Version],
    facts: &ValueFacts<V>,
) -> Looked<V> {
    let known = (look.groups, versions);
    let looked = match read_entry(plan, look, entry, &[known], facts) {
        Err(Unread::Asks(groups)) => {
            let found = look.store.read(look.face, look.key, None, &groups).await;
            read_again(plan, look, entry, known, (&groups, found), facts)
        }
        looked => looked,
    };
    let fault = match looked {
        Ok(looked) => return looked,
        Err(unread) => unread.into_fault(),
    };
    plan.unread(&fault);
    if matches!(fault, Fault::Damaged(_) | Fault::Tampered(_))
        && let Err(error) = look.discard(entry.bytes).await
    {
        plan.function.failed("remove", &plan.store.name, &error);
    }
    Looked::Miss
}

/// Reads an entry with what was found of the groups it had asked for.
fn read_again<V>(
    plan: &Plan,
    look: &BytesLook<'_>,
    entry: Found<'_>,
    known: (&Groups, &[Version]),
    (asked, found): (&Groups, Result<Snapshot>),
    facts: &ValueFacts<V>,
) -> Result<Looked<V>, Unread> {
    let found = found.map_err(Fault::Failed)?;
    read_entry(plan, look, entry, &[known, (asked, &found.versions)], facts)
}

/// What keeps the entry of a key from being read, whether or not it may still be served; `None` if nothing does. For
/// `explain`: it leaves the entry where it is and tells nobody else.
pub(crate) async fn why_unread<V>(
    plan: &Plan,
    store: &ByteStore,
    key: &KeyBuf,
    face: Face,
    facts: &ValueFacts<V>,
) -> Result<Option<String>> {
    let ((key, args_digest), groups) = (plan.logical_key_and_digest(key), &Groups::default());
    let Snapshot { entry: Some(bytes), verified, .. } = store.read(face, &key, None, groups).await? else {
        return Ok(None);
    };
    let look = BytesLook { store, face, key: &key, lease: None, groups, args_digest, even_dead: true };
    Ok(match read_entry(plan, &look, Found { bytes: &bytes, verified }, &[], facts) {
        Ok(Looked::Miss) => {
            Some("it was created in the future: the clock that wrote it is ahead of this one".to_owned())
        }
        Err(Unread::Fault(fault)) => Some(fault.into_error().to_string()),
        Ok(found) => {
            found.into_meta();
            None
        }
        Err(Unread::Asks(_)) => None,
    })
}

/// Why an entry was not read.
enum Unread {
    Fault(Fault),
    /// The versions of these groups are not known.
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

impl Plan {
    /// Tells of an entry that is a miss because it cannot be used.
    pub(super) fn unread(&self, fault: &Fault) {
        let backend = &self.store.name;
        match fault {
            Fault::Damaged(error) | Fault::Failed(error) => self.function.failed("read", backend, error),
            Fault::Tampered(error) | Fault::Security(error) => self.function.security("read", backend, error),
            Fault::Unknown(error) if self.function.unknown.now(&**self.instance.clock()) => {
                self.function.failed("read", backend, error);
            }
            Fault::Unknown(_) => {}
        }
    }
}

impl BytesLook<'_> {
    /// Removes a damaged entry, unless another took its place: an entry that has expired already is stored on the fence
    /// of this one. Where a load follows, what it brings does that.
    async fn discard(&self, damaged: &Bytes) -> Result<()> {
        if self.lease.is_some() || !self.store.capabilities().has_fences() {
            return Ok(());
        }
        let Snapshot { entry, fence, .. } =
            self.store.read(self.face, self.key, Some(LEASE), &Groups::default()).await?;
        let Some(fence) = fence.filter(|_| entry.as_ref() == Some(damaged)) else { return Ok(()) };
        let (when, none) = (When::Fenced(fence), Groups::default());
        self.store.store(self.face, self.key, Bytes::new(), when, Some(Duration::ZERO), &none).await.map(drop)
    }
}

/// What came of reading a payload.
impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error.kind() {
            ErrorKind::Unsupported => Fault::Unknown(error),
            ErrorKind::Timeout => Fault::Failed(error),
            _ => Fault::Damaged(error),
        }
    }
}

fn read_entry<V>(
    plan: &Plan,
    look: &BytesLook<'_>,
    entry: Found<'_>,
    versions: &[(&Groups, &[Version])],
    facts: &ValueFacts<V>,
) -> Result<Looked<V>, Unread> {
    let envelope = Envelope::decode(entry.bytes, entry.verified, plan.instance.max_value())?;
    if envelope.args_digest != look.args_digest {
        let error = Error::new(ErrorKind::Codec, "a stored entry belongs to other arguments");
        return Err(Fault::Security(error).into());
    }
    let now = plan.instance.clock().wall();
    let Some(age) = envelope.age(now) else {
        return Ok(Looked::Miss);
    };
    let is_fresh = envelope.fresh_for.is_none_or(|fresh_for| age < fresh_for);
    if !look.even_dead && (!is_fresh || !versions_hold(&envelope, versions)?) {
        return Ok(Looked::Miss);
    }
    let meta = Meta::new(now, age, envelope.fresh_for, envelope.load_time);
    let sealed = unseal(plan, envelope)?;
    if sealed.outermost == Outermost::Error {
        let Sealed { format, fingerprint, payload, .. } = sealed;
        let payload = entry.bytes.slice_ref(payload);
        let whole = Sealed { format, fingerprint, outermost: Outermost::Plain, payload };
        return Ok(Looked::Hit(Hit::Failure(Failure::Bytes(whole))));
    }
    let memory_only = || Fault::Failed(Error::new(ErrorKind::Codec, "values of this type are kept in memory only"));
    let codec = facts.codec.ok_or_else(memory_only)?;
    let value = codec.read(&sealed, entry.bytes, &plan.instance.deadline())?;
    Ok(Looked::Hit(Hit::Value(value, meta)))
}

/// The payload with the serializer that its envelope names, whatever new entries are written with.
fn unseal<'a>(plan: &Plan, envelope: Envelope<'a>) -> Result<Sealed<&'a [u8]>, Fault> {
    let Envelope { serializer, fingerprint, outermost, payload, .. } = envelope;
    let format = match plan.format.as_ref().filter(|format| format.name() == serializer) {
        Some(format) => format.clone(),
        None => plan.instance.format(serializer).ok_or_else(|| unknown_name("serializer", serializer))?,
    };
    Ok(Sealed { format, fingerprint, outermost, payload })
}

/// Whether no group of the entry was invalidated since before its load.
fn versions_hold(envelope: &Envelope<'_>, versions: &[(&Groups, &[Version])]) -> Result<bool, Unread> {
    let mut known: SmallVec<[Versions<'_>; 2]> =
        versions.iter().map(|(groups, versions)| Versions { groups, versions, next: 0 }).collect();
    let mut unknown = Vec::new();
    for (name, version) in &envelope.groups {
        let current = match known.iter_mut().find_map(|known| known.next(name)) {
            None => known.iter().find_map(|known| known.of(name)),
            current => current,
        };
        match current {
            Some(current) if current == Some(version) => {}
            Some(_) => return Ok(false),
            None => {
                let name = std::str::from_utf8(name).map_err(|_| damaged("a group has a name that is not UTF-8"))?;
                unknown.push(Group::new(name));
            }
        }
    }
    if unknown.is_empty() { Ok(true) } else { Err(Unread::Asks(unknown.into_iter().collect())) }
}

/// Groups with their current versions. Entries mostly name them in this order, so each is looked for behind the last:
/// a header with many groups costs no more comparisons than it has groups.
struct Versions<'a> {
    groups: &'a [Group],
    versions: &'a [Version],
    next: usize,
}

impl<'a> Versions<'a> {
    /// The version of the group behind the last one that was found, if that is its name.
    fn next(&mut self, name: &[u8]) -> Option<Option<&'a Version>> {
        let found = self.groups.get(self.next)?.as_str().as_bytes() == name;
        self.next += usize::from(found);
        found.then(|| self.versions.get(self.next - 1))
    }

    /// The version of a group, wherever it is among them.
    fn of(&self, name: &[u8]) -> Option<Option<&'a Version>> {
        let at = self.groups.iter().position(|group| group.as_str().as_bytes() == name)?;
        Some(self.versions.get(at))
    }
}
