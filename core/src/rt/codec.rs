//! Values as bytes: MessagePack with field names. The outermost `Some` or `None` is the envelope's affair, for
//! MessagePack cannot tell `Some(None)` from `None`.

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use super::outermost;
use crate::engine::Outermost;
use crate::{Error, ErrorKind, Result};

/// The outermost layer, and the bytes of what is in it.
type Encoded = (Outermost, Vec<u8>);

/// Writes a value as bytes and reads it back.
pub struct Codec<V> {
    pub(crate) encode: fn(&V) -> Result<Encoded>,
    pub(crate) decode: fn(Outermost, &[u8]) -> Result<V>,
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

impl<V: Serialize + DeserializeOwned> Codec<V> {
    pub(crate) const fn new() -> Codec<V> {
        Codec { encode, decode }
    }
}

fn encode<V: Serialize>(value: &V) -> Result<Encoded> {
    let outermost = outermost::of(value);
    if outermost == Outermost::None {
        return Ok((outermost, Vec::new()));
    }
    // MessagePack writes `Some` as what is in it, so the payload is without it already.
    let bytes = rmp_serde::to_vec_named(value)
        .map_err(|e| Error::new(ErrorKind::Codec, "the value could not be serialized").source(e))?;
    Ok((outermost, bytes))
}

fn decode<V: DeserializeOwned>(outermost: Outermost, bytes: &[u8]) -> Result<V> {
    let mut payload = rmp_serde::Deserializer::from_read_ref(bytes);
    match outermost {
        Outermost::Some => V::deserialize(InSome(&mut payload)),
        Outermost::None => V::deserialize(Nothing),
        Outermost::Plain | Outermost::Error => V::deserialize(&mut payload),
    }
    .map_err(|e| Error::new(ErrorKind::Codec, "the stored value could not be read").source(e))
}

type DecodeError = rmp_serde::decode::Error;

/// Reads `Some` of what follows.
struct InSome<D>(D);

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> std::result::Result<V::Value, D::Error> {
            self.0.$method($($name,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for InSome<D> {
    type Error = D::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, D::Error> {
        visitor.visit_some(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_identifier() deserialize_ignored_any() deserialize_unit_struct(name: &'static str)
        deserialize_tuple(len: usize) deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
}

/// Reads `None`.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, DecodeError> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, DecodeError> {
        Err(DecodeError::custom(format!("a `None` is stored where `{name}` is expected")))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn round<V: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: V) -> Outermost {
        let (outermost, bytes) = encode(&value).expect("serializable");
        assert_eq!(decode::<V>(outermost, &bytes).expect("readable"), value);
        outermost
    }

    #[test]
    fn what_messagepack_would_confuse_comes_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Wrapped(Option<Option<u8>>);
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Named {
            a: Option<u8>,
            b: Vec<String>,
        }
        assert_eq!(round(Some(())), Outermost::Some);
        assert_eq!(round(None::<()>), Outermost::None);
        assert_eq!(round(Some(None::<u8>)), Outermost::Some);
        assert_eq!(round(Some(Some(1u8))), Outermost::Some);
        assert_eq!(round(Wrapped(Some(None))), Outermost::Some);
        assert_eq!(round(Wrapped(None)), Outermost::None);
        assert_eq!(round(()), Outermost::Plain);
        assert_eq!(round(Some(Named { a: None, b: vec!["x".into()] })), Outermost::Some);
        assert_eq!(round(Named { a: Some(1), b: vec![] }), Outermost::Plain);
        assert_eq!(round(Err::<u8, String>("no".into())), Outermost::Plain);
        assert_eq!(round(vec![Some(1), None]), Outermost::Plain);
    }

    #[test]
    fn a_changed_type_is_an_error_and_an_added_field_is_not() {
        #[derive(Serialize)]
        struct Old {
            id: u8,
        }
        #[derive(Debug, Deserialize)]
        struct New {
            id: u8,
            #[serde(default)]
            name: String,
        }
        let (outermost, bytes) = encode(&Old { id: 7 }).expect("serializable");
        let new: New = decode(outermost, &bytes).expect("an added field has its default");
        assert_eq!((new.id, new.name.as_str()), (7, ""));
        assert_eq!(decode::<String>(outermost, &bytes).unwrap_err().kind(), ErrorKind::Codec);
        assert!(decode::<u8>(Outermost::None, &[]).is_err());
    }
}
