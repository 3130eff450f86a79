//! Outermost layer of a value, found by running its `Serialize`: the first call gives the answer, and nothing is
//! written.

use std::fmt;

use serde::Serialize;
use serde::ser::{Error, Impossible, Serializer};

/// Outermost layer of the stored value; the payload does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionTag {
    /// A value that is no `Option`.
    Plain,
    /// `Some` of the payload.
    Some,
    /// `None`; the payload is empty.
    None,
    /// A whole result that is an error, in the payload.
    Error,
}

impl OptionTag {
    const ALL: [OptionTag; 4] = [OptionTag::Plain, OptionTag::Some, OptionTag::None, OptionTag::Error];

    pub(crate) fn flags(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_flags(flags: u8) -> Option<OptionTag> {
        OptionTag::ALL.into_iter().find(|option_tag| option_tag.flags() == flags)
    }
}

/// Returns the outermost layer of a value, below newtypes.
pub(super) fn of<V: Serialize + ?Sized>(value: &V) -> OptionTag {
    match form(value) {
        TagForm::Some => OptionTag::Some,
        TagForm::None => OptionTag::None,
        TagForm::Unit | TagForm::UnitStruct | TagForm::Byte(_) | TagForm::Something => OptionTag::Plain,
    }
}

/// First call that a value makes to a serializer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagForm {
    Some,
    None,
    Unit,
    UnitStruct,
    Byte(u8),
    Something,
}

#[inline]
pub(super) fn form<V: Serialize + ?Sized>(value: &V) -> TagForm {
    match value.serialize(Ask) {
        Ok(()) => TagForm::Something,
        Err(Answer(form)) => form,
    }
}

struct Ask;

/// The answer, as an "error": nothing below the outermost call is visited.
#[derive(Debug)]
struct Answer(TagForm);

const SOMETHING: Answer = Answer(TagForm::Something);

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
        Err(Answer(TagForm::Byte(byte)))
    }

    fn serialize_none(self) -> Result<(), Answer> {
        Err(Answer(TagForm::None))
    }

    fn serialize_unit(self) -> Result<(), Answer> {
        Err(Answer(TagForm::Unit))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Answer> {
        Err(Answer(TagForm::UnitStruct))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Answer> {
        Err(Answer(TagForm::Some))
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
    use super::{OptionTag, of};

    #[test]
    fn only_the_outermost_layer_counts() {
        assert_eq!(of(&None::<u8>), OptionTag::None);
        assert_eq!(of(&Some(None::<u8>)), OptionTag::Some);
        for plain in [of(&()), of(""), of(&Vec::<u8>::new()), of(&vec![None::<u8>]), of(&1u8)] {
            assert_eq!(plain, OptionTag::Plain);
        }
    }
}
