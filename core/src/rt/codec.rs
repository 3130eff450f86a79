//! Values as bytes, and back. The outermost `Some` or `None` is the envelope's affair: the payload never says it.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use retainit_plugin::{Bytes, Serializer, ValueType, caught, erased_serde};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fingerprint::{Shape, shape};
use super::{faithful, guard, outermost};
use crate::engine::{Deadline, Format, Outermost};
use crate::{Error, ErrorKind, Result};

/// Writes a value as bytes and reads it back.
pub struct Codec<V> {
    encode: fn(&V, Option<&Format>) -> Result<Encoded>,
    decode: fn(&Sealed<&[u8]>, Option<Source<'_>>) -> Result<V>,
    pub(crate) types: fn() -> Types,
}

/// What a payload is a part of, and until when it has to be read.
#[derive(Clone, Copy)]
struct Source<'a> {
    whole: &'a Bytes,
    deadline: &'a Deadline<'a>,
}

/// What a serializer has to know of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    pub(crate) value: ValueType,
    pub(crate) shape: fn() -> Shape,
}

/// A value as it goes into an envelope.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) serializer: &'static str,
    pub(crate) fingerprint: u64,
    pub(crate) outermost: Outermost,
    pub(crate) payload: Vec<u8>,
}

/// A value as it comes out of one.
#[derive(Clone, Debug)]
pub(crate) struct Sealed<P> {
    pub(crate) format: Format,
    pub(crate) fingerprint: u64,
    pub(crate) outermost: Outermost,
    pub(crate) payload: P,
}

impl<V> Clone for Codec<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Codec<V> {}

impl<V> std::fmt::Debug for Codec<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codec")
    }
}

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> {
    pub(crate) const fn new() -> Codec<V> {
        Codec { encode, decode, types: types::<V> }
    }
}

impl<V> Codec<V> {
    /// Writes a value; without a format, in the one of its type.
    pub(crate) fn write(&self, value: &V, format: Option<&Format>) -> Result<Encoded> {
        // A panic in a serializer, or in a type's own code for it, does not become the caller's.
        caught(ErrorKind::Codec, "writing the value", || (self.encode)(value, format))?
    }

    /// Reads a value back from a payload that is a part of `whole`.
    pub(crate) fn read(&self, sealed: &Sealed<&[u8]>, whole: &Bytes, deadline: &Deadline<'_>) -> Result<V> {
        let read = || (self.decode)(sealed, Some(Source { whole, deadline }));
        caught(ErrorKind::Codec, "reading the stored value", read)?
    }
}

fn types<V: DeserializeOwned + 'static>() -> Types {
    Types { value: ValueType::of::<V>(), shape: shape::<V> }
}

fn encode<V: Serialize + DeserializeOwned + 'static>(value: &V, format: Option<&Format>) -> Result<Encoded> {
    let types = types::<V>();
    let format = format.cloned().unwrap_or_else(|| natural(types.value));
    format.takes(&types)?;
    let fingerprint = if format.is_positional() { shape::<V>().fingerprint } else { 0 };
    let outermost = outermost::of(value);
    let payload = if outermost == Outermost::None { Vec::new() } else { payload(value, &format)? };
    let encoded = Encoded { serializer: format.name(), fingerprint, outermost, payload };
    if is_doubtful::<V>(&format) && outermost != Outermost::None {
        comes_back::<V>(&encoded, format)?;
    }
    Ok(encoded)
}

/// The format of a type for which none is named.
fn natural(of: ValueType) -> Format {
    if of.is_text() {
        Format::Text
    } else if of.is_bytes() {
        Format::Bytes
    } else {
        Format::MsgPack
    }
}

fn payload<V: Serialize + DeserializeOwned + 'static>(value: &V, format: &Format) -> Result<Vec<u8>> {
    match format {
        Format::Text => as_text(value).map(|text| text.as_bytes().to_vec()).ok_or_else(|| unlike("text")),
        Format::Bytes => as_bytes(value).map(<[u8]>::to_vec).ok_or_else(|| unlike("bytes")),
        Format::MsgPack => msgpack(value),
        Format::Plugin(_, serializer) => plugged(value, serializer.as_ref()),
    }
}

/// MessagePack with field names. A sequence of `u8` is written as bytes, at a small part of the cost, unless the type
/// asks the format what comes next: what buffers bytes cannot be read as a sequence any more.
fn msgpack<V: Serialize + DeserializeOwned + 'static>(value: &V) -> Result<Vec<u8>> {
    let shape = shape::<V>();
    let mut serializer = rmp_serde::Serializer::new(Vec::with_capacity(128)).with_struct_map();
    let watch = faithful::Watch::new(faithful::Rules {
        positional: false,
        empty_unit_struct: false,
        non_finite: true,
        bytes: !shape.asks && !shape.cut,
    });
    faithful::Faithful::payload(value, &watch).serialize(&mut serializer).map_err(unwritten)?;
    Ok(serializer.into_inner())
}

fn plugged<V: Serialize>(value: &V, serializer: &dyn Serializer) -> Result<Vec<u8>> {
    let watch = faithful::Watch::new(faithful::Rules {
        positional: serializer.is_positional(),
        empty_unit_struct: true,
        non_finite: serializer.keeps_non_finite(),
        bytes: false,
    });
    let mut out = Vec::with_capacity(128);
    serializer.serialize(&faithful::Faithful::payload(value, &watch), &mut out)?;
    Ok(out)
}

/// Whether a value may be written without an error and come back as another: where fields go by their place, and
/// where what comes back is found by trying.
fn is_doubtful<V: DeserializeOwned + 'static>(format: &Format) -> bool {
    match format {
        Format::Text | Format::Bytes => false,
        Format::MsgPack => shape::<V>().asks,
        Format::Plugin(..) => format.is_positional() || shape::<V>().asks,
    }
}

/// Reads back what was written and writes it again. The bytes have to be the same, but need not be in the same order,
/// for maps have none.
fn comes_back<V: Serialize + DeserializeOwned + 'static>(encoded: &Encoded, format: Format) -> Result<()> {
    let sealed =
        Sealed { fingerprint: encoded.fingerprint, outermost: encoded.outermost, payload: &*encoded.payload, format };
    let value: V = decode(&sealed, None)?;
    if outermost::of(&value) == sealed.outermost && is_reordered(&payload(&value, &sealed.format)?, sealed.payload) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Codec, "the value would come back as another, so it is not stored"))
}

/// Whether two texts have the same bytes, each as often.
fn is_reordered(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let mut surplus = [0i64; 256];
    one.iter().for_each(|byte| surplus[usize::from(*byte)] += 1);
    other.iter().for_each(|byte| surplus[usize::from(*byte)] -= 1);
    surplus.iter().all(|count| *count == 0)
}

fn decode<V: DeserializeOwned + 'static>(sealed: &Sealed<&[u8]>, source: Option<Source<'_>>) -> Result<V> {
    if sealed.format.is_positional() && sealed.fingerprint != shape::<V>().fingerprint {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("a stored entry is of another shape than {}", std::any::type_name::<V>()),
        ));
    }
    let watch = guard::Watch::new(source.map(|source| source.deadline));
    let value = match &sealed.format {
        _ if sealed.outermost == Outermost::None => {
            let nothing = serde::de::value::UnitDeserializer::<serde::de::value::Error>::new();
            V::deserialize(guard::Guard::payload(nothing, &watch, Outermost::None)).map_err(unread)
        }
        // Copies, which no deadline has to watch.
        Format::Text => return String::from_utf8(sealed.payload.to_vec()).map_err(unread).and_then(from_text),
        Format::Bytes => return from_bytes(sealed.payload, source.map(|source| source.whole)),
        Format::MsgPack => {
            let mut payload = rmp_serde::Deserializer::from_read_ref(sealed.payload);
            payload.set_max_depth(guard::MAX_DEPTH as usize);
            V::deserialize(guard::Guard::payload(&mut payload, &watch, sealed.outermost)).map_err(unread)
        }
        Format::Plugin(_, serializer) => unplugged(sealed, serializer.as_ref(), &watch),
    };
    match watch.is_late() {
        true => Err(Error::new(ErrorKind::Timeout, "reading a stored value takes longer than `decode_timeout`")),
        false => value,
    }
}

fn unplugged<V: DeserializeOwned>(
    sealed: &Sealed<&[u8]>,
    serializer: &dyn Serializer,
    watch: &guard::Watch<'_>,
) -> Result<V> {
    let mut value = None;
    serializer.deserialize(sealed.payload, &mut |input: &mut dyn erased_serde::Deserializer<'_>| {
        value = Some(V::deserialize(guard::Guard::payload(input, watch, sealed.outermost))?);
        Ok(())
    })?;
    value.ok_or_else(|| {
        Error::new(ErrorKind::Codec, format!("the serializer `{}` has read no value", serializer.name()))
    })
}

fn unwritten(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, "the value could not be serialized").source(source)
}

fn unread(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, "the stored value could not be read").source(source)
}

fn unlike(what: &str) -> Error {
    Error::new(ErrorKind::Codec, format!("the type of the value is not {what}"))
}

// ------------------------------------------------------------------------------------------------- text and bytes

/// The `T` in a value that is `T` or `Some` of it.
fn inside<T: 'static>(value: &dyn Any) -> Option<&T> {
    value.downcast_ref::<T>().or_else(|| value.downcast_ref::<Option<T>>()?.as_ref())
}

/// `V` of a `T`, where `V` is `T` or an option of it.
fn made<T: 'static, V: 'static>(value: T) -> Option<V> {
    fn same<T: 'static, V: 'static>(value: T) -> Result<V, Option<T>> {
        let mut value = Some(value);
        let same = (&mut value as &mut dyn Any).downcast_mut::<Option<V>>().and_then(Option::take);
        same.ok_or(value)
    }
    match same::<T, V>(value) {
        Ok(value) => Some(value),
        Err(value) => same::<Option<T>, V>(value).ok(),
    }
}

fn as_text(value: &dyn Any) -> Option<&str> {
    inside::<String>(value)
        .map(String::as_str)
        .or_else(|| inside::<Box<str>>(value).map(|text| &**text))
        .or_else(|| inside::<Arc<str>>(value).map(|text| &**text))
        .or_else(|| inside::<Cow<'static, str>>(value).map(|text| &**text))
}

fn from_text<V: 'static>(text: String) -> Result<V> {
    let of = ValueType::of::<V>();
    let value = if of.is::<Box<str>>() {
        made(text.into_boxed_str())
    } else if of.is::<Arc<str>>() {
        made(Arc::<str>::from(text))
    } else if of.is::<Cow<'static, str>>() {
        made(Cow::<'static, str>::Owned(text))
    } else {
        made(text)
    };
    value.ok_or_else(|| unlike("text"))
}

fn as_bytes(value: &dyn Any) -> Option<&[u8]> {
    inside::<Vec<u8>>(value)
        .map(Vec::as_slice)
        .or_else(|| inside::<Box<[u8]>>(value).map(|bytes| &**bytes))
        .or_else(|| inside::<Arc<[u8]>>(value).map(|bytes| &**bytes))
        .or_else(|| inside::<Bytes>(value).map(|bytes| &**bytes))
}

/// From this size on `Bytes` are shared with what was read: a few bytes of header stay with them, and none are copied.
const SHARED: usize = 4 << 10;

fn from_bytes<V: 'static>(bytes: &[u8], whole: Option<&Bytes>) -> Result<V> {
    let of = ValueType::of::<V>();
    let value = if of.is::<Box<[u8]>>() {
        made(Box::<[u8]>::from(bytes))
    } else if of.is::<Arc<[u8]>>() {
        made(Arc::<[u8]>::from(bytes))
    } else if of.is::<Bytes>() {
        let whole = whole.filter(|_| bytes.len() >= SHARED);
        made(whole.map_or_else(|| Bytes::copy_from_slice(bytes), |whole| whole.slice_ref(bytes)))
    } else {
        made(bytes.to_vec())
    };
    value.ok_or_else(|| unlike("bytes"))
}

#[cfg(test)]
mod tests;
