//! Values as bytes, and back. The envelope holds the outermost `Some` or `None`; the payload never does.

use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::sync::Arc;

use retainit_plugin::{Bytes, Contained, Error, ErrorKind, Result, Serializer, ValueType, caught, erased_serde};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fingerprint::{TypeSchema, shape};
use super::{Deadline, Equal, Format, OptionTag, ReadBack, altered, bounded, digest, option_tag, round_trip};

/// Writer of a value as bytes, and reader of them.
pub struct Codec<V> {
    encode: Encode<V>,
    decode: fn(&Sealed<&[u8]>, Option<PayloadSource<'_>>) -> Result<V>,
    pub(crate) types: fn() -> Types,
}

type Encode<V> = fn(&V, Option<&Format>, Option<Back<'_, V>>) -> Result<Encoded>;

/// The bytes that a payload is a part of, and the deadline for reading it.
#[derive(Clone, Copy)]
struct PayloadSource<'a> {
    whole: &'a Bytes,
    deadline: &'a Deadline<'a>,
}

/// Comparison of a written value with what is read back.
struct Back<'a, V> {
    history: &'a ReadBack,
    equal: Option<Equal<V>>,
    source: Option<PayloadSource<'a>>,
}

/// A type as a serializer needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types {
    pub(crate) value: ValueType,
    pub(crate) shape: fn() -> TypeSchema,
}

/// A value as it is put into an envelope.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) serializer: &'static str,
    pub(crate) fingerprint: u64,
    pub(crate) option_tag: OptionTag,
    pub(crate) payload: Vec<u8>,
}

/// A value as it is taken out of an envelope.
#[derive(Clone, Debug)]
pub(crate) struct Sealed<P> {
    pub(crate) format: Format,
    pub(crate) fingerprint: u64,
    pub(crate) option_tag: OptionTag,
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
    /// Writes a value; without a format, in the one of its type. Where `history` and the value's type leave doubt, the
    /// value is read back and compared: by `equal` if that is given.
    pub(crate) fn write(
        &self,
        value: &V,
        format: Option<&Format>,
        equal: Option<Equal<V>>,
        history: &ReadBack,
        deadline: &Deadline<'_>,
    ) -> Result<Encoded> {
        static APART: Bytes = Bytes::new();
        let back = Back { history, equal, source: Some(PayloadSource { whole: &APART, deadline }) };
        // Serializers and `Serialize` implementations are code of others: their panic is an error of the cache only.
        caught(ErrorKind::Codec, "writing the value", || (self.encode)(value, format, Some(back)))?
    }

    /// Reads a value from a payload that is a part of `whole`.
    pub(crate) fn read(&self, sealed: &Sealed<&[u8]>, whole: &Bytes, deadline: &Deadline<'_>) -> Result<V> {
        let read = || (self.decode)(sealed, Some(PayloadSource { whole, deadline }));
        caught(ErrorKind::Codec, "reading the stored value", read)?
    }
}

fn types<V: DeserializeOwned + 'static>() -> Types {
    Types { value: ValueType::of::<V>(), shape: shape::<V> }
}

/// Writes a value; without `back` it is never read back.
fn encode<V: Serialize + DeserializeOwned + 'static>(
    value: &V,
    format: Option<&Format>,
    back: Option<Back<'_, V>>,
) -> Result<Encoded> {
    let types = types::<V>();
    let format = format.cloned().unwrap_or_else(|| natural(types.value));
    format.takes(&types)?;
    let option_tag = option_tag::of(value);
    // Text and bytes are copied, and need no check that they come back.
    if format.is_verbatim() {
        let payload = if option_tag == OptionTag::None { Vec::new() } else { verbatim(value, &format)? };
        return Ok(Encoded { serializer: format.name(), fingerprint: 0, option_tag, payload });
    }
    // A positional format cannot notice a changed type by itself; the fingerprint does.
    let shape = shape::<V>();
    let fingerprint = if format.is_positional() { shape.fingerprint } else { 0 };
    let watch = round_trip::WriteProgress::new(rules(&format, &shape), shape.compounds);
    let payload = if option_tag == OptionTag::None { Vec::new() } else { payload(value, &format, &watch)? };
    let encoded = Encoded { serializer: format.name(), fingerprint, option_tag, payload };
    let doubtful =
        shape.needs_self_describing || shape.cut || shape.unseen || format.is_positional() || watch.has_left_out();
    // A part that is skipped on both ways is seen by no trace, and only by `PartialEq`: a type that could have one is
    // compared each time.
    let may_skip = |back: &Back<'_, V>| back.equal.is_some() && !shape.compounds.is_empty();
    let is_due = |back: &Back<'_, V>| back.history.is_due(TypeId::of::<V>(), format.name(), doubtful || may_skip(back));
    if let Some(back) = back.filter(is_due) {
        check_read_back(value, &encoded, &format, &back).inspect_err(|_| back.history.note_failure())?;
    }
    Ok(encoded)
}

/// Returns the format of a type for which none is named.
fn natural(of: ValueType) -> Format {
    if of.is_text() {
        Format::Text
    } else if of.is_bytes() {
        Format::Bytes
    } else {
        Format::MsgPack
    }
}

/// Copies text and bytes, which come back as they are.
fn verbatim<V: 'static>(value: &V, format: &Format) -> Result<Vec<u8>> {
    match format {
        Format::Text => as_text(value).map(|text| text.as_bytes().to_vec()).ok_or_else(|| unlike("text")),
        _ => as_bytes(value).map(<[u8]>::to_vec).ok_or_else(|| unlike("bytes")),
    }
}

/// Returns the limits of a format.
fn rules(format: &Format, shape: &TypeSchema) -> round_trip::FormatRules {
    match format {
        Format::Plugin(_, serializer) => round_trip::FormatRules {
            positional: serializer.is_positional(),
            empty_unit_struct: true,
            non_finite: serializer.keeps_non_finite(),
            bytes: false,
        },
        // A sequence of `u8` is written as bytes, at a small part of the cost, unless the type asks the format for the
        // next kind: buffered bytes cannot be read as a sequence any more.
        _ => round_trip::FormatRules {
            positional: false,
            empty_unit_struct: false,
            non_finite: true,
            bytes: !shape.needs_self_describing && !shape.cut,
        },
    }
}

/// Writes a value in a plugin's format or, with field names, in MessagePack.
fn payload<V: Serialize>(value: &V, format: &Format, watch: &round_trip::WriteProgress) -> Result<Vec<u8>> {
    let value = round_trip::RoundTripSerializer::payload(value, watch);
    let mut out = Vec::with_capacity(128);
    match format {
        Format::Plugin(_, serializer) => serializer.serialize(&value, &mut out)?,
        _ => {
            let mut serializer = rmp_serde::Serializer::new(&mut out).with_struct_map();
            value.serialize(&mut serializer).map_err(unwritten)?;
        }
    }
    Ok(out)
}

/// Reads a written value back and compares it with the original.
fn check_read_back<V: Serialize + DeserializeOwned + 'static>(
    value: &V,
    encoded: &Encoded,
    format: &Format,
    back: &Back<'_, V>,
) -> Result<()> {
    let sealed = Sealed {
        fingerprint: encoded.fingerprint,
        option_tag: encoded.option_tag,
        payload: &*encoded.payload,
        format: format.clone(),
    };
    let read = caught(ErrorKind::Codec, "reading the value back", || decode::<V>(&sealed, back.source)).flatten();
    let altered = |unreadable| altered(type_name::<V>(), format.name(), unreadable);
    let read = Contained::new(read.map_err(|error| altered(Some(error)))?);
    if is_same(value, &*read, back.equal) { Ok(()) } else { Err(altered(None)) }
}

/// Returns true if two values are equal. Values that do not equal themselves, such as NaN, or cannot be compared, are
/// compared by the digest of their serializer calls; a value whose digest changes each time counts as equal.
fn is_same<V: Serialize>(value: &V, other: &V, equal: Option<Equal<V>>) -> bool {
    let compared = |one, other| caught(ErrorKind::Codec, "comparing", || equal.map(|equal| equal(one, other)));
    match compared(value, other) {
        Ok(Some(true)) => return true,
        Ok(Some(false)) if matches!(compared(value, value), Ok(Some(true))) => return false,
        _ => {}
    }
    let one = digest::digest(value);
    one == digest::digest(other) || one != digest::digest(value)
}

fn decode<V: DeserializeOwned + 'static>(sealed: &Sealed<&[u8]>, source: Option<PayloadSource<'_>>) -> Result<V> {
    if sealed.format.is_positional() && sealed.fingerprint != shape::<V>().fingerprint {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("a stored entry is of another shape than {}", std::any::type_name::<V>()),
        ));
    }
    let watch = bounded::ReadProgress::new(source.map(|source| source.deadline));
    let value = match &sealed.format {
        _ if sealed.option_tag == OptionTag::None => {
            let nothing = serde::de::value::UnitDeserializer::<serde::de::value::Error>::new();
            V::deserialize(bounded::BoundedDeserializer::payload(nothing, &watch, OptionTag::None)).map_err(unread)
        }
        // Copies: no deadline is needed.
        Format::Text => return String::from_utf8(sealed.payload.to_vec()).map_err(unread).and_then(from_text),
        Format::Bytes => return from_bytes(sealed.payload, source.map(|source| source.whole)),
        Format::MsgPack => {
            let mut payload = rmp_serde::Deserializer::from_read_ref(sealed.payload);
            payload.set_max_depth(bounded::MAX_DEPTH as usize);
            V::deserialize(bounded::BoundedDeserializer::payload(&mut payload, &watch, sealed.option_tag))
                .map_err(unread)
        }
        Format::Plugin(_, serializer) => read_by_plugin(sealed, serializer.as_ref(), &watch),
    };
    match watch.is_late() {
        true => Err(Error::new(ErrorKind::Timeout, "reading a stored value takes longer than `decode_timeout`")),
        false => value,
    }
}

fn read_by_plugin<V: DeserializeOwned>(
    sealed: &Sealed<&[u8]>,
    serializer: &dyn Serializer,
    watch: &bounded::ReadProgress<'_>,
) -> Result<V> {
    let mut value = None;
    serializer.deserialize(sealed.payload, &mut |input: &mut dyn erased_serde::Deserializer<'_>| {
        value = Some(V::deserialize(bounded::BoundedDeserializer::payload(input, watch, sealed.option_tag))?);
        Ok(())
    })?;
    value.ok_or_else(|| {
        Error::new(ErrorKind::Codec, format!("the serializer `{}` has read no value", serializer.name()))
    })
}

fn unwritten(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, "the value could not be serialized").with_source(source)
}

fn unread(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, "the stored value could not be read").with_source(source)
}

fn unlike(what: &str) -> Error {
    Error::new(ErrorKind::Codec, format!("the type of the value is not {what}"))
}

// ------------------------------------------------------------------------------------------------- text and bytes

/// Returns the `T` in a value that is `T` or `Some` of it.
fn inside<T: 'static>(value: &dyn Any) -> Option<&T> {
    value.downcast_ref::<T>().or_else(|| value.downcast_ref::<Option<T>>()?.as_ref())
}

/// Converts a `T` to `V`, where `V` is `T` or an option of it.
fn to_value<T: 'static, V: 'static>(value: T) -> Option<V> {
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
        to_value(text.into_boxed_str())
    } else if of.is::<Arc<str>>() {
        to_value(Arc::<str>::from(text))
    } else if of.is::<Cow<'static, str>>() {
        to_value(Cow::<'static, str>::Owned(text))
    } else {
        to_value(text)
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

/// Size from which `Bytes` share the memory that was read: that keeps a few bytes of header alive, and saves the copy.
const SHARED: usize = 4 << 10;

fn from_bytes<V: 'static>(bytes: &[u8], whole: Option<&Bytes>) -> Result<V> {
    let of = ValueType::of::<V>();
    let value = if of.is::<Box<[u8]>>() {
        to_value(Box::<[u8]>::from(bytes))
    } else if of.is::<Arc<[u8]>>() {
        to_value(Arc::<[u8]>::from(bytes))
    } else if of.is::<Bytes>() {
        let whole = whole.filter(|_| bytes.len() >= SHARED);
        to_value(whole.map_or_else(|| Bytes::copy_from_slice(bytes), |whole| whole.slice_ref(bytes)))
    } else {
        to_value(bytes.to_vec())
    };
    value.ok_or_else(|| unlike("bytes"))
}

#[cfg(test)]
mod tests;
