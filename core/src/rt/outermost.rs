//! Whether a value is `None`, asked of its `Serialize`: the outermost call says it and nothing is written.

use std::fmt;

use serde::Serialize;
use serde::ser::{Error, Impossible, Serializer};

pub(super) fn is_none<V: Serialize>(value: &V) -> bool {
    matches!(value.serialize(Outermost), Err(Answer { none: true }))
}

struct Outermost;

/// Every answer is an "error", so that nothing below the outermost call is visited.
#[derive(Debug)]
struct Answer {
    none: bool,
}

const SOMETHING: Answer = Answer { none: false };

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.none { "none" } else { "something" })
    }
}

impl std::error::Error for Answer {}

impl Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        SOMETHING
    }
}

macro_rules! something {
    ($($method:ident($($argument:ty),*) -> $output:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$output, Answer> {
            Err(SOMETHING)
        }
    )*};
}

type No = Impossible<(), Answer>;

impl Serializer for Outermost {
    type Ok = ();
    type Error = Answer;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    something! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> No;
        serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }

    fn serialize_none(self) -> Result<(), Answer> {
        Err(Answer { none: true })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Answer> {
        Err(SOMETHING)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Answer> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Answer> {
        Err(SOMETHING)
    }
}

#[cfg(test)]
mod tests {
    use super::is_none;

    #[test]
    fn only_the_outermost_none_is_one() {
        assert!(is_none(&None::<u8>));
        assert!(!is_none(&Some(None::<u8>)));
        assert!(!is_none(&()) && !is_none(&"") && !is_none(&Vec::<u8>::new()) && !is_none(&vec![None::<u8>]));
    }
}
