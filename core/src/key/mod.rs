//! Keys: canonical, injective, and stable across builds, processes and machines.

mod canon;
mod hash;
mod pattern;
mod sink;
mod template;
pub(crate) mod text;
mod token;

use std::any::TypeId;

use retainit_plugin::{Error, ErrorKind, Result};

use retainit_plugin::caught;
use serde::Serialize;

pub use canon::KeyError;
pub(crate) use hash::HashSeed;
pub use pattern::Pattern;
pub use sink::Sink;
pub(crate) use template::fill;
pub use template::{Template, Values};

use sink::{Bytes, EqSink};

/// Source of a key's bytes: arguments or a template.
pub trait KeySource {
    /// True if the bytes are text already, as a template's are.
    const IS_TEXT: bool;

    /// True if writing the bytes may run code of the program: a `Serialize` of its own. Such code may use the cache, so
    /// that it never runs under a lock.
    const RUNS_USER_CODE: bool;

    /// Writes the canonical bytes into `sink`: the same bytes on every call.
    ///
    /// # Errors
    ///
    /// The error of a value's own `Serialize`.
    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError>;
}

/// Arguments of a call: one value, or a tuple of several.
#[derive(Clone, Copy, Debug)]
pub struct Args<T>(pub T);

impl<T: Serialize> KeySource for Args<T> {
    const IS_TEXT: bool = false;
    const RUNS_USER_CODE: bool = true;

    #[inline(always)]
    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        self.0.serialize(canon::Canon::top(sink))
    }
}

/// Arguments of types of the standard library: numbers, text, and lists of them.
#[derive(Clone, Copy, Debug)]
pub struct StdArgs<T>(pub T);

impl<T: Serialize> KeySource for StdArgs<T> {
    const IS_TEXT: bool = false;
    const RUNS_USER_CODE: bool = false;

    #[inline(always)]
    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        self.0.serialize(canon::Canon::top(sink))
    }
}

/// Returns true if `T` is a number or text of the standard library.
#[inline(always)]
pub(crate) fn is_std<T: ?Sized>() -> bool {
    let of = typeid::of::<T>();
    macro_rules! any {
        ($($ty:ty)*) => { $(of == TypeId::of::<$ty>())||* };
    }
    any!(u64 i64 u32 i32 str String &'static str usize isize u16 i16 u8 i8 u128 i128 bool char)
}

/// Hashes a key without a copy of its bytes.
#[inline(always)]
pub(crate) fn hash<K: KeySource>(seed: &HashSeed, key: &K) -> Result<u64, KeyError> {
    let mut sink = seed.sink();
    key.feed(&mut sink)?;
    Ok(sink.finish())
}

/// Compares a key with stored bytes without a copy.
#[inline(always)]
pub(crate) fn is_equal<K: KeySource>(key: &K, stored: &[u8]) -> bool {
    let mut sink = EqSink::new(stored);
    key.feed(&mut sink).is_ok() && sink.is_equal()
}

/// A key by value, for use after the loader has taken the arguments.
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
    /// Copies a key's bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Key`] with the error of the value's own `Serialize`, or with the text of its panic.
    pub fn new(key: &impl KeySource) -> Result<KeyBuf> {
        caught(ErrorKind::Key, "writing the key", || KeyBuf::take(key))?
            .map_err(|error| Error::new(ErrorKind::Key, "the key has no canonical form").with_source(error))
    }

    fn take<K: KeySource>(key: &K) -> Result<KeyBuf, KeyError> {
        let mut bytes = Bytes::new();
        key.feed(&mut bytes)?;
        let mut sink = HashSeed::of_process().sink();
        // Hashed from the bytes: serializing the value again may be slow, and may give a different result.
        let kind = if K::IS_TEXT {
            sink.put(&bytes);
            KeyKind::Text
        } else {
            token::replay(&bytes, &mut sink);
            KeyKind::Canonical
        };
        Ok(KeyBuf { bytes, hash: sink.finish(), kind })
    }

    /// Returns the key with its bytes replaced by a keyed hash of its text, for `hash_key` and `pii`.
    pub(crate) fn digested(&self, secret: &[u8; 32]) -> KeyBuf {
        let digest = blake3::keyed_hash(secret, self.full_text().as_bytes());
        let mut bytes = Bytes::new();
        bytes.extend_from_slice(&digest.as_bytes()[..16]);
        let mut sink = HashSeed::of_process().sink();
        sink.put(&bytes);
        KeyBuf { bytes, hash: sink.finish(), kind: KeyKind::Digest }
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

    /// Returns the full digest of arguments that the key names by half of it; empty where the key contains them.
    pub(crate) fn args_digest(&self) -> Vec<u8> {
        self.write_text(&mut String::new())
    }

    /// Writes the `{args}` part of the logical key. Returns the full digest of arguments that the part names by half of
    /// it; empty for others.
    pub(crate) fn write_text(&self, out: &mut String) -> Vec<u8> {
        write_arguments(self.kind, &self.bytes, out)
    }

    /// Returns the `{args}` part of the logical key.
    pub(crate) fn text(&self) -> String {
        arguments_text(self.kind, &self.bytes)
    }
}

/// Returns the `{args}` part for stored bytes of a kind.
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

#[cfg(test)]
mod tests;
