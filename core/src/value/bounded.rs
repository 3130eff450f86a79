//! Deserializer for values written by [`RoundTripSerializer`](super::round_trip), with limits on depth and time.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::round_trip::is_byte;
use super::{Deadline, OptionTag};

/// Limit on the nesting of a stored value: more than is ever written, and harmless to a stack of 2 MiB.
pub(super) const MAX_DEPTH: u32 = 128;

/// Number of parts between two checks of the deadline.
const PARTS: u32 = 16;

/// Progress of a walk through a payload.
#[derive(Debug)]
pub(super) struct ReadProgress<'a> {
    depth: Cell<u32>,
    parts: Cell<u32>,
    deadline: Option<&'a Deadline<'a>>,
    late: Cell<bool>,
}

impl<'a> ReadProgress<'a> {
    pub(super) fn new(deadline: Option<&'a Deadline<'a>>) -> ReadProgress<'a> {
        ReadProgress { depth: Cell::new(0), parts: Cell::new(0), deadline, late: Cell::new(false) }
    }

    /// Returns true if the deadline has passed, be it in the last part.
    pub(super) fn is_late(&self) -> bool {
        self.late.get() || self.deadline.is_some_and(|deadline| deadline.is_over())
    }

    fn within<T, E: serde::de::Error>(&self, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let (depth, parts) = (self.depth.get() + 1, self.parts.get().wrapping_add(1));
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {MAX_DEPTH}")));
        }
        self.parts.set(parts);
        if parts.is_multiple_of(PARTS) && self.deadline.is_some_and(|deadline| deadline.is_over()) {
            self.late.set(true);
            return Err(E::custom("reading it takes longer than `decode_timeout`"));
        }
        self.depth.set(depth);
        let result = read();
        self.depth.set(depth - 1);
        result
    }
}

/// A deserializer, or a part of one, with limits.
pub(super) struct BoundedDeserializer<'w, D> {
    inner: D,
    watch: &'w ReadProgress<'w>,
    outer: OptionTag,
}

impl<'w, D> BoundedDeserializer<'w, D> {
    /// Reads a payload whose outermost layer is in the envelope.
    pub(super) fn payload(inner: D, watch: &'w ReadProgress<'w>, outer: OptionTag) -> Self {
        BoundedDeserializer { inner, watch, outer }
    }

    fn part(inner: D, watch: &'w ReadProgress<'w>) -> Self {
        BoundedDeserializer { inner, watch, outer: OptionTag::Plain }
    }
}

/// Methods whose visitors receive parts; at the top, a stored `None` has none.
macro_rules! composite {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            if self.outer == OptionTag::None {
                return visitor.visit_none();
            }
            self.inner.$method($($name,)* BoundedVisitor { inner: visitor, watch: self.watch })
        }
    )*};
}

macro_rules! leaf {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            if self.outer == OptionTag::None {
                return visitor.visit_none();
            }
            self.inner.$method(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for BoundedDeserializer<'_, D> {
    type Error = D::Error;

    leaf! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_identifier
    }

    composite! {
        deserialize_any() deserialize_seq() deserialize_map() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str) deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match self.outer {
            OptionTag::Some => visitor.visit_some(BoundedDeserializer::part(self.inner, self.watch)),
            OptionTag::None => visitor.visit_none(),
            OptionTag::Plain | OptionTag::Error => {
                self.inner.deserialize_option(BoundedVisitor { inner: visitor, watch: self.watch })
            }
        }
    }

    /// The outermost option may be inside a newtype, which the payload does not show.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        match self.outer {
            OptionTag::Some | OptionTag::None => visitor.visit_newtype_struct(self),
            OptionTag::Plain | OptionTag::Error => {
                self.inner.deserialize_newtype_struct(name, BoundedVisitor { inner: visitor, watch: self.watch })
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if self.outer == OptionTag::None {
            return Err(D::Error::custom(format_args!("a `None` is stored where `{name}` is expected")));
        }
        self.inner.deserialize_enum(name, variants, BoundedVisitor { inner: visitor, watch: self.watch })
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A visitor that passes the limits on to its parts.
struct BoundedVisitor<'w, V> {
    inner: V,
    watch: &'w ReadProgress<'w>,
}

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty)?);)*) => {$(
        #[inline]
        fn $method<E: serde::de::Error>(self, $($name: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($name)?)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for BoundedVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    forward! {
        visit_bool(v: bool); visit_i8(v: i8); visit_i16(v: i16); visit_i32(v: i32); visit_i64(v: i64);
        visit_i128(v: i128); visit_u8(v: u8); visit_u16(v: u16); visit_u32(v: u32); visit_u64(v: u64);
        visit_u128(v: u128); visit_f32(v: f32); visit_f64(v: f64); visit_char(v: char); visit_str(v: &str);
        visit_borrowed_str(v: &'de str); visit_string(v: String); visit_bytes(v: &[u8]);
        visit_borrowed_bytes(v: &'de [u8]); visit_byte_buf(v: Vec<u8>); visit_none(); visit_unit();
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.watch.within(|| self.inner.visit_some(BoundedDeserializer::part(inner, self.watch)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.watch.within(|| self.inner.visit_newtype_struct(BoundedDeserializer::part(inner, self.watch)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(BoundedParts { inner, watch: self.watch })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(BoundedParts { inner, watch: self.watch })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(BoundedParts { inner, watch: self.watch })
    }
}

/// Parts of a compound value.
struct BoundedParts<'w, A> {
    inner: A,
    watch: &'w ReadProgress<'w>,
}

/// One part of a compound value.
struct BoundedPart<'w, T> {
    seed: T,
    watch: &'w ReadProgress<'w>,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for BoundedPart<'_, T> {
    type Value = T::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        self.watch.within(|| self.seed.deserialize(BoundedDeserializer::part(inner, self.watch)))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for BoundedParts<'_, A> {
    type Error = A::Error;

    /// Reads single bytes without the limits: they are neither deep nor slow, and there may be millions of them.
    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        if is_byte::<T::Value>() {
            return self.inner.next_element_seed(seed);
        }
        self.inner.next_element_seed(BoundedPart { seed, watch: self.watch })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for BoundedParts<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.inner.next_key_seed(BoundedPart { seed, watch: self.watch })
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(BoundedPart { seed, watch: self.watch })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'w, A: EnumAccess<'de>> EnumAccess<'de> for BoundedParts<'w, A> {
    type Error = A::Error;
    type Variant = BoundedParts<'w, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, inner) = self.inner.variant_seed(BoundedPart { seed, watch: self.watch })?;
        Ok((value, BoundedParts { inner, watch: self.watch }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for BoundedParts<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(BoundedPart { seed, watch: self.watch })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, BoundedVisitor { inner: visitor, watch: self.watch })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, BoundedVisitor { inner: visitor, watch: self.watch })
    }
}
