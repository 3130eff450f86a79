//! Digest of the calls that a value makes to a serializer, to compare two values of a type that has no `PartialEq`.
//!
//! Their bytes would not do: an untagged `Small(i64)` and `Big(u64)` write the same ones. Here the kind of each call
//! counts. The entries of maps and the elements of sequences count in any order, since those of hash maps and hash sets
//! have none, and no format reorders what it writes.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, FoldHasher};
use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

/// Computes the digest of a value; `None` if its `Serialize` fails.
pub(super) fn digest<V: Serialize + ?Sized>(value: &V) -> Option<u64> {
    value.serialize(Digest).ok()
}

/// Error of the type's own code.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl serde::ser::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refused
    }
}

/// Kind of a serializer call. Numbers of different types differ, since a reader distinguishes their calls.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    Variant,
    Seq,
    Tuple,
    Map,
    Struct,
}

fn hasher(tag: Tag) -> FoldHasher<'static> {
    let mut hasher = FixedState::with_seed(0x7265_7461_696e_6974).build_hasher();
    hasher.write_u8(tag as u8);
    hasher
}

fn word(tag: Tag, word: u64) -> u64 {
    let mut hasher = hasher(tag);
    hasher.write_u64(word);
    hasher.finish()
}

fn wide(tag: Tag, word: u128) -> u64 {
    let mut hasher = hasher(tag);
    hasher.write_u128(word);
    hasher.finish()
}

fn slice(tag: Tag, bytes: &[u8]) -> u64 {
    let mut hasher = hasher(tag);
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
    hasher.finish()
}

fn variant(name: &str, content: u64) -> u64 {
    let mut hasher = hasher(Tag::Variant);
    hasher.write_u64(slice(Tag::Text, name.as_bytes()));
    hasher.write_u64(content);
    hasher.finish()
}

struct Digest;

macro_rules! numbers {
    ($($method:ident($type:ty) $tag:ident $write:ident as $as:ty;)*) => {$(
        fn $method(self, v: $type) -> Result<u64, Refused> {
            Ok($write(Tag::$tag, v as $as))
        }
    )*};
}

impl Serializer for Digest {
    type Ok = u64;
    type Error = Refused;
    type SerializeSeq = Unordered;
    type SerializeTuple = Ordered;
    type SerializeTupleStruct = Ordered;
    type SerializeTupleVariant = Ordered;
    type SerializeMap = Unordered;
    type SerializeStruct = Ordered;
    type SerializeStructVariant = Ordered;

    numbers! {
        serialize_bool(bool) Bool word as u64; serialize_char(char) Char word as u64;
        serialize_i8(i8) I8 word as u64; serialize_i16(i16) I16 word as u64; serialize_i32(i32) I32 word as u64;
        serialize_i64(i64) I64 word as u64; serialize_i128(i128) I128 wide as u128;
        serialize_u8(u8) U8 word as u64; serialize_u16(u16) U16 word as u64; serialize_u32(u32) U32 word as u64;
        serialize_u64(u64) U64 word as u64; serialize_u128(u128) U128 wide as u128;
    }

    /// Hashes the bits, so that NaN equals itself.
    fn serialize_f32(self, v: f32) -> Result<u64, Refused> {
        Ok(word(Tag::F32, v.to_bits().into()))
    }

    fn serialize_f64(self, v: f64) -> Result<u64, Refused> {
        Ok(word(Tag::F64, v.to_bits()))
    }

    fn serialize_str(self, v: &str) -> Result<u64, Refused> {
        Ok(slice(Tag::Text, v.as_bytes()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<u64, Refused> {
        Ok(slice(Tag::Bytes, v))
    }

    fn serialize_none(self) -> Result<u64, Refused> {
        Ok(word(Tag::None, 0))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Refused> {
        Ok(word(Tag::Some, value.serialize(Digest)?))
    }

    fn serialize_unit(self) -> Result<u64, Refused> {
        Ok(word(Tag::Unit, 0))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<u64, Refused> {
        Ok(variant(name, 0))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<u64, Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<u64, Refused> {
        Ok(variant(name, value.serialize(Digest)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Unordered, Refused> {
        Ok(Unordered::new(Tag::Seq))
    }

    fn serialize_tuple(self, _: usize) -> Result<Ordered, Refused> {
        Ok(Ordered::new(Tag::Tuple, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Ordered, Refused> {
        Ok(Ordered::new(Tag::Tuple, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Ordered, Refused> {
        Ok(Ordered::new(Tag::Tuple, Some(name)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Unordered, Refused> {
        Ok(Unordered::new(Tag::Map))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Ordered, Refused> {
        Ok(Ordered::new(Tag::Struct, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Ordered, Refused> {
        Ok(Ordered::new(Tag::Struct, Some(name)))
    }

    /// False, as for the formats that keep most of a value.
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Digest of parts without an order: a sum.
struct Unordered {
    tag: Tag,
    sum: u64,
    len: u64,
    key: u64,
}

impl Unordered {
    fn new(tag: Tag) -> Unordered {
        Unordered { tag, sum: 0, len: 0, key: 0 }
    }

    fn add(&mut self, digest: u64) {
        self.sum = self.sum.wrapping_add(digest);
        self.len += 1;
    }

    fn finish(self) -> u64 {
        let mut hasher = hasher(self.tag);
        hasher.write_u64(self.len);
        hasher.write_u64(self.sum);
        hasher.finish()
    }
}

impl SerializeSeq for Unordered {
    type Ok = u64;
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(Digest).map(|digest| self.add(digest))
    }

    fn end(self) -> Result<u64, Refused> {
        Ok(self.finish())
    }
}

impl SerializeMap for Unordered {
    type Ok = u64;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = key.serialize(Digest)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let mut hasher = hasher(Tag::Map);
        hasher.write_u64(self.key);
        hasher.write_u64(value.serialize(Digest)?);
        self.add(hasher.finish());
        Ok(())
    }

    fn end(self) -> Result<u64, Refused> {
        Ok(self.finish())
    }
}

/// Digest of parts with a position or name.
struct Ordered {
    hasher: FoldHasher<'static>,
    variant: Option<&'static str>,
}

impl Ordered {
    fn new(tag: Tag, variant: Option<&'static str>) -> Ordered {
        Ordered { hasher: hasher(tag), variant }
    }

    fn add(&mut self, digest: u64) {
        self.hasher.write_u64(digest);
    }

    fn finish(self) -> u64 {
        let content = self.hasher.finish();
        self.variant.map_or(content, |name| variant(name, content))
    }
}

macro_rules! ordered {
    ($($trait:ident $method:ident $(($key:ident))?;)*) => {$(
        impl $trait for Ordered {
            type Ok = u64;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), Refused> {
                $(self.add(slice(Tag::Text, $key.as_bytes()));)?
                value.serialize(Digest).map(|digest| self.add(digest))
            }

            fn end(self) -> Result<u64, Refused> {
                Ok(self.finish())
            }
        }
    )*};
}

ordered! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
    SerializeStruct serialize_field(key);
    SerializeStructVariant serialize_field(key);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use super::*;

    #[test]
    fn what_differs_in_anything_but_order_has_another_digest() {
        #[derive(Serialize)]
        enum CompoundKind {
            A,
            B(u8),
            C { x: u8 },
            D(u8, u8),
        }
        let all = [
            digest(&1u8),
            digest(&1u16),
            digest(&1i64),
            digest(&1u64),
            digest(&1u128),
            digest(&-1i128),
            digest(&0.0f64),
            digest(&-0.0f64),
            digest(&0.0f32),
            digest("1"),
            digest(&'1'),
            digest(&true),
            digest(&()),
            digest(&None::<u8>),
            digest(&Some(1u8)),
            digest(&Some(Some(1u8))),
            digest(&[0u8; 0]),
            digest(&Vec::<u8>::new()),
            digest(&vec![1u8]),
            digest(&vec![1u8, 1]),
            digest(&vec![vec![1u8], vec![]]),
            digest(&vec![vec![1u8, 1]]),
            digest(&(1u8, 2u8)),
            digest(&(2u8, 1u8)),
            digest(&BTreeMap::from([(1u8, 2u8)])),
            digest(&BTreeMap::from([(2u8, 1u8)])),
            digest(&[CompoundKind::A]),
            digest(&[CompoundKind::B(1)]),
            digest(&[CompoundKind::C { x: 1 }]),
            digest(&[CompoundKind::D(1, 2)]),
            digest(&[CompoundKind::D(2, 1)]),
        ];
        assert!(all.iter().all(Option::is_some));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn maps_and_sets_have_no_order() {
        let maps = || (0..100u8).map(|n| (n, HashSet::from([n, 1, 2]))).collect::<HashMap<_, _>>();
        assert_eq!(digest(&maps()), digest(&maps()));
        assert_eq!(digest(&f64::NAN), digest(&f64::NAN));
    }
}
