//! Settings that come with the program, below everything that is said elsewhere.

use retainit_plugin::Value;

use super::Sources;
use crate::{Error, ErrorKind, Result};

/// A profile by name, with its text in TOML.
#[derive(Clone)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

impl Preset {
    pub(crate) fn development() -> Preset {
        Preset { name: "development", text: include_str!("../../presets/development.toml").to_owned() }
    }

    pub(crate) fn test() -> Preset {
        Preset { name: "test", text: include_str!("../../presets/test.toml").to_owned() }
    }

    /// The preset for production, with the backend that a URL names as the default.
    pub(crate) fn production(url: &str) -> Result<Preset> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (type_name, field, value) = match scheme {
            "file" => ("disk", "base_path", decoded(rest)?),
            "redis" | "rediss" | "valkey" => ("redis", "url", url.to_owned()),
            "s3" => ("s3", "bucket", rest.to_owned()),
            "mongodb" | "mongodb+srv" => ("mongo", "url", url.to_owned()),
            // The URL may hold a password, so that it is not repeated.
            _ => return Err(Error::new(ErrorKind::Config, UNKNOWN)),
        };
        // JSON's texts are TOML's.
        let value = Value::from(value);
        let text = format!(
            "{}\n[retainit.backends.production]\ntype = \"{type_name}\"\n{field} = {value}\n",
            include_str!("../../presets/production.toml")
        );
        let text =
            text.replacen("[retainit.events]", "[retainit]\ndefault_backend = \"production\"\n\n[retainit.events]", 1);
        Ok(Preset { name: "production", text })
    }

    /// These settings, below what the program would read anyway.
    pub(crate) fn below_all(self) -> Sources {
        Sources { preset: Some(self), ..Sources::implicit() }
    }

    /// These settings and nothing else.
    pub(crate) fn alone(self) -> Sources {
        Sources { preset: Some(self), ..Sources::default() }
    }
}

const UNKNOWN: &str =
    "the URL of a production backend: expected redis://…, rediss://…, s3://…, mongodb://… or file:///folder";

/// The path of a `file` URL, where `%20` stands for a blank.
fn decoded(path: &str) -> Result<String> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("the URL of a production backend: {why}"));
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let [first, behind @ ..] = rest {
        let escaped = behind.split_at_checked(2).filter(|(code, _)| code.iter().all(u8::is_ascii_hexdigit));
        match (first, escaped) {
            (b'%', None) => return Err(refuse("expected two hexadecimal digits behind `%`; `%25` is the sign itself")),
            (b'%', Some((code, behind))) => {
                let digit = |at: usize| char::from(code[at]).to_digit(16).unwrap_or_default() as u8;
                bytes.push(digit(0) * 16 + digit(1));
                rest = behind;
            }
            (other, _) => {
                bytes.push(*other);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| refuse("what is escaped in its path is not UTF-8"))
}
