/// One field of a configuration, as profiles, environment variables, messages and the reference page see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The key in a profile.
    pub name: &'static str,
    /// Other names that are accepted for it.
    pub aliases: &'static [&'static str],
    /// Whether its value is never shown.
    pub secret: bool,
    /// The default as a profile would write it; empty where there is none.
    pub default: &'static str,
    /// What it takes, in a few words.
    pub expected: &'static str,
    /// What it does: the text of the reference page, in Markdown.
    pub docs: &'static str,
}

impl Field {
    /// A field that may be shown.
    pub const fn new(name: &'static str) -> Field {
        Field { name, aliases: &[], secret: false, default: "", expected: "", docs: "" }
    }

    /// Other names for it.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Field {
        self.aliases = aliases;
        self
    }

    /// Whether its value is never to be shown.
    #[must_use]
    pub const fn secret(mut self, secret: bool) -> Field {
        self.secret = secret;
        self
    }

    /// The default as a profile would write it.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Field {
        self.default = default;
        self
    }

    /// What it takes, and what it does.
    #[must_use]
    pub const fn describe(mut self, expected: &'static str, docs: &'static str) -> Field {
        self.expected = expected;
        self.docs = docs;
        self
    }

    /// Whether a profile may call it so.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
