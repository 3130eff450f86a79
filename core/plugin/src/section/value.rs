//! The types of fields, and how they are read from profiles, environment variables and code.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::{Ttl, compact};

/// The type of a configuration's field.
pub trait FieldValue: Clone + fmt::Debug + Send + Sync + 'static {
    /// Accepted values, with an example.
    const EXPECTED: &'static str;

    /// Set if the value is never shown.
    const SECRET: bool = false;

    /// Set if a secret's place is kept in its stead, and read whenever the secret is used.
    const DEFERRED: bool = false;

    /// Reads what a profile wrote; `None` for everything else.
    fn read(value: &Value) -> Option<Self>;

    /// Returns the value as a profile would write it.
    fn shown(&self) -> String;
}

/// Converts the argument of a setter to a field of type `T`. The error describes the problem of the argument.
pub trait IntoField<T> {
    /// Converts the argument to the field's value.
    ///
    /// # Errors
    ///
    /// The problem, for people.
    fn into_field(self) -> Result<T, String>;
}

impl<T: FieldValue> IntoField<T> for T {
    fn into_field(self) -> Result<T, String> {
        Ok(self)
    }
}

impl<T: FieldValue> IntoField<T> for &str {
    fn into_field(self) -> Result<T, String> {
        read(&Value::from(self))
    }
}

/// Reads a value, or returns what was expected. A secret is not repeated.
pub(super) fn read<T: FieldValue>(value: &Value) -> Result<T, String> {
    T::read(value).ok_or_else(|| match T::SECRET {
        true => format!("expected {}", T::EXPECTED),
        false => format!("expected {}, got {}", T::EXPECTED, kind(value)),
    })
}

/// Describes a value with its type, for messages.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a table".into(),
        Value::String(text) => format!("the text {text:?}"),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

/// A number of entries, callers or bytes that nobody shortens; at least zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl FieldValue for Count {
    const EXPECTED: &'static str = "a whole number such as 10_000";

    fn read(value: &Value) -> Option<Count> {
        value.as_u64().map(Count)
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }
}

/// A number of bytes: `"64MiB"`, `"10 kB"`, or bare bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

impl ByteSize {
    /// Reads `"64MiB"`, `"1.5 GB"` is not one: whole numbers with `B`, `kB`, `MB`, `GB`, `TB` (powers of 1 000) or
    /// `KiB`, `MiB`, `GiB`, `TiB` (powers of 1 024), or bare bytes.
    pub fn parse(text: &str) -> Option<ByteSize> {
        let text = text.trim().replace('_', "").to_ascii_lowercase();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let scale = match unit.trim_start() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(scale).map(ByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match SHOWN.iter().find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FieldValue for ByteSize {
    const EXPECTED: &'static str = "a size such as \"64MiB\" or a whole number of bytes";

    fn read(value: &Value) -> Option<ByteSize> {
        match value {
            Value::String(text) => ByteSize::parse(text),
            value => value.as_u64().map(ByteSize),
        }
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

/// A bound that may be absent: `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

macro_rules! limits {
    ($($type:ident $expected:literal)*) => {$(
        impl FieldValue for Limit<$type> {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value) -> Option<Self> {
                match value {
                    Value::String(text) if text == "unlimited" => Some(Limit(None)),
                    value => $type::read(value).map(|bound| Limit(Some(bound))),
                }
            }

            fn shown(&self) -> String {
                self.0.as_ref().map_or_else(|| "unlimited".to_owned(), FieldValue::shown)
            }
        }
    )*};
}
limits! {
    Count "a whole number such as 10_000, or \"unlimited\""
    ByteSize "a size such as \"64MiB\", a whole number of bytes, or \"unlimited\""
}

impl FieldValue for Ttl {
    const EXPECTED: &'static str = "\"500ms\", \"30s\", \"5m\", \"2h\", \"1d\", \"never\", \"off\", or whole seconds";

    fn read(value: &Value) -> Option<Ttl> {
        match value {
            Value::String(text) => Ttl::try_parse(text),
            value => value.as_u64().and_then(Ttl::try_from_secs),
        }
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl FieldValue for Duration {
    const EXPECTED: &'static str = "a length of time such as \"200ms\" or \"5s\", or whole seconds";

    fn read(value: &Value) -> Option<Duration> {
        match Ttl::read(value)? {
            Ttl::For(duration) => Some(duration),
            Ttl::Never | Ttl::Off => None,
        }
    }

    fn shown(&self) -> String {
        compact(*self)
    }
}

/// A fraction from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(pub f64);

impl FieldValue for Fraction {
    const EXPECTED: &'static str = "a fraction from 0 to 1, such as 0.1";

    fn read(value: &Value) -> Option<Fraction> {
        let fraction = value.as_f64()?;
        (0.0..=1.0).contains(&fraction).then_some(Fraction(fraction))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl FieldValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

impl FieldValue for String {
    const EXPECTED: &'static str = "a text";

    fn read(value: &Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn shown(&self) -> String {
        self.clone()
    }
}

impl FieldValue for PathBuf {
    const EXPECTED: &'static str = "a path that is not empty";

    fn read(value: &Value) -> Option<PathBuf> {
        value.as_str().filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn shown(&self) -> String {
        self.display().to_string()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl IntoField<Count> for $number {
            fn into_field(self) -> Result<Count, String> {
                u64::try_from(self).map(Count).map_err(|_| format!("expected {}, got {self}", Count::EXPECTED))
            }
        }

        impl IntoField<Limit<Count>> for $number {
            fn into_field(self) -> Result<Limit<Count>, String> {
                IntoField::<Count>::into_field(self).map(|count| Limit(Some(count)))
            }
        }
    )*};
}
numbers!(i32 i64 u32 u64 usize);

/// Converts the only integer type that is accepted: with more of them `4 << 30` would be an `i32`, and zero.
impl IntoField<ByteSize> for u64 {
    fn into_field(self) -> Result<ByteSize, String> {
        Ok(ByteSize(self))
    }
}

impl IntoField<Limit<ByteSize>> for u64 {
    fn into_field(self) -> Result<Limit<ByteSize>, String> {
        Ok(Limit(Some(ByteSize(self))))
    }
}

macro_rules! times {
    ($($from:ty)*) => {$(
        impl IntoField<Ttl> for $from {
            fn into_field(self) -> Result<Ttl, String> {
                crate::IntoTtl::into_ttl(self).map_err(|error| error.report())
            }
        }
    )*};
}
times!(i32 i64 u32 u64 String Duration);

impl IntoField<Fraction> for f64 {
    fn into_field(self) -> Result<Fraction, String> {
        let valid = (0.0..=1.0).contains(&self);
        if valid { Ok(Fraction(self)) } else { Err(format!("expected {}, got {self}", Fraction::EXPECTED)) }
    }
}

impl IntoField<PathBuf> for &Path {
    fn into_field(self) -> Result<PathBuf, String> {
        match self.as_os_str().is_empty() {
            true => Err(format!("expected {}, got an empty one", PathBuf::EXPECTED)),
            false => Ok(self.to_owned()),
        }
    }
}

/// A text that is never shown: not by `Debug`, not in messages, logs or `effective()`.
///
/// A profile contains it as it is or, better, its location: `"env:NAME"` is the environment variable of that name,
/// `"file:/run/secrets/name"` the content of a file without the line break at its end. Both are read when the
/// configuration is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text itself. Keep it out of messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Text that is shown in place of a secret.
pub const HIDDEN: &str = "***";

impl FieldValue for Secret {
    const EXPECTED: &'static str = "a text that is not empty, \"env:NAME\" or \"file:/path\"";
    const SECRET: bool = true;

    fn read(value: &Value) -> Option<Secret> {
        value.as_str().filter(|text| !text.is_empty()).map(Secret::new)
    }

    fn shown(&self) -> String {
        HIDDEN.to_owned()
    }
}

/// Reads a field's type from the names of an enum's variants.
///
/// ```
/// #[derive(Clone, Copy, Debug)]
/// pub enum Mode {
///     Fast,
///     Careful,
/// }
///
/// retainit_plugin::choice!(Mode { "fast" => Fast, "careful" => Careful });
/// assert!("slow".parse::<Mode>().is_err());
/// ```
#[macro_export]
macro_rules! choice {
    ($type:ident { $first:literal => $one:ident $(, $name:literal => $variant:ident)* $(,)? }) => {
        impl $crate::FieldValue for $type {
            const EXPECTED: &'static str = ::core::concat!("\"", $first, "\"" $(, ", \"", $name, "\"")*);

            fn read(value: &$crate::Value) -> ::core::option::Option<Self> {
                match value.as_str()? {
                    $first => ::core::option::Option::Some($type::$one),
                    $($name => ::core::option::Option::Some($type::$variant),)*
                    _ => ::core::option::Option::None,
                }
            }

            fn shown(&self) -> ::std::string::String {
                let name = match self {
                    $type::$one => $first,
                    $($type::$variant => $name,)*
                };
                ::std::string::String::from(name)
            }
        }

        impl ::core::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<$type> {
                $crate::IntoField::into_field(text)
                    .map_err(|problem| $crate::Error::new($crate::ErrorKind::Config, problem))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("64MiB", Some(64 << 20)),
            ("64 mib", Some(64 << 20)),
            ("1_000kB", Some(1_000_000)),
            ("512", Some(512)),
            ("7b", Some(7)),
            ("", None),
            ("MiB", None),
            ("1.5GiB", None),
            ("-1", None),
            ("64MiBs", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(ByteSize::parse(text).map(|size| size.0), expected, "{text:?}");
        }
        assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
        assert_eq!(ByteSize(1_500).to_string(), "1500");
        assert_eq!(ByteSize(0).to_string(), "0");
    }

    #[test]
    fn what_was_expected_is_said_and_a_secret_is_not() {
        let problem = read::<Count>(&Value::from("ten")).expect_err("no number");
        assert_eq!(problem, "expected a whole number such as 10_000, got the text \"ten\"");
        let problem = read::<Secret>(&Value::from(12_345)).expect_err("no text");
        assert!(!problem.contains("12345"), "{problem}");
        assert!(!format!("{:?}", Secret::new("hush")).contains("hush"));
    }

    #[test]
    fn shifted_bytes_are_not_cut() {
        fn bytes(bytes: impl IntoField<ByteSize>) -> u64 {
            bytes.into_field().expect("a number of bytes").0
        }
        assert_eq!(bytes(4 << 30), 4_294_967_296);
    }

    #[test]
    fn limits_may_be_absent() {
        assert_eq!(read::<Limit<ByteSize>>(&Value::from("unlimited")), Ok(Limit(None)));
        assert_eq!(read::<Limit<ByteSize>>(&Value::from("1KiB")), Ok(Limit(Some(ByteSize(1024)))));
        assert!(read::<Limit<Count>>(&Value::from("none")).is_err());
    }
}
