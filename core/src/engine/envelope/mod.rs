//! What a byte backend holds for an entry: a header that never changes once written, and the payload.
//!
//! The layout of wire version 1, in this order; numbers are little-endian base-128 varints unless a size is given,
//! texts and bytes are a length and their bytes:
//!
//! | field | |
//! |---|---|
//! | magic | `RI`, two bytes |
//! | wire version | one byte |
//! | flags | one byte: 0 a value · 1 `Some` · 2 `None` · 3 a whole result, an error |
//! | created | milliseconds since the epoch |
//! | load time | microseconds |
//! | fresh for, stale for, grace for | milliseconds; fresh for counts from one, zero is never |
//! | generation | of the writing process; tells one write of a key from the next |
//! | groups | how many, at most 256, then name, hard and soft version of each |
//! | fingerprint | eight bytes; zero for self-describing payloads |
//! | serializer, compressor, encryption | names; empty for none |
//! | key id, nonce | of the encryption; empty for none |
//! | args digest | bytes; empty where the key shows the arguments |
//! | etag | text; empty for none |
//! | checksum | eight bytes over everything else |
//! | payload | the rest |
//!
//! What stands before the checksum has at most 64 KiB.

mod wire;

use std::time::{Duration, SystemTime};

use retainit_plugin::{Bytes, Group, Version};
use smallvec::SmallVec;
use twox_hash::XxHash3_64;

use super::groups::MOST_GROUPS;
use crate::{Error, ErrorKind};
use wire::{Reader, Writer};

const MAGIC: [u8; 2] = *b"RI";
const WIRE: u8 = 1;

/// What the header of an ordinary entry takes, with a few tags.
const HEADER: usize = 256;

/// The most bytes of a header: what a read looks through before it knows whether the entry may be served.
const MOST_HEADER: usize = 64 << 10;

/// What a group takes in a header beside its name, at most: the length of the name and two versions.
const GROUP: usize = 23;

/// What everything in a header but its groups takes, at most.
const NOT_GROUPS: usize = 4 << 10;

/// The characters of a name from a header that are shown: it may come from anywhere.
const SHOWN: usize = 64;

/// A clock that is ahead by more than this makes an entry a miss.
const MAX_SKEW: Duration = Duration::from_secs(5);

/// What the outermost layer of the stored value is; the payload never says it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outermost {
    /// A value that is no `Option`.
    Plain,
    /// `Some` of the payload.
    Some,
    /// `None`; the payload is empty.
    None,
    /// The payload is a whole result that is an error.
    Error,
}

impl Outermost {
    const ALL: [Outermost; 4] = [Outermost::Plain, Outermost::Some, Outermost::None, Outermost::Error];

    fn flags(self) -> u8 {
        self as u8
    }

    fn from_flags(flags: u8) -> Option<Outermost> {
        Outermost::ALL.into_iter().find(|outermost| outermost.flags() == flags)
    }
}

/// An entry of a byte backend; its parts lie where it was read from, or where it will be written from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    pub(super) outermost: Outermost,
    /// Milliseconds since the epoch.
    pub(super) created: u64,
    pub(super) load_time: Duration,
    pub(super) fresh_for: Option<Duration>,
    pub(super) stale_for: Duration,
    pub(super) grace_for: Duration,
    pub(super) generation: u64,
    /// The groups it belongs to, with their versions before its load began.
    pub(super) groups: SmallVec<[(&'a [u8], Version); 4]>,
    pub(super) fingerprint: u64,
    pub(super) serializer: &'a str,
    pub(super) compressor: &'a str,
    pub(super) encryption: &'a str,
    pub(super) key_id: &'a str,
    pub(super) nonce: &'a [u8],
    pub(super) args_digest: &'a [u8],
    pub(super) etag: &'a str,
    pub(super) payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(super) fn new(outermost: Outermost, created: SystemTime, serializer: &'a str, payload: &'a [u8]) -> Self {
        Envelope {
            outermost,
            created: millis(created),
            load_time: Duration::ZERO,
            fresh_for: None,
            stale_for: Duration::ZERO,
            grace_for: Duration::ZERO,
            generation: 0,
            groups: SmallVec::new(),
            fingerprint: 0,
            serializer,
            compressor: "",
            encryption: "",
            key_id: "",
            nonce: &[],
            args_digest: &[],
            etag: "",
            payload,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(HEADER + self.payload.len());
        out.raw(&MAGIC);
        out.raw(&[WIRE, self.outermost.flags()]);
        out.number(self.created);
        out.number(u64::try_from(self.load_time.as_micros()).unwrap_or(u64::MAX));
        out.number(self.fresh_for.map_or(0, |fresh_for| whole_millis(fresh_for).saturating_add(1)));
        out.number(whole_millis(self.stale_for));
        out.number(whole_millis(self.grace_for));
        out.number(self.generation);
        out.number(self.groups.len() as u64);
        for (name, version) in &self.groups {
            out.bytes(name);
            out.number(version.hard);
            out.number(version.soft);
        }
        out.raw(&self.fingerprint.to_le_bytes());
        for text in [self.serializer, self.compressor, self.encryption, self.key_id] {
            out.bytes(text.as_bytes());
        }
        out.bytes(self.nonce);
        out.bytes(self.args_digest);
        out.bytes(self.etag.as_bytes());
        let checksum = checksum(out.written(), self.payload);
        out.raw(&checksum.to_le_bytes());
        out.raw(self.payload);
        out.finish()
    }

    /// Reads an envelope whose payload has at most `max_value` bytes; the checksum is not compared where the bytes were
    /// `verified` before.
    ///
    /// # Errors
    ///
    /// A [`Fault`], which tells damage from what a newer program may have written.
    pub(super) fn decode(bytes: &'a [u8], verified: bool, max_value: u64) -> Result<Self, Fault> {
        Envelope::read(bytes, verified, max_value).unwrap_or_else(|| Err(damaged("it is cut short")))
    }

    /// `None` where the bytes end too soon.
    fn read(bytes: &'a [u8], verified: bool, max_value: u64) -> Option<Result<Self, Fault>> {
        let mut input = Reader::new(bytes);
        if input.raw(2)? != MAGIC {
            return Some(Err(damaged("it does not begin like one")));
        }
        let &[wire, flags] = input.raw(2)? else { return None };
        if wire != WIRE {
            return Some(Err(unknown(&format!("wire version {wire}"))));
        }
        let Some(outermost) = Outermost::from_flags(flags) else {
            return Some(Err(unknown(&format!("flags {flags:#x}"))));
        };
        let mut envelope = Envelope::new(outermost, SystemTime::UNIX_EPOCH, "", &[]);
        envelope.created = input.number()?;
        envelope.load_time = Duration::from_micros(input.number()?);
        envelope.fresh_for = input.number()?.checked_sub(1).map(Duration::from_millis);
        envelope.stale_for = Duration::from_millis(input.number()?);
        envelope.grace_for = Duration::from_millis(input.number()?);
        envelope.generation = input.number()?;
        let groups = input.number()?;
        if groups > MOST_GROUPS as u64 {
            return Some(Err(Fault::Security(too_many_groups(groups))));
        }
        for _ in 0..groups {
            let name = input.bytes()?;
            let version = Version { hard: input.number()?, soft: input.number()? };
            envelope.groups.push((name, version));
        }
        envelope.fingerprint = u64::from_le_bytes(*input.raw(8)?.first_chunk()?);
        envelope.serializer = input.text()?;
        envelope.compressor = input.text()?;
        envelope.encryption = input.text()?;
        envelope.key_id = input.text()?;
        envelope.nonce = input.bytes()?;
        envelope.args_digest = input.bytes()?;
        envelope.etag = input.text()?;
        let header = input.read_so_far();
        if header.len() > MOST_HEADER {
            return Some(Err(Fault::Security(header_too_long(header.len()))));
        }
        let stored = u64::from_le_bytes(*input.raw(8)?.first_chunk()?);
        let payload = input.rest();
        if payload.len() as u64 > max_value {
            return Some(Err(Fault::Security(too_large(payload.len(), max_value))));
        }
        if !verified && checksum(header, payload) != stored {
            return Some(Err(Fault::Tampered(damage("its checksum does not match"))));
        }
        envelope.payload = payload;
        Some(envelope.check_names().map(|()| envelope))
    }

    /// Whether this program can get at the payload.
    fn check_names(&self) -> Result<(), Fault> {
        let names = [("compressor", self.compressor), ("encryption", self.encryption)];
        match names.iter().find(|(_, name)| !name.is_empty()) {
            Some((what, name)) => Err(unknown_name(what, name)),
            None => Ok(()),
        }
    }

    /// Its age, `None` for an entry from the future.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        let (now, skew) = (millis(now), whole_millis(MAX_SKEW));
        (self.created <= now.saturating_add(skew)).then(|| Duration::from_millis(now.saturating_sub(self.created)))
    }
}

/// Whether the header of an entry has room for these groups.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] where no reader would accept it.
pub(super) fn check_groups(groups: &[Group]) -> Result<(), Error> {
    let bytes = NOT_GROUPS + groups.iter().map(|group| group.as_str().len() + GROUP).sum::<usize>();
    if groups.len() > MOST_GROUPS {
        return Err(too_many_groups(groups.len() as u64));
    }
    if bytes > MOST_HEADER { Err(header_too_long(bytes)) } else { Ok(()) }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, whole_millis)
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

/// XXH3 over the header, seeded with that of the payload: it finds damage, not forgery. The other way round costs more:
/// a seed makes the hash of a long text expand its secret anew.
fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(payload), header)
}

/// Why an entry cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read, and should be.
    Damaged(Error),
    /// The same, and somebody may have meant it so.
    Tampered(Error),
    /// It may be what it says, and is refused: too large, with too many groups, or of other arguments.
    Security(Error),
    /// A newer program may have written it, or one with other serializers. It is not to be deleted.
    Unknown(Error),
    /// It could not be read just now.
    Failed(Error),
}

impl Fault {
    pub(super) fn into_error(self) -> Error {
        match self {
            Fault::Damaged(error)
            | Fault::Tampered(error)
            | Fault::Security(error)
            | Fault::Unknown(error)
            | Fault::Failed(error) => error,
        }
    }
}

fn damage(how: &'static str) -> Error {
    Error::new(ErrorKind::Codec, format!("a stored entry is damaged: {how}"))
}

pub(super) fn damaged(how: &'static str) -> Fault {
    Fault::Damaged(damage(how))
}

/// A value above the limit, on its way in or out.
pub(super) fn too_large(bytes: usize, max_value: u64) -> Error {
    let text = format!("a value of {bytes} bytes is larger than `max_value`, which is {max_value}");
    Error::new(ErrorKind::Codec, text)
}

fn too_many_groups(groups: u64) -> Error {
    let text = format!("an entry with {groups} groups is refused: it may have {MOST_GROUPS}, its tags among them");
    Error::new(ErrorKind::Unsupported, text)
}

fn header_too_long(bytes: usize) -> Error {
    let text = format!(
        "an entry with a header of {bytes} bytes is refused: it may have {MOST_HEADER}, the names of its tags among them"
    );
    Error::new(ErrorKind::Unsupported, text)
}

fn unknown(what: &str) -> Fault {
    let text = format!("a stored entry has {what}, which this program does not know");
    Fault::Unknown(Error::new(ErrorKind::Unsupported, text))
}

/// The same of a name in its header, which is shown as far as it is short, and without control characters.
pub(super) fn unknown_name(what: &str, name: &str) -> Fault {
    let shown: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    unknown(&format!("{what} `{shown}`"))
}

#[cfg(test)]
mod tests;
