//! Serializer that refuses values which would come back as something else.
//!
//! Every value is written through [`RoundTripSerializer`]. It removes the outermost `Some`, which the envelope holds,
//! and refuses what a format would confuse: `Some` of nothing where `Some` has no mark, floats that are no numbers
//! where the format has none, fields left out where fields are identified by their position.

use std::any::TypeId;
use std::cell::Cell;
use std::fmt;

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::fingerprint::Compound;
use super::option_tag::{TagForm, form};

/// Limit on the nesting of a value. It is below what every reader accepts: serde_json ends at 128.
const MAX_DEPTH: u32 = 120;

/// Limits of a format.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormatRules {
    /// True if fields are identified by their position, and `Some` has a mark.
    pub(super) positional: bool,
    /// True if a unit struct is written as nothing.
    pub(super) empty_unit_struct: bool,
    pub(super) non_finite: bool,
    /// True if a sequence of bytes may be written as bytes: the format reads them as a sequence too.
    pub(super) bytes: bool,
}

/// A value as a serializer receives it.
pub(super) struct RoundTripSerializer<'a, V: ?Sized> {
    value: &'a V,
    watch: &'a WriteProgress,
    /// True while the outermost `Some` is to be removed.
    outer: bool,
}

/// Progress of a walk through a value.
#[derive(Debug)]
pub(super) struct WriteProgress {
    rules: FormatRules,
    depth: Cell<u32>,
    /// Structs and tuples of the type as its `Deserialize` asks for them.
    compounds: &'static [Compound],
    left_out: Cell<bool>,
}

impl WriteProgress {
    pub(super) fn new(rules: FormatRules, compounds: &'static [Compound]) -> WriteProgress {
        WriteProgress { rules, depth: Cell::new(0), compounds, left_out: Cell::new(false) }
    }

    /// Returns true if the written fields differ from those that are read, as with `skip_serializing_if`.
    pub(super) fn has_left_out(&self) -> bool {
        self.left_out.get()
    }

    /// Records the begin of a struct or tuple struct, or of a variant. One that is read under another name counts as
    /// different.
    #[inline]
    fn begin(&self, name: &'static str, variant: &'static str, len: usize) {
        let known = self.compounds.binary_search_by(|compound| compound.name.cmp(&(name, variant)));
        if known.ok().and_then(|at| self.compounds[at].len) != Some(len) {
            self.left_out.set(true);
        }
    }
}

impl<'a, V: Serialize + ?Sized> RoundTripSerializer<'a, V> {
    /// Wraps a value without its outermost `Some`.
    pub(super) fn payload(value: &'a V, watch: &'a WriteProgress) -> Self {
        RoundTripSerializer { value, watch, outer: super::option_tag::of(value) == super::OptionTag::Some }
    }

    fn inner(value: &'a V, watch: &'a WriteProgress) -> Self {
        RoundTripSerializer { value, watch, outer: false }
    }
}

impl<V: Serialize + ?Sized> Serialize for RoundTripSerializer<'_, V> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let depth = self.watch.depth.get() + 1;
        if depth > MAX_DEPTH {
            return Err(S::Error::custom(format_args!("values nested deeper than {MAX_DEPTH} are not written")));
        }
        self.watch.depth.set(depth);
        let result = self.value.serialize(Strict { inner, watch: self.watch, outer: self.outer });
        self.watch.depth.set(depth - 1);
        result
    }
}

struct Strict<'a, S> {
    inner: S,
    watch: &'a WriteProgress,
    outer: bool,
}

impl<S: Serializer> Strict<'_, S> {
    fn finite(&self, is_finite: bool) -> Result<(), S::Error> {
        if is_finite || self.watch.rules.non_finite {
            return Ok(());
        }
        Err(S::Error::custom("NaN and infinities cannot be written in this format"))
    }

    fn some_of(&self, form: TagForm) -> Result<(), S::Error> {
        let rules = &self.watch.rules;
        let nothing = match form {
            TagForm::None | TagForm::Unit => true,
            TagForm::UnitStruct => rules.empty_unit_struct,
            TagForm::Some | TagForm::Byte(_) | TagForm::Something => false,
        };
        if nothing && !rules.positional {
            return Err(S::Error::custom("a `Some` of nothing inside a value would be read as `None`"));
        }
        Ok(())
    }
}

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        #[inline]
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($name),*)
        }
    )*};
    (parts $($method:ident($($name:ident: $type:ty),*) -> $parts:ident $({ $($begin:expr),* })?;)*) => {$(
        #[inline]
        fn $method(self, $($name: $type),*) -> Result<Self::$parts, S::Error> {
            $(self.watch.begin($($begin),*);)?
            Ok(CheckedParts { inner: self.inner.$method($($name),*)?, watch: self.watch })
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Strict<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = CheckedParts<'a, S::SerializeSeq>;
    type SerializeTuple = CheckedParts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = CheckedParts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = CheckedParts<'a, S::SerializeTupleVariant>;
    type SerializeMap = CheckedParts<'a, S::SerializeMap>;
    type SerializeStruct = CheckedParts<'a, S::SerializeStruct>;
    type SerializeStructVariant = CheckedParts<'a, S::SerializeStructVariant>;

    forward! {
        serialize_bool(v: bool); serialize_i8(v: i8); serialize_i16(v: i16); serialize_i32(v: i32);
        serialize_i64(v: i64); serialize_i128(v: i128); serialize_u8(v: u8); serialize_u16(v: u16);
        serialize_u32(v: u32); serialize_u64(v: u64); serialize_u128(v: u128); serialize_char(v: char);
        serialize_str(v: &str); serialize_bytes(v: &[u8]); serialize_none(); serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    forward! {
        parts
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct { name, "", len };
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant { name, variant, len };
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct { name, "", len };
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant { name, variant, len };
    }

    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        self.finite(v.is_finite())?;
        self.inner.serialize_f32(v)
    }

    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        self.finite(v.is_finite())?;
        self.inner.serialize_f64(v)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        if self.outer {
            return RoundTripSerializer::inner(value, self.watch).serialize(self.inner);
        }
        self.some_of(form(value))?;
        self.inner.serialize_some(&RoundTripSerializer::inner(value, self.watch))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        if self.outer {
            return RoundTripSerializer { value, watch: self.watch, outer: true }.serialize(self.inner);
        }
        self.inner.serialize_newtype_struct(name, &RoundTripSerializer::inner(value, self.watch))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &RoundTripSerializer::inner(value, self.watch))
    }

    /// Writes bytes without a check of each.
    fn collect_seq<I>(self, iter: I) -> Result<S::Ok, S::Error>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        match is_byte::<I::Item>() {
            true if self.watch.rules.bytes => return self.inner.serialize_bytes(&bytes(iter)),
            true => return self.inner.collect_seq(iter),
            false => {}
        }
        let iter = iter.into_iter();
        let len = match iter.size_hint() {
            (low, Some(high)) if low == high => Some(low),
            _ => None,
        };
        let mut parts = self.serialize_seq(len)?;
        for item in iter {
            SerializeSeq::serialize_element(&mut parts, &item)?;
        }
        SerializeSeq::end(parts)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Collects the bytes of an iterator of bytes.
fn bytes<I>(iter: I) -> Vec<u8>
where
    I: IntoIterator,
    I::Item: Serialize,
{
    let byte = |item: I::Item| match form(&item) {
        TagForm::Byte(byte) => byte,
        form => unreachable!("a `u8` has serialized as {form:?}"),
    };
    iter.into_iter().map(byte).collect()
}

/// Returns true if `T` is `u8` or a reference to one.
#[inline]
pub(super) fn is_byte<T>() -> bool {
    let of = typeid::of::<T>();
    of == TypeId::of::<u8>() || of == TypeId::of::<&'static u8>()
}

/// Parts of a compound value.
struct CheckedParts<'a, C> {
    inner: C,
    watch: &'a WriteProgress,
}

macro_rules! parts {
    ($($trait:ident { $($method:ident $(($key:ident))?),* })*) => {$(
        impl<C: $trait> $trait for CheckedParts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            $(
                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($key: &'static str,)?
                    value: &T,
                ) -> Result<(), C::Error> {
                    self.inner.$method($($key,)? &RoundTripSerializer::inner(value, self.watch))
                }
            )*

            parts!(skip $trait);

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
    (skip SerializeStruct) => { parts!(skip_field); };
    (skip SerializeStructVariant) => { parts!(skip_field); };
    (skip $other:ident) => {};
    (skip_field) => {
        fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
            if self.watch.rules.positional {
                return Err(C::Error::custom(format_args!(
                    "the field `{key}` is left out, and this format tells fields by their place"
                )));
            }
            self.watch.left_out.set(true);
            self.inner.skip_field(key)
        }
    };
}

parts! {
    SerializeSeq { serialize_element }
    SerializeTuple { serialize_element }
    SerializeTupleStruct { serialize_field }
    SerializeTupleVariant { serialize_field }
    SerializeMap { serialize_key, serialize_value }
    SerializeStruct { serialize_field(key) }
    SerializeStructVariant { serialize_field(key) }
}
