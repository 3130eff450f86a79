//! Whether a value is `Some`, `None`, nothing or something, asked of its `Serialize`: the outermost call says it and
//! nothing is written.

use std::fmt;

use serde::Serialize;
use serde::ser::{Error, Impossible, Serializer};

use crate::engine::Outermost;

/// The outermost layer of a value, below newtypes.
pub(super) fn of<V: Serialize + ?Sized>(value: &V) -> Outermost {
    match form(value) {
        Form::Some => Outermost::Some,
        Form::None => Outermost::None,
        Form::Unit | Form::UnitStruct | Form::Byte(_) | Form::Something => Outermost::Plain,
    }
}

/// What the outermost layer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Some,
    None,
    Unit,
    UnitStruct,
    Byte(u8),
    Something,
}

#[inline]
pub(super) fn form<V: Serialize + ?Sized>(value: &V) -> Form {
    match value.serialize(Ask) {
        Ok(()) => Form::Something,
        Err(Answer(form)) => form,
    }
}

struct Ask;

/// Every answer is an "error", so that nothing below the outermost call is visited.
#[derive(Debug)]
struct Answer(Form);

const SOMETHING: Answer = Answer(Form::Something);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
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

impl Serializer for Ask {
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
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> No;
        serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }

    #[inline]
    fn serialize_u8(self, byte: u8) -> Result<(), Answer> {
        Err(Answer(Form::Byte(byte)))
    }

    fn serialize_none(self) -> Result<(), Answer> {
        Err(Answer(Form::None))
    }

    fn serialize_unit(self) -> Result<(), Answer> {
        Err(Answer(Form::Unit))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Answer> {
        Err(Answer(Form::UnitStruct))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Answer> {
        Err(Answer(Form::Some))
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
    use super::{Outermost, of};

    #[test]
    fn only_the_outermost_layer_counts() {
        assert_eq!(of(&None::<u8>), Outermost::None);
        assert_eq!(of(&Some(None::<u8>)), Outermost::Some);
        for plain in [of(&()), of(""), of(&Vec::<u8>::new()), of(&vec![None::<u8>]), of(&1u8)] {
            assert_eq!(plain, Outermost::Plain);
        }
    }
}
