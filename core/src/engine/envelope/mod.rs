//! Encodes entries of byte backends: a header that never changes once written, and the payload.
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
//! | epoch | of the writing instance; distinguishes one write of a key from the next |
//! | groups | how many, at most 256, then name, hard and soft version of each |
//! | fingerprint | eight bytes; zero for self-describing payloads |
//! | serializer, compressor, encryption | names; empty for none |
//! | key id, nonce | of the encryption; empty for none |
//! | args digest | bytes; empty where the key shows the arguments |
//! | etag | text; empty for none |
//! | checksum | eight bytes over everything else |
//! | payload | the rest |
//!
//! The part before the checksum has at most 64 KiB.

mod wire;

use std::time::{Duration, SystemTime};

use retainit_plugin::{Bytes, Error, ErrorKind, GroupVersion, Moment};
use smallvec::SmallVec;
use twox_hash::XxHash3_64;

use super::groups::{Group, MOST_GROUPS};
use super::verdict::Timeline;
use crate::value::OptionTag;
use wire::{Reader, Writer};

const MAGIC: [u8; 2] = *b"RI";
const WIRE: u8 = 1;

/// Size of the header of an ordinary entry with a few tags, in bytes.
const HEADER: usize = 256;

/// The most bytes of a header, which a read decodes before it knows whether the entry may be served.
const MOST_HEADER: usize = 64 << 10;

/// The most bytes of a group in a header without its name: the length of the name and two versions.
const GROUP: usize = 23;

/// The most bytes of a header without its groups.
const NOT_GROUPS: usize = 4 << 10;

/// Number of characters of a name from a header that are shown: its text may come from anywhere.
const SHOWN: usize = 64;

/// An entry of a byte backend, whose parts borrow from the bytes that were read, or from the value that will be
/// written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    pub(super) option_tag: OptionTag,
    /// Time of creation, in milliseconds since the Unix epoch.
    pub(super) created: u64,
    pub(super) load_time: Duration,
    pub(super) fresh_for: Option<Duration>,
    pub(super) stale_for: Duration,
    pub(super) grace_for: Duration,
    pub(super) epoch: u64,
    /// Groups of the entry, with their versions before its load began.
    pub(super) groups: SmallVec<[(&'a [u8], GroupVersion); 4]>,
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
    pub(super) fn new(option_tag: OptionTag, created: SystemTime, serializer: &'a str, payload: &'a [u8]) -> Self {
        Envelope {
            option_tag,
            created: millis(created),
            load_time: Duration::ZERO,
            fresh_for: None,
            stale_for: Duration::ZERO,
            grace_for: Duration::ZERO,
            epoch: 0,
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
        out.raw(&[WIRE, self.option_tag.flags()]);
        out.number(self.created);
        out.number(u64::try_from(self.load_time.as_micros()).unwrap_or(u64::MAX));
        out.number(self.fresh_for.map_or(0, |fresh_for| whole_millis(fresh_for).saturating_add(1)));
        out.number(whole_millis(self.stale_for));
        out.number(whole_millis(self.grace_for));
        out.number(self.epoch);
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

    /// Decodes an envelope whose payload has at most `max_value` bytes. The checksum is not compared if the bytes were
    /// `verified` before.
    ///
    /// # Errors
    ///
    /// A [`Fault`], which distinguishes damage from formats that a newer program may have written.
    pub(super) fn decode(bytes: &'a [u8], verified: bool, max_value: u64) -> Result<Self, Fault> {
        Envelope::read(bytes, verified, max_value).unwrap_or_else(|| Err(damaged("it is cut short")))
    }

    /// Decodes an envelope; `None` if the bytes end too soon.
    fn read(bytes: &'a [u8], verified: bool, max_value: u64) -> Option<Result<Self, Fault>> {
        let mut input = Reader::new(bytes);
        if input.raw(2)? != MAGIC {
            return Some(Err(damaged("it does not begin like one")));
        }
        let &[wire, flags] = input.raw(2)? else { return None };
        if wire != WIRE {
            return Some(Err(unknown(&format!("wire version {wire}"))));
        }
        let Some(option_tag) = OptionTag::from_flags(flags) else {
            return Some(Err(unknown(&format!("flags {flags:#x}"))));
        };
        let mut envelope = Envelope::new(option_tag, SystemTime::UNIX_EPOCH, "", &[]);
        envelope.created = input.number()?;
        envelope.load_time = Duration::from_micros(input.number()?);
        envelope.fresh_for = input.number()?.checked_sub(1).map(Duration::from_millis);
        envelope.stale_for = Duration::from_millis(input.number()?);
        envelope.grace_for = Duration::from_millis(input.number()?);
        envelope.epoch = input.number()?;
        // Checked before the loop: the number comes from the store, and each group takes memory.
        let groups = input.number()?;
        if groups > MOST_GROUPS as u64 {
            return Some(Err(Fault::Security(too_many_groups(groups))));
        }
        for _ in 0..groups {
            let name = input.bytes()?;
            let version = GroupVersion { hard: input.number()?, soft: input.number()? };
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
        // Last, after all limits: a payload above the limit is not hashed.
        if !verified && checksum(header, payload) != stored {
            return Some(Err(Fault::Tampered(damage("its checksum does not match"))));
        }
        envelope.payload = payload;
        Some(envelope.check_names().map(|()| envelope))
    }

    /// Checks that this program has the compressor and the cipher of the payload.
    fn check_names(&self) -> Result<(), Fault> {
        let names = [("compressor", self.compressor), ("encryption", self.encryption)];
        match names.iter().find(|(_, name)| !name.is_empty()) {
            Some((what, name)) => Err(unknown_name(what, name)),
            None => Ok(()),
        }
    }

    /// Returns its times by the wall clock, see [`wall_moment`].
    pub(super) fn timeline(&self) -> Timeline {
        let created = Moment::from_millis(self.created);
        Timeline {
            created,
            fresh_until: self.fresh_for.map_or(Moment::NEVER, |fresh_for| created.after(fresh_for)),
            stale_for: self.stale_for,
            grace_for: self.grace_for,
            // Shared stores do not note when an entry is read.
            idle_until: Moment::NEVER,
        }
    }

    /// Returns its age; zero for an entry from the future.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(millis(now).saturating_sub(self.created))
    }
}

/// Returns wall time as a moment: milliseconds since the epoch.
pub(super) fn wall_moment(wall: SystemTime) -> Moment {
    Moment::from_millis(millis(wall))
}

/// Checks that the header of an entry has room for these groups.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if readers would refuse the header.
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

/// Returns XXH3 over the header, seeded with that of the payload: it detects damage, not forgery. The other order costs
/// more: with a seed, the hash of a long text has to derive its secret anew.
fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(payload), header)
}

/// Reason why an entry cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The entry cannot be decoded, although this program should be able to.
    Damaged(Error),
    /// The entry was changed after it was written, perhaps on purpose.
    Tampered(Error),
    /// The entry is well-formed and is refused: too large, with too many groups, or of other arguments.
    Security(Error),
    /// The entry may come from a newer program, or from one with other serializers. It must not be deleted.
    Unknown(Error),
    /// The entry could not be read just now.
    Failed(Error),
}

impl Fault {
    pub(crate) fn into_error(self) -> Error {
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

/// Returns the error of a value above the limit, when it is stored or read.
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

/// Returns the fault of a name in a header that this program does not have. The name is shown cut and escaped.
pub(super) fn unknown_name(what: &str, name: &str) -> Fault {
    let shown: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    unknown(&format!("{what} `{shown}`"))
}

#[cfg(test)]
mod tests;
