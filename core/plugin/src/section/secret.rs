//! Secrets that are read whenever they are used.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::{FieldValue, HIDDEN, Secret};

/// A secret that may change while the program runs: the text itself, or the place where it is found, which is read at each
/// use.
///
/// `"env:NAME"` is the environment variable of that name, `"file:/run/secrets/name"` the content of a file without the line
/// break at its end. That there is one is checked when the configuration is read. Like [`Secret`], it is never shown.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::SecretSource;
///
/// assert_eq!(SecretSource::new("hush").read()?, "hush");
/// assert!(SecretSource::new("file:/there/is/none").read().is_err());
/// # Ok::<(), retainit::plugin::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretSource(String);

/// Limit on the length of a secret's file: certificates and keys are far below.
const MAX_SECRET: u64 = 1 << 20;

impl SecretSource {
    /// Keeps a text, or the place of one.
    pub fn new(text: impl Into<String>) -> SecretSource {
        SecretSource(text.into())
    }

    /// Reads the secret. Keep it out of messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none where it should be, or an empty one.
    pub fn read(&self) -> crate::Result<String> {
        let refuse = |text: String| Err(crate::Error::new(crate::ErrorKind::Config, text));
        if let Some(name) = self.0.strip_prefix("env:") {
            return match std::env::var(name) {
                Ok(text) if !text.is_empty() => Ok(text),
                Ok(_) => refuse(format!("the environment variable {name} is empty")),
                Err(std::env::VarError::NotPresent) => refuse(format!("the environment variable {name} is not set")),
                Err(_) => refuse(format!("the environment variable {name} is not valid UTF-8")),
            };
        }
        let Some(path) = self.0.strip_prefix("file:") else { return Ok(self.0.clone()) };
        match crate::read_file(Path::new(path), MAX_SECRET) {
            Err(error) => refuse(format!("the file {path} cannot be read: {error}")),
            Ok(text) => {
                match text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)) {
                    "" => refuse(format!("the file {path} is empty")),
                    text => Ok(text.to_owned()),
                }
            }
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl FieldValue for SecretSource {
    const EXPECTED: &'static str = Secret::EXPECTED;
    const SECRET: bool = true;
    const DEFERRED: bool = true;

    fn read(value: &Value) -> Option<SecretSource> {
        value.as_str().filter(|text| !text.is_empty()).map(SecretSource::new)
    }

    fn shown(&self) -> String {
        HIDDEN.to_owned()
    }
}
