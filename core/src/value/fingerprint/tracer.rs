//! Deserializer that makes values up and records the calls it receives.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::{Failed, TraceState, TypePath, below};

/// A deserializer that makes values up.
pub(super) struct SchemaTracer<'s> {
    pub(super) seen: &'s mut TraceState,
    pub(super) at: TypePath,
}

/// Texts that common types accept.
const TEXTS: [&str; 24] = [
    "",
    "0",
    "a",
    "00000000-0000-0000-0000-000000000000",
    "2000-01-01T00:00:00Z",
    "2000-01-01",
    "127.0.0.1",
    "::1",
    "http://a/",
    "A",
    "1",
    "0.5",
    "true",
    "en",
    "EUR",
    "1.0.0",
    "00:00:00",
    "2000-01-01T00:00:00",
    "PT0S",
    "UTC",
    "127.0.0.1:80",
    "10.0.0.0/8",
    "a@a.example",
    "#000000",
];

const BYTES: [&[u8]; 6] = [b"", &[0; 16], &[0; 32], b"a", &[0; 4], &[0; 64]];

macro_rules! numbers {
    ($($method:ident $visit:ident $token:literal [$($value:expr),*];)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
            self.primitive($token, &[$($value),*], |value| visitor.$visit(*value))
        }
    )*};
}

impl<'s> SchemaTracer<'s> {
    /// Offers a visitor the first value that was not refused at this place.
    fn primitive<T, R>(
        self,
        token: &str,
        values: &[T],
        visit: impl FnOnce(&T) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        self.seen.token(&self.at, token)?;
        let refused = self.seen.refused.get(&self.at).copied().unwrap_or(0);
        let Some(value) = values.get(refused) else {
            self.seen.unseen = true;
            return Err(Failed::custom("every value is refused"));
        };
        let result = visit(value);
        if result.is_err() {
            self.seen.moved = true;
            self.seen.refused.insert(self.at, refused + 1);
        } else {
            self.seen.accepted = Some((self.at, values.len()));
        }
        result
    }

    fn part(&mut self, part: usize) -> SchemaTracer<'_> {
        SchemaTracer { at: below(&self.at, part), seen: self.seen }
    }

    /// Returns the path of an optional part, unless no value can be made up for it.
    fn optional(&self, part: usize) -> Option<TypePath> {
        Some(below(&self.at, part)).filter(|part| !self.seen.dead.contains(part))
    }

    /// Visits a sequence of parts that all have to be there.
    fn parts<R>(self, len: usize, visit: impl FnOnce(Elements<'_>) -> Result<R, Failed>) -> Result<R, Failed> {
        visit(Elements { tracer: self, next: 0, len })
    }

    fn fields<'de, V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failed> {
        let name = format!("struct {}", fields.join(" "));
        self.seen.token(&self.at, name.as_str())?;
        let at = self.at;
        self.seen.named = None;
        self.seen.enter(type_of::<V>(&name), |seen| {
            let result = visitor.visit_map(Fields { tracer: SchemaTracer { seen: &mut *seen, at }, fields, next: 0 });
            // Serde lists an alias like a field of its own. Given after its field it is an error, before any value is
            // asked for: the alias is left out of later runs, and the field itself is traced.
            match (seen.named.take(), &result) {
                (Some(alias), Err(error)) => {
                    seen.repeats |= error.is_repeated;
                    seen.give_up(&alias, result)
                }
                _ => result,
            }
        })
    }
}

/// Names the type that a visitor makes, within this process.
fn type_of<V>(name: &str) -> String {
    format!("{name} of {}", std::any::type_name::<V>())
}

impl<'de> Deserializer<'de> for SchemaTracer<'_> {
    type Error = Failed;

    numbers! {
        deserialize_bool visit_bool "bool" [false, true];
        deserialize_i8 visit_i8 "i8" [0, 1, 2, 10, 100, i8::MAX, -1];
        deserialize_i16 visit_i16 "i16" [0, 1, 2, 10, 100, i16::MAX, -1];
        deserialize_i32 visit_i32 "i32" [0, 1, 2, 10, 100, i32::MAX, -1];
        deserialize_i64 visit_i64 "i64" [0, 1, 2, 10, 100, i64::MAX, -1];
        deserialize_i128 visit_i128 "i128" [0, 1, 2, 10, 100, i128::MAX, -1];
        deserialize_u8 visit_u8 "u8" [0, 1, 2, 10, 100, u8::MAX];
        deserialize_u16 visit_u16 "u16" [0, 1, 2, 10, 100, u16::MAX];
        deserialize_u32 visit_u32 "u32" [0, 1, 2, 10, 100, u32::MAX];
        deserialize_u64 visit_u64 "u64" [0, 1, 2, 10, 100, u64::MAX];
        deserialize_u128 visit_u128 "u128" [0, 1, 2, 10, 100, u128::MAX];
        deserialize_f32 visit_f32 "f32" [0.0, 1.0, 0.5, 100.0, -1.0];
        deserialize_f64 visit_f64 "f64" [0.0, 1.0, 0.5, 100.0, -1.0];
        deserialize_char visit_char "char" ['0', 'a', 'A', ' '];
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.primitive("text", &TEXTS, |text| visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.primitive("bytes", &BYTES, |bytes| visitor.visit_bytes(bytes))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.seen.token(&self.at, "()")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.seen.needs_self_describing = true;
        self.primitive("any", &["()", "number", "text"], |value| match *value {
            "()" => visitor.visit_unit(),
            "number" => visitor.visit_u64(0),
            text => visitor.visit_str(text),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Failed> {
        self.seen.token(&self.at, "option")?;
        let Some(inside) = self.optional(0) else { return visitor.visit_none() };
        let result = visitor.visit_some(self.part(0));
        self.seen.give_up(&inside, result)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failed> {
        let at = self.at;
        // The name is only used to detect a type inside itself.
        self.seen.enter(type_of::<V>(name), |seen| visitor.visit_newtype_struct(SchemaTracer { seen, at }))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.seen.token(&self.at, "seq")?;
        let len = usize::from(self.optional(0).is_some());
        self.parts(len, |elements| visitor.visit_seq(elements))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failed> {
        self.seen.token(&self.at, format!("tuple {len}"))?;
        self.parts(len, |elements| visitor.visit_seq(elements))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.seen.compound(name, "", len);
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        self.seen.token(&self.at, "map")?;
        let entries = usize::from(self.optional(0).is_some() && self.optional(1).is_some());
        visitor.visit_map(Entries { tracer: self, entries })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        self.seen.compound(name, "", fields.len());
        self.fields(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        of: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        let name = format!("enum {}", variants.join(" "));
        self.seen.token(&self.at, name.as_str())?;
        let place = |variant| below(&self.at, variant);
        // A variant that is left comes first. When all are done, the enum is still needed as a part of other values, so
        // a known variant is made again.
        let mut left = (0..variants.len())
            .filter(|v| !self.seen.dead.contains(&place(*v)) && !self.seen.done.contains(&place(*v)));
        let (next, others) = (left.next(), left.next().is_some());
        let known = || (0..variants.len()).find(|variant| self.seen.done.contains(&place(*variant)));
        let Some(variant) = next.or_else(known) else {
            // The reason for each variant is recorded already.
            self.seen.repeats = true;
            return Err(Failed::custom("no variant can be made up"));
        };
        let (at, name_of) = (place(variant), variants[variant]);
        let before = std::mem::take(&mut self.seen.more);
        let result = self.seen.enter(type_of::<V>(&name), |seen| {
            visitor.visit_enum(Variant { of, name: name_of, tracer: SchemaTracer { seen, at: at.clone() } })
        });
        // A variant is done when all enums inside it are: they may have variants left for later runs.
        if result.is_ok() && !self.seen.more {
            self.seen.done.insert(at.clone());
        }
        self.seen.more |= before | others;
        self.seen.give_up(&at, result)
    }

    /// False, as for the formats that need a fingerprint.
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Elements of a sequence or tuple.
struct Elements<'s> {
    tracer: SchemaTracer<'s>,
    next: usize,
    len: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Failed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failed> {
        if self.next == self.len {
            return Ok(None);
        }
        let part = below(&self.tracer.at, self.next);
        let result = seed.deserialize(self.tracer.part(self.next));
        self.next += 1;
        self.tracer.seen.give_up(&part, result).map(Some)
    }
}

/// The one entry of a map.
struct Entries<'s> {
    tracer: SchemaTracer<'s>,
    entries: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.entries = 0;
        let result = seed.deserialize(self.tracer.part(0));
        let part = below(&self.tracer.at, 0);
        self.tracer.seen.give_up(&part, result).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failed> {
        let result = seed.deserialize(self.tracer.part(1));
        let part = below(&self.tracer.at, 1);
        self.tracer.seen.give_up(&part, result)
    }
}

/// Fields of a struct, without those that cannot be made up.
struct Fields<'s> {
    tracer: SchemaTracer<'s>,
    fields: &'static [&'static str],
    next: usize,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        while self.next < self.fields.len() && self.tracer.optional(self.next).is_none() {
            self.next += 1;
        }
        let Some(name) = self.fields.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Failed> = (*name).into_deserializer();
        self.tracer.seen.named = Some(below(&self.tracer.at, self.next));
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failed> {
        self.tracer.seen.named = None;
        let part = below(&self.tracer.at, self.next);
        let result = seed.deserialize(self.tracer.part(self.next));
        self.next += 1;
        self.tracer.seen.give_up(&part, result)
    }
}

/// The chosen variant of an enum.
struct Variant<'s> {
    of: &'static str,
    name: &'static str,
    tracer: SchemaTracer<'s>,
}

impl<'de, 's> EnumAccess<'de> for Variant<'s> {
    type Error = Failed;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Failed> {
        let name: StrDeserializer<'_, Failed> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Failed;

    fn unit_variant(self) -> Result<(), Failed> {
        self.tracer.seen.token(&self.tracer.at, "unit")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Failed> {
        self.tracer.seen.token(&self.tracer.at, "newtype")?;
        seed.deserialize(self.tracer.part(0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failed> {
        self.tracer.seen.compound(self.of, self.name, len);
        self.tracer.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failed> {
        self.tracer.seen.compound(self.of, self.name, fields.len());
        self.tracer.fields(fields, visitor)
    }
}
