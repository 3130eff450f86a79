//! Configuration structs, declared once: fields, defaults, other names, texts of the reference page, setters.

mod declare;
mod field;
mod secret;
mod value;

use std::fmt;

use serde_json::Value;

pub use field::{Field, Literal};
pub use secret::SecretSource;
pub use value::{ByteSize, Count, FieldValue, Fraction, HIDDEN, IntoField, Limit, Secret};

/// A part of the configuration that belongs to one plugin. [`config!`](crate::config) writes all of it.
///
/// The methods have defaults for configurations that only code can make.
pub trait Section: fmt::Debug + Send + Sync + 'static {
    /// Returns the fields a profile may set.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// Sets a field by its name, in place of what it was.
    ///
    /// # Errors
    ///
    /// The problem of the value, for people; an unknown name is one too.
    fn set(&mut self, field: &str, value: &Value) -> Result<(), String> {
        Err(format!("`{field}` cannot be set to {value} from a configuration"))
    }

    /// Returns the set value of a field, as a profile would write it; `None` where it was not set. Secrets are hidden.
    fn shown(&self, _field: &str) -> Option<String> {
        None
    }

    /// Lists everything that cannot be used: values that code has set, and fields that do not go together.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// A configuration with defaults. [`config!`](crate::config) writes it.
pub trait Complete: Section + Sized {
    /// Returns this configuration with its defaults in place of what was not set.
    fn complete(&self) -> Self;
}

/// A problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field it is about; empty for several.
    pub field: &'static str,
    /// Text of the problem and its remedy.
    pub text: String,
}

impl Problem {
    /// Makes a problem of one field.
    pub fn new(field: &'static str, text: impl Into<String>) -> Problem {
        Problem { field, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            "" => f.write_str(&self.text),
            field => write!(f, "{field}: {}", self.text),
        }
    }
}

/// Returns one error for all problems of a configuration.
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if there are any.
pub fn check(problems: &[Problem]) -> crate::Result<()> {
    let error = |text: String| crate::Error::new(crate::ErrorKind::Config, text);
    match problems {
        [] => Ok(()),
        [Problem { field, text }] if !field.is_empty() => Err(error(text.clone()).with_field(*field)),
        several => Err(error(several.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))),
    }
}

/// A field of a configuration: not set, set, or set to a value that cannot be used.
#[derive(Clone)]
pub struct FieldState<T>(Option<Result<T, String>>);

impl<T> Default for FieldState<T> {
    fn default() -> Self {
        FieldState(None)
    }
}

impl<T: FieldValue> fmt::Debug for FieldState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown().unwrap_or_else(|| "unset".to_owned()))
    }
}

impl<T: FieldValue> FieldState<T> {
    /// Sets it from code.
    pub fn put(&mut self, value: impl IntoField<T>) {
        self.0 = Some(value.into_field());
    }

    /// Sets it from what a profile wrote.
    ///
    /// # Errors
    ///
    /// The text of what was expected; the field stays as it was.
    pub fn read(&mut self, value: &Value) -> Result<(), String> {
        self.0 = Some(Ok(value::read(value)?));
        Ok(())
    }

    /// Sets it to its default if it was not set.
    pub fn or_default(&mut self, default: &Value) {
        if self.0.is_none() {
            self.0 = Some(value::read(default));
        }
    }

    /// Returns its value, where it was set to one that can be used.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()?.as_ref().ok()
    }

    /// Returns its value as a profile would write it.
    pub fn shown(&self) -> Option<String> {
        Some(match self.0.as_ref()? {
            Ok(value) => value.shown(),
            Err(_) => "unusable".to_owned(),
        })
    }

    /// Returns why it cannot be used.
    pub fn problem(&self) -> Option<&str> {
        self.0.as_ref()?.as_ref().err().map(String::as_str)
    }
}
