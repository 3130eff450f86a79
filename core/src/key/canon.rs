//! Canonical bytes of any `Serialize` value: two sequences of calls to a serializer produce equal bytes only where they
//! describe equal values.
//!
//! Equal are: integers of any width, and floats of both, by value; one NaN; a sequence, a tuple and an array of the
//! same elements, whether their length was announced or not; a map's entries and a struct's fields in any order;
//! variants by name, at any position in their enum. Everything else that a `Serialize` distinguishes is distinguished
//! here, names of types too: `()`, an empty list and a unit struct, a character and its text, `UserId(5)` and `5`.
//!
//! The bytes are those of [`super::token`]. A list of two or more at the top, such as several arguments, is written
//! without its brackets. No value's bytes are a prefix of another's, so the parts of a sequence can be separated.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::sink::{Bytes, Sink};
use super::token::{
    BYTES, CHAR, END, FALSE, FLOAT, LIST, MAP, NEGATIVE, NEWTYPE_STRUCT, NONE, SOME, STRUCT, TRUE, TUPLE_STRUCT, UINT,
    UNIT, UNIT_STRUCT, VARIANT, WIDE_NEGATIVE, WIDE_UINT, replay,
};

/// Error of a value without a canonical form, as its own `Serialize` reports it.
#[derive(Debug)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

impl ser::Error for KeyError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        KeyError(message.to_string())
    }
}

/// Serializer that writes canonical bytes into a sink.
pub(super) struct Canon<'s, S> {
    sink: &'s mut S,
    top: bool,
}

impl<'s, S: Sink> Canon<'s, S> {
    #[inline(always)]
    pub(super) fn top(sink: &'s mut S) -> Self {
        Canon { sink, top: true }
    }

    #[inline(always)]
    pub(super) fn inner(sink: &'s mut S) -> Self {
        Canon { sink, top: false }
    }

    /// Opens a list. At the top, a list of two or more has no brackets.
    #[inline(always)]
    fn list(self, len: usize) -> ListWriter<'s, S> {
        let bare = self.top && len >= 2;
        if !bare {
            self.sink.tag(LIST);
        }
        ListWriter { sink: self.sink, bare, top: self.top, seen: 0 }
    }

    /// Opens a list behind a name, which has its brackets whatever its length.
    fn named_list(self) -> ListWriter<'s, S> {
        ListWriter { sink: self.sink, bare: false, top: false, seen: 0 }
    }

    fn map(self) -> Map<'s, S> {
        Map { sink: self.sink, fields: Vec::new() }
    }

    fn named(self, tag: u8, name: &'static str) -> Canon<'s, S> {
        self.sink.tag(tag);
        self.sink.text(name.as_bytes());
        Canon::inner(self.sink)
    }

    fn variant(self, tag: u8, name: &'static str, variant: &'static str) -> Canon<'s, S> {
        let inner = self.named(tag | VARIANT, name);
        inner.sink.text(variant.as_bytes());
        inner
    }
}

fn wide(sink: &mut impl Sink, tag: u8, value: u128) {
    sink.tag(tag);
    sink.put(&value.to_le_bytes());
}

macro_rules! unsigned {
    ($($method:ident $number:ty)*) => {$(
        #[inline(always)]
        fn $method(self, v: $number) -> Result<(), KeyError> {
            self.sink.word(UINT, u64::from(v));
            Ok(())
        }
    )*};
}

macro_rules! signed {
    ($($method:ident $number:ty)*) => {$(
        #[inline(always)]
        fn $method(self, v: $number) -> Result<(), KeyError> {
            let v = i64::from(v);
            if v >= 0 { self.sink.word(UINT, v as u64) } else { self.sink.word(NEGATIVE, !v as u64) }
            Ok(())
        }
    )*};
}

impl<'s, S: Sink> Serializer for Canon<'s, S> {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = Sequence<'s, S>;
    type SerializeTuple = ListWriter<'s, S>;
    type SerializeTupleStruct = ListWriter<'s, S>;
    type SerializeTupleVariant = ListWriter<'s, S>;
    type SerializeMap = Map<'s, S>;
    type SerializeStruct = Map<'s, S>;
    type SerializeStructVariant = Map<'s, S>;

    unsigned!(serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64);
    signed!(serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64);

    fn serialize_u128(self, v: u128) -> Result<(), KeyError> {
        match u64::try_from(v) {
            Ok(v) => self.serialize_u64(v),
            Err(_) => {
                wide(self.sink, WIDE_UINT, v);
                Ok(())
            }
        }
    }

    fn serialize_i128(self, v: i128) -> Result<(), KeyError> {
        match (u128::try_from(v), u64::try_from(!v)) {
            (Ok(v), _) => self.serialize_u128(v),
            (_, Ok(low)) => {
                self.sink.word(NEGATIVE, low);
                Ok(())
            }
            _ => {
                wide(self.sink, WIDE_NEGATIVE, !v as u128);
                Ok(())
            }
        }
    }

    #[inline(always)]
    fn serialize_bool(self, v: bool) -> Result<(), KeyError> {
        self.sink.tag(if v { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_f32(self, v: f32) -> Result<(), KeyError> {
        self.serialize_f64(f64::from(v))
    }

    fn serialize_f64(self, v: f64) -> Result<(), KeyError> {
        let canonical = if v.is_nan() { f64::NAN } else { v };
        self.sink.word(FLOAT, canonical.to_bits());
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), KeyError> {
        let [a, b, c, d] = u32::from(v).to_le_bytes();
        self.sink.put(&[CHAR, a, b, c, d]);
        Ok(())
    }

    #[inline(always)]
    fn serialize_str(self, v: &str) -> Result<(), KeyError> {
        self.sink.text(v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), KeyError> {
        self.sink.word(BYTES, v.len() as u64);
        self.sink.put(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), KeyError> {
        self.sink.tag(NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<(), KeyError> {
        self.sink.tag(SOME);
        v.serialize(Canon::inner(self.sink))
    }

    fn serialize_unit(self) -> Result<(), KeyError> {
        self.sink.tag(UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), KeyError> {
        self.named(UNIT_STRUCT, name);
        Ok(())
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Result<(), KeyError> {
        self.variant(UNIT_STRUCT, name, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, v: &T) -> Result<(), KeyError> {
        v.serialize(self.named(NEWTYPE_STRUCT, name))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<(), KeyError> {
        v.serialize(self.variant(NEWTYPE_STRUCT, name, variant))
    }

    #[inline(always)]
    fn serialize_seq(self, len: Option<usize>) -> Result<Sequence<'s, S>, KeyError> {
        Ok(match len {
            None if self.top => Sequence::Counted { sink: self.sink, elements: Bytes::new(), seen: 0 },
            len => Sequence::Announced(self.list(len.unwrap_or(0))),
        })
    }

    #[inline(always)]
    fn serialize_tuple(self, len: usize) -> Result<ListWriter<'s, S>, KeyError> {
        Ok(self.list(len))
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<ListWriter<'s, S>, KeyError> {
        Ok(self.named(TUPLE_STRUCT, name).named_list())
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<ListWriter<'s, S>, KeyError> {
        Ok(self.variant(TUPLE_STRUCT, name, variant).named_list())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Map<'s, S>, KeyError> {
        self.sink.tag(MAP);
        Ok(self.map())
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Map<'s, S>, KeyError> {
        Ok(self.named(STRUCT, name).map())
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map<'s, S>, KeyError> {
        Ok(self.variant(STRUCT, name, variant).map())
    }
}

pub(super) struct ListWriter<'s, S> {
    sink: &'s mut S,
    bare: bool,
    top: bool,
    seen: usize,
}

impl<S: Sink> ListWriter<'_, S> {
    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), KeyError> {
        self.seen += 1;
        v.serialize(Canon::inner(self.sink))
    }

    #[inline(always)]
    fn finish(self) -> Result<(), KeyError> {
        // Brackets were written, or left out, by the announced length.
        if self.top && self.bare != (self.seen >= 2) {
            return Err(miscounted());
        }
        if !self.bare {
            self.sink.tag(END);
        }
        Ok(())
    }
}

#[cold]
fn miscounted() -> KeyError {
    ser::Error::custom("a sequence has another number of elements than it announced")
}

macro_rules! list {
    ($($of:ident $method:ident)*) => {$(
        impl<S: Sink> ser::$of for ListWriter<'_, S> {
            type Ok = ();
            type Error = KeyError;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), KeyError> {
                self.element(v)
            }

            #[inline(always)]
            fn end(self) -> Result<(), KeyError> {
                self.finish()
            }
        }
    )*};
}
list!(SerializeTuple serialize_element SerializeTupleStruct serialize_field SerializeTupleVariant serialize_field);

/// A sequence; at the top and without a length it is buffered, since the number of elements decides on the brackets.
pub(super) enum Sequence<'s, S> {
    Announced(ListWriter<'s, S>),
    Counted { sink: &'s mut S, elements: Bytes, seen: usize },
}

impl<S: Sink> ser::SerializeSeq for Sequence<'_, S> {
    type Ok = ();
    type Error = KeyError;

    #[inline(always)]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), KeyError> {
        match self {
            Sequence::Announced(list) => list.element(v),
            Sequence::Counted { elements, seen, .. } => {
                *seen += 1;
                v.serialize(Canon::inner(elements))
            }
        }
    }

    #[inline(always)]
    fn end(self) -> Result<(), KeyError> {
        match self {
            Sequence::Announced(list) => list.finish(),
            Sequence::Counted { sink, elements, seen } => {
                let list = Canon::top(&mut *sink).list(seen);
                replay(&elements, list.sink);
                ListWriter { seen, ..list }.finish()
            }
        }
    }
}

/// Collects the fields of a map or struct, to write them sorted.
pub(super) struct Map<'s, S> {
    sink: &'s mut S,
    fields: Vec<(Bytes, Bytes)>,
}

fn apart<T: Serialize + ?Sized>(v: &T) -> Result<Bytes, KeyError> {
    let mut bytes = Bytes::new();
    v.serialize(Canon::inner(&mut bytes))?;
    Ok(bytes)
}

impl<S: Sink> Map<'_, S> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), KeyError> {
        self.fields.push((apart(name)?, apart(v)?));
        Ok(())
    }

    fn finish(mut self) -> Result<(), KeyError> {
        // Entries of equal keys keep their order: most readers take the last one.
        self.fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in &self.fields {
            if value.is_empty() {
                return Err(ser::Error::custom("a map's key was serialized without its value"));
            }
            replay(name, self.sink);
            replay(value, self.sink);
        }
        self.sink.tag(END);
        Ok(())
    }
}

impl<S: Sink> ser::SerializeMap for Map<'_, S> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), KeyError> {
        self.fields.push((apart(key)?, Bytes::new()));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), KeyError> {
        let value = apart(v)?;
        match self.fields.last_mut() {
            Some(field) => field.1 = value,
            None => {
                return Err(ser::Error::custom("a map's value was serialized before its key"));
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), KeyError> {
        self.finish()
    }
}

macro_rules! map {
    ($($of:ident)*) => {$(
        impl<S: Sink> ser::$of for Map<'_, S> {
            type Ok = ();
            type Error = KeyError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), KeyError> {
                self.field(name, v)
            }

            fn end(self) -> Result<(), KeyError> {
                self.finish()
            }
        }
    )*};
}
map!(SerializeStruct SerializeStructVariant);
