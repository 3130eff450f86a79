use serde::{Serialize, ser};

use super::canon::Canon;
use super::sink::Bytes;
use super::token::{CHAR, NEWTYPE_STRUCT, UNIT_STRUCT, VARIANT, split_text};
use super::{Args, KeyError, KeySource, Sink, text};

/// A key or tag written as text with values in it: `"user:{id}"`.
#[derive(Clone, Copy, Debug)]
pub struct Template<V> {
    /// Text around the values: one part more than there are values.
    pub literals: &'static [&'static str],
    /// Every non-alphanumeric character between two values; escaped in them.
    pub between: &'static str,
    /// Types of the values as the source spells them: `str` for those that are always text, the name of a newtype,
    /// which reads as its content. A missing or empty one is unknown.
    pub types: &'static [&'static str],
    /// Values, as a tuple.
    pub values: V,
}

impl<V> Template<V> {
    fn spelled(&self, place: usize) -> &'static str {
        self.types.get(place).copied().unwrap_or_default()
    }
}

impl<V: Values> Template<V> {
    fn texts(&self, of: impl Fn(&[u8], &str) -> String) -> Result<Vec<String>, KeyError> {
        (0..self.literals.len() - 1).map(|i| Ok(of(&self.values.value(i)?, self.spelled(i)))).collect()
    }

    /// Returns the text with unescaped values, for tags.
    pub(crate) fn plain_text(&self) -> Result<String, KeyError> {
        let texts = self.texts(|value, _| tag_text(value))?;
        let mut out = self.literals[0].to_owned();
        for (value, after) in texts.iter().zip(&self.literals[1..]) {
            out.push_str(value);
            out.push_str(after);
        }
        Ok(out)
    }
}

impl<V: Values> KeySource for Template<V> {
    const IS_TEXT: bool = true;
    const RUNS_USER_CODE: bool = true;

    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        // A template without values is the most common one and needs no allocation.
        match self.literals {
            [only] if !only.contains(['%', '*', '?', '[', ']', '{', '}', ' ']) => sink.put(only.as_bytes()),
            _ => sink.put(text::fill(self.literals, self.between, &self.texts(key_text)?).as_bytes()),
        }
        Ok(())
    }
}

/// Fills a template from a key given by hand: one value, or a tuple with one for each argument of the template. `order`
/// maps placeholders to arguments; empty for the order of the placeholders.
pub(crate) fn fill<T: Serialize + ?Sized>(
    template: &Template<()>,
    order: &[usize],
    key: &T,
) -> Result<String, KeyError> {
    let places = template.literals.len() - 1;
    let arguments = if order.is_empty() { places } else { order.iter().max().map_or(0, |last| last + 1) };
    let (mut bytes, parts);
    if arguments < 2 {
        bytes = bytes_of(key)?;
        parts = vec![&*bytes];
    } else {
        bytes = Bytes::new();
        Args(key).feed(&mut bytes)?;
        parts = text::elements(&bytes);
        if parts.len() != arguments {
            let (given, wanted) = (parts.len(), arguments);
            return Err(ser::Error::custom(format!("the key has {given} parts, its template takes {wanted}")));
        }
    }
    let value = |place| {
        let part = order.get(place).copied().unwrap_or(place);
        key_text(parts[part], template.spelled(place))
    };
    Ok(text::fill(template.literals, template.between, &(0..places).map(value).collect::<Vec<_>>()))
}

/// Writes a value for the template of a key. Text stays as it is, unless a value of another type could read the same:
/// then it is quoted, as in canonical text; an argument spelled as text needs no quotes. A newtype that the argument is
/// spelled as is written as its content; inside an enum without tags it has its name, since other types may be there
/// too.
fn key_text(value: &[u8], spelled: &str) -> String {
    let is_text = spelled == "str";
    let value = match newtype(value) {
        Some((name, content)) if !spelled.is_empty() && name == spelled.as_bytes() => content,
        _ => value,
    };
    match plain_string(value) {
        Some(text) if is_text || !reads_as_value(text) => text.to_owned(),
        None if is_text && let Some(char) = plain_char(value) => char.into(),
        _ => text::canonical_text(value),
    }
}

/// Writes a value for a tag: text, characters and names of variants without quotes.
fn tag_text(value: &[u8]) -> String {
    let value = without_newtypes(value);
    if let Some(char) = plain_char(value) {
        return char.into();
    }
    match plain_string(value).or_else(|| unit_variant(value)) {
        Some(text) => text.to_owned(),
        None => text::canonical_text(value),
    }
}

/// Returns true if a value that is no text may have this canonical text. A false positive costs two quotes.
fn reads_as_value(text: &str) -> bool {
    let is_name = |name: &str| !name.contains([':', '/', '=', '@', '*', '?', '[', ']', '{', '}', ',', ' ', '"', '\'']);
    matches!(text, "true" | "false" | "null")
        || text.starts_with(['~', '+', '(', '\'', '"'])
        || text.contains('(')
        || text.parse::<f64>().is_ok()
        || text.starts_with(|c: char| c.is_alphabetic() || c == '%')
            && text
                .split_once('.')
                .is_some_and(|(of, variant)| is_name(of) && is_name(variant) && !variant.contains('.'))
}

/// Returns the string if the canonical bytes are one string.
fn plain_string(bytes: &[u8]) -> Option<&str> {
    let (tag, rest) = bytes.split_first()?;
    let (text, after) = split_text(*tag, rest)?;
    std::str::from_utf8(text).ok().filter(|_| after.is_empty())
}

fn plain_char(bytes: &[u8]) -> Option<char> {
    let code = bytes.strip_prefix(&[CHAR])?;
    char::from_u32(u32::from_le_bytes(code.try_into().ok()?))
}

/// Returns the name of a variant without content, if the canonical bytes are one.
fn unit_variant(bytes: &[u8]) -> Option<&str> {
    let (tag, rest) = bytes.strip_prefix(&[UNIT_STRUCT | VARIANT])?.split_first()?;
    plain_string(split_text(*tag, rest)?.1)
}

/// Splits a newtype into its name and its content.
fn newtype(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = value.strip_prefix(&[NEWTYPE_STRUCT])?.split_first()?;
    split_text(*tag, rest)
}

fn without_newtypes(mut value: &[u8]) -> &[u8] {
    while let Some((_, content)) = newtype(value) {
        value = content;
    }
    value
}

/// Values of a template: a tuple of up to twelve, or one value.
pub trait Values {
    /// Returns the canonical bytes of the value at `index`.
    ///
    /// # Errors
    ///
    /// The error of the value's own `Serialize`.
    fn value(&self, index: usize) -> Result<Bytes, KeyError>;
}

/// Returns the bytes of one value; a list has its brackets.
fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, KeyError> {
    let mut bytes = Bytes::new();
    value.serialize(Canon::inner(&mut bytes))?;
    Ok(bytes)
}

macro_rules! values {
    ($($name:ident $index:tt)*) => {
        impl<$($name: Serialize),*> Values for ($($name,)*) {
            fn value(&self, index: usize) -> Result<Bytes, KeyError> {
                match index {
                    $($index => bytes_of(&self.$index),)*
                    _ => Ok(Bytes::new()),
                }
            }
        }
    };
}
values!();
values!(A 0);
values!(A 0 B 1);
values!(A 0 B 1 C 2);
values!(A 0 B 1 C 2 D 3);
values!(A 0 B 1 C 2 D 3 E 4);
values!(A 0 B 1 C 2 D 3 E 4 F 5);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
