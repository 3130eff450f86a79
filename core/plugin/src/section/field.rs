use std::fmt;

use serde_json::Value;

/// A value as a declaration writes it: a text in quotes, a number or a bool.
#[derive(Clone, Copy)]
pub struct Literal {
    written: &'static str,
    value: fn() -> Value,
}

impl Literal {
    /// Takes a literal of Rust, which is one of TOML too, and its value. Called by [`config!`](crate::config).
    pub const fn new(written: &'static str, value: fn() -> Value) -> Literal {
        Literal { written, value }
    }

    /// Returns what a profile in TOML writes: `"5m"`, `10_000`, `true`.
    pub const fn written(&self) -> &'static str {
        self.written
    }

    /// Returns its value.
    pub fn value(&self) -> Value {
        (self.value)()
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written)
    }
}

/// One field of a configuration, as profiles, environment variables, messages and the reference page see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Field {
    /// The key in a profile.
    pub name: &'static str,
    /// Other names that are accepted for it.
    pub aliases: &'static [&'static str],
    /// Set if its value is never shown.
    pub secret: bool,
    /// Set if the place of a secret is kept and read at each use, as a [`SecretSource`](crate::SecretSource) does.
    pub deferred: bool,
    /// The default, where there is one.
    pub default: Option<Literal>,
    /// A value that somebody may set it to. A field without a default has one.
    pub example: Option<Literal>,
    /// Accepted values, in a few words.
    pub expected: &'static str,
    /// Description on the reference page, in Markdown.
    pub docs: &'static str,
}

impl Field {
    /// Makes a field that may be shown.
    pub const fn new(name: &'static str) -> Field {
        Field {
            name,
            aliases: &[],
            secret: false,
            deferred: false,
            default: None,
            example: None,
            expected: "",
            docs: "",
        }
    }

    /// Sets other names for it.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Field {
        self.aliases = aliases;
        self
    }

    /// Hides the value of this field everywhere.
    #[must_use]
    pub const fn secret(mut self, secret: bool) -> Field {
        self.secret = secret;
        self
    }

    /// Keeps the place of a secret instead of the secret.
    #[must_use]
    pub const fn deferred(mut self, deferred: bool) -> Field {
        self.deferred = deferred;
        self
    }

    /// Sets the default.
    #[must_use]
    pub const fn default(mut self, default: Literal) -> Field {
        self.default = Some(default);
        self
    }

    /// Sets the example that pages and files show.
    #[must_use]
    pub const fn example(mut self, example: Literal) -> Field {
        self.example = Some(example);
        self
    }

    /// Sets the description of accepted values and the text of the reference page.
    ///
    /// # Panics
    ///
    /// If it has neither a default nor an example: in [`config!`](crate::config), that does not compile.
    #[must_use]
    pub const fn describe(mut self, expected: &'static str, docs: &'static str) -> Field {
        assert!(self.default.is_some() || self.example.is_some(), "a field without a default needs an example");
        self.expected = expected;
        self.docs = docs;
        self
    }

    /// Returns whether a profile may use `name` for this field.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
