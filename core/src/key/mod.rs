//! Keys: canonical, injective, stable between builds, processes and machines.

mod canon;
mod pattern;
mod sink;
mod template;
pub(crate) mod text;

use std::hash::{BuildHasher, Hasher};

use retainit_plugin::caught;
use serde::Serialize;

pub use canon::KeyError;
pub use pattern::Pattern;
pub use sink::Sink;
pub use template::{Template, Values};

use crate::{Error, ErrorKind, Result};
use sink::{Bytes, EqSink, HashSink};

/// Something a key can be made of.
pub trait KeySource {
    /// Whether the bytes are text already, as a template's are.
    const IS_TEXT: bool;

    /// Feeds the canonical bytes into `sink`: the same bytes on every call.
    ///
    /// # Errors
    ///
    /// What a value's own `Serialize` says.
    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError>;
}

/// The arguments of a call: one value, or a tuple of several.
#[derive(Clone, Copy, Debug)]
pub struct Args<T>(pub T);

impl<T: Serialize> KeySource for Args<T> {
    const IS_TEXT: bool = false;

    #[inline(always)]
    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        self.0.serialize(canon::Canon::top(sink))
    }
}

/// Two processes hash alike only by chance: a caller cannot choose keys that meet.
static HASHER: std::sync::LazyLock<foldhash::fast::FixedState> = std::sync::LazyLock::new(|| {
    foldhash::fast::FixedState::with_seed(foldhash::fast::RandomState::default().hash_one(0u8))
});

/// The state that hashes keys; a plan keeps a copy beside everything else a hit reads.
pub(crate) fn hasher() -> foldhash::fast::FixedState {
    HASHER.clone()
}

/// Hashes a key where it stands.
#[inline(always)]
pub(crate) fn hash<K: KeySource>(state: &foldhash::fast::FixedState, key: &K) -> Result<u64, KeyError> {
    let mut sink = HashSink(state.build_hasher());
    key.feed(&mut sink)?;
    Ok(sink.0.finish())
}

/// Compares a key where it stands with stored bytes.
#[inline(always)]
pub(crate) fn is_equal<K: KeySource>(key: &K, stored: &[u8]) -> bool {
    let mut sink = EqSink::new(stored);
    key.feed(&mut sink).is_ok() && sink.is_equal()
}

/// A key taken by value: what is left of the arguments when a loader has taken them.
#[derive(Clone, Debug)]
pub struct KeyBuf {
    bytes: Bytes,
    hash: u64,
    kind: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Canonical,
    Text,
    Digest,
}

impl KeyBuf {
    /// Takes a key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`] with what the value's own `Serialize` says, or with the text of its panic.
    pub fn new(key: &impl KeySource) -> Result<KeyBuf> {
        caught(ErrorKind::Key, "writing the key", || KeyBuf::take(key))?
            .map_err(|error| Error::new(ErrorKind::Key, "the key has no canonical form").source(error))
    }

    fn take<K: KeySource>(key: &K) -> Result<KeyBuf, KeyError> {
        let mut bytes = Bytes::new();
        key.feed(&mut bytes)?;
        let kind = if K::IS_TEXT { KeyKind::Text } else { KeyKind::Canonical };
        Ok(KeyBuf { bytes, hash: hash(&HASHER, key)?, kind })
    }

    /// The key with its bytes replaced by a keyed hash of its text, for `hash_key` and `pii`.
    pub(crate) fn digested(&self, secret: &[u8; 32]) -> KeyBuf {
        let digest = blake3::keyed_hash(secret, self.full_text().as_bytes());
        let mut bytes = Bytes::new();
        bytes.extend_from_slice(&digest.as_bytes()[..16]);
        let mut hasher = HASHER.build_hasher();
        hasher.write(&bytes);
        KeyBuf { bytes, hash: hasher.finish(), kind: KeyKind::Digest }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn full_text(&self) -> String {
        let mut out = String::new();
        full_text(self.kind, &self.bytes, &mut out);
        out
    }

    /// The full digest of arguments that the key only names by half of it; empty where the key shows them.
    pub(crate) fn args_digest(&self) -> Vec<u8> {
        self.write_text(&mut String::new())
    }

    /// Writes the `{args}` part of the logical key. Gives the full digest of arguments that it only names by half of
    /// it; empty for others.
    pub(crate) fn write_text(&self, out: &mut String) -> Vec<u8> {
        write_arguments(self.kind, &self.bytes, out)
    }

    /// The `{args}` part of the logical key.
    pub(crate) fn text(&self) -> String {
        arguments_text(self.kind, &self.bytes)
    }
}

/// The `{args}` part for stored bytes of a kind.
pub(crate) fn arguments_text(kind: KeyKind, bytes: &[u8]) -> String {
    let mut out = String::new();
    write_arguments(kind, bytes, &mut out);
    out
}

fn write_arguments(kind: KeyKind, bytes: &[u8], out: &mut String) -> Vec<u8> {
    let begin = out.len();
    full_text(kind, bytes, out);
    if kind == KeyKind::Digest { Vec::new() } else { text::shorten(out, begin) }
}

fn full_text(kind: KeyKind, bytes: &[u8], out: &mut String) {
    match kind {
        KeyKind::Canonical => text::canonical(bytes, out),
        KeyKind::Text => out.push_str(&String::from_utf8_lossy(bytes)),
        KeyKind::Digest => text::push_digest(bytes, out),
    }
}

/// The string, if the canonical bytes are one string.
fn plain_string(bytes: &[u8]) -> Option<&str> {
    let (tag, rest) = bytes.split_first()?;
    let (text, after) = text::split_text(*tag, rest)?;
    std::str::from_utf8(text).ok().filter(|_| after.is_empty())
}

/// The texts that a tuple's values, or one value, have in a template.
pub(crate) fn value_texts<T: Serialize + ?Sized>(value: &T) -> Result<Vec<String>, KeyError> {
    let mut bytes = Bytes::new();
    Args(value).feed(&mut bytes)?;
    Ok(text::elements(&bytes))
}

#[cfg(test)]
mod tests;
