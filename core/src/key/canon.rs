//! Canonical bytes of any `Serialize` value: injective, equal for equal numbers of any width, with sorted maps.
//!
//! | tag | what follows |
//! |---|---|
//! | `00` `01` | none · some, then the value |
//! | `02` `03` | false · true |
//! | `05` | eight bytes of an `f64` |
//! | `10` `11` | eight bytes of `v` ≥ 0 · of `!v` for `v` < 0 |
//! | `12` `13` | sixteen bytes of the same, beyond 64 bits |
//! | `30` | eight bytes of length, then text |
//! | `40` | eight bytes of length, then bytes |
//! | `50` … `51` | a list |
//! | `52` … `51` | a map or struct: keys and values, sorted by key |
//! | `54` `55` | a variant's name · the same, then its content |
//! | `80` + n | text of n < 64 bytes |
//!
//! A list of two or more at the top, which is what several arguments are, goes without its brackets.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::sink::{Bytes, Sink};

pub(super) const NONE: u8 = 0x00;
pub(super) const SOME: u8 = 0x01;
pub(super) const FALSE: u8 = 0x02;
pub(super) const TRUE: u8 = 0x03;
pub(super) const FLOAT: u8 = 0x05;
pub(super) const UINT: u8 = 0x10;
pub(super) const NEGATIVE: u8 = 0x11;
pub(super) const WIDE_UINT: u8 = 0x12;
pub(super) const WIDE_NEGATIVE: u8 = 0x13;
pub(super) const BYTES: u8 = 0x40;
pub(super) const LIST: u8 = 0x50;
pub(super) const END: u8 = 0x51;
pub(super) const MAP: u8 = 0x52;
pub(super) const VARIANT: u8 = 0x54;
pub(super) const VARIANT_OF: u8 = 0x55;

/// Why a value has no canonical form: its own `Serialize` said so.
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

/// Writes canonical bytes into a sink.
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
    fn inner(sink: &'s mut S) -> Self {
        Canon { sink, top: false }
    }

    #[inline(always)]
    fn list(self, len: Option<usize>) -> List<'s, S> {
        let bare = self.top && len.is_some_and(|len| len >= 2);
        if !bare {
            self.sink.put(&[LIST]);
        }
        List { sink: self.sink, bare }
    }

    fn variant(self, name: &'static str) -> Canon<'s, S> {
        self.sink.put(&[VARIANT_OF]);
        self.sink.text(name.as_bytes());
        Canon::inner(self.sink)
    }
}

fn wide(sink: &mut impl Sink, tag: u8, value: u128) {
    sink.put(&[tag]);
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
    type SerializeSeq = List<'s, S>;
    type SerializeTuple = List<'s, S>;
    type SerializeTupleStruct = List<'s, S>;
    type SerializeTupleVariant = List<'s, S>;
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
        self.sink.put(&[if v { TRUE } else { FALSE }]);
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
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
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
        self.sink.put(&[NONE]);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<(), KeyError> {
        self.sink.put(&[SOME]);
        v.serialize(Canon::inner(self.sink))
    }

    fn serialize_unit(self) -> Result<(), KeyError> {
        // Two writes, as an empty list makes: hashes see where one write ends.
        self.sink.put(&[LIST]);
        self.sink.put(&[END]);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), KeyError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), KeyError> {
        self.sink.put(&[VARIANT]);
        self.sink.text(variant.as_bytes());
        Ok(())
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Result<(), KeyError> {
        v.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<(), KeyError> {
        v.serialize(self.variant(variant))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<List<'s, S>, KeyError> {
        Ok(self.list(len))
    }

    #[inline(always)]
    fn serialize_tuple(self, len: usize) -> Result<List<'s, S>, KeyError> {
        Ok(self.list(Some(len)))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<List<'s, S>, KeyError> {
        Ok(self.list(Some(len)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<List<'s, S>, KeyError> {
        Ok(self.variant(variant).list(Some(len)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Map<'s, S>, KeyError> {
        Ok(Map { sink: self.sink, fields: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Map<'s, S>, KeyError> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Map<'s, S>, KeyError> {
        self.variant(variant).serialize_map(None)
    }
}

pub(super) struct List<'s, S> {
    sink: &'s mut S,
    bare: bool,
}

impl<S: Sink> List<'_, S> {
    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), KeyError> {
        v.serialize(Canon::inner(self.sink))
    }

    #[inline(always)]
    fn finish(self) -> Result<(), KeyError> {
        if !self.bare {
            self.sink.put(&[END]);
        }
        Ok(())
    }
}

macro_rules! list {
    ($($of:ident $method:ident)*) => {$(
        impl<S: Sink> ser::$of for List<'_, S> {
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
list!(SerializeSeq serialize_element SerializeTuple serialize_element
      SerializeTupleStruct serialize_field SerializeTupleVariant serialize_field);

/// Fields wait for the last one, so that they can be sorted.
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
        self.fields.sort();
        self.sink.put(&[MAP]);
        for (name, value) in &self.fields {
            self.sink.put(name);
            self.sink.put(value);
        }
        self.sink.put(&[END]);
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
