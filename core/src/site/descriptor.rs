use std::time::Duration;

use retainit_plugin::Ttl;

use crate::options::{Options, setters, with_options};
use crate::value::ValueKinds;

/// Description of one function by its attribute; made at compile time.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) id: Option<&'static str>,
    pub(crate) version: u32,
    pub(crate) backend: Option<&'static str>,
    pub(crate) options: Options,
    pub(crate) hash_key: bool,
    pub(crate) pii: bool,
    pub(crate) tagged: bool,
    pub(crate) template_key: bool,
    pub(crate) generic: bool,
    pub(crate) method: bool,
    pub(crate) blocking: bool,
    /// Path of the type beside the function, and its own name.
    pub(crate) marker: Option<fn() -> &'static str>,
    pub(crate) marker_name: &'static str,
    pub(crate) inside: Option<fn() -> &'static str>,
    pub(crate) values: Option<fn() -> ValueKinds>,
}

macro_rules! flags {
    ($($flag:ident)*) => {$(
        #[expect(missing_docs, reason = "named for the attribute's argument")]
        #[must_use]
        pub const fn $flag(mut self) -> Self {
            self.$flag = true;
            self
        }
    )*};
}

macro_rules! setter {
    ([attribute $b:tt $c:tt $s:tt] $kind:ident $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:literal) => {
        $(#[doc = $doc])*
        #[must_use]
        pub const fn $name(mut self, value: $type) -> Self {
            self.options.$name = Some(value);
            self
        }
    };
    ([- $b:tt $c:tt $s:tt] $($rest:tt)*) => {};
}

macro_rules! values {
    ($($field:ident: $type:ty)*) => {$(
        #[expect(missing_docs, reason = "named for the attribute's argument")]
        #[must_use]
        pub const fn $field(mut self, value: $type) -> Self {
            self.$field = Some(value);
            self
        }
    )*};
}

impl Descriptor {
    /// Describes a function by its place in the source.
    pub const fn new(
        module: &'static str,
        name: &'static str,
        file: &'static str,
        line: u32,
        column: u32,
    ) -> Descriptor {
        Descriptor {
            module,
            name,
            file,
            line,
            column,
            id: None,
            version: 0,
            backend: None,
            options: Options::NONE,
            hash_key: false,
            pii: false,
            tagged: false,
            template_key: false,
            generic: false,
            method: false,
            blocking: false,
            marker: None,
            marker_name: "",
            inside: None,
            values: None,
        }
    }

    flags!(hash_key pii tagged template_key generic method blocking);

    /// Marks a function whose attribute has `ttl = |value| …`.
    #[must_use]
    pub const fn ttl_of(mut self) -> Self {
        self.options.ttl_of = true;
        self
    }

    with_options!(setters);
    values!(id: &'static str backend: &'static str inside: fn() -> &'static str
            values: fn() -> ValueKinds);

    /// Sets the name of the type beside the function, with its path and without.
    #[must_use]
    pub const fn marker(mut self, path: fn() -> &'static str, name: &'static str) -> Self {
        self.marker = Some(path);
        self.marker_name = name;
        self
    }

    /// Sets the attribute's `version`.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Returns true if only its instantiations are known in full, each with its first call.
    pub(crate) fn is_lazy(&self) -> bool {
        self.generic || self.method
    }

    /// Returns the function's place in the source, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }

    /// Returns the function's own path, and true if no other function has it: a function inside a body and a method
    /// have no name that is unique in the source.
    pub(crate) fn path(&self) -> (String, bool) {
        let named = format!("{}::{}", self.module, self.name);
        let actual = match (self.marker, self.inside) {
            (Some(type_of), _) => {
                // Behind the name there may be the default of a type parameter, which has paths in it.
                let path = type_of();
                path.split_once(&format!("::{}<", self.marker_name))
                    .map(|(module, _)| module)
                    .or_else(|| path.rsplit_once("::").map(|(module, _)| module))
            }
            (None, Some(type_of)) => type_of().rsplit_once("::").map(|(path, _)| path),
            (None, None) => None,
        };
        match (actual, self.inside) {
            _ if self.method => (named, false),
            (None, _) => (named, true),
            // The path of a type inside the body begins with the function itself.
            (Some(path), Some(_)) => (path.to_owned(), path == named),
            // The type is next to the function, whose module may have a name of its own.
            (Some(module), None) => (format!("{module}::{}", self.name), module == self.module),
        }
    }
}

/// Parses a ttl of the attribute.
///
/// # Panics
///
/// At compile time, for unreadable text.
pub const fn ttl(text: &str) -> Ttl {
    match Ttl::try_parse(text) {
        Some(ttl) => ttl,
        None => panic!(
            "unreadable ttl: expected a whole number of seconds, \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\", \"never\" \
             or \"off\""
        ),
    }
}

/// Makes a ttl from seconds; zero means never.
pub const fn ttl_secs(seconds: u64) -> Ttl {
    Ttl::from_secs(seconds)
}

/// Parses a duration of the attribute.
///
/// # Panics
///
/// At compile time, for unreadable text and for zero.
pub const fn duration(text: &str) -> Duration {
    match Ttl::try_parse(text) {
        Some(Ttl::For(duration)) => duration,
        _ => panic!("unreadable duration: expected \"500ms\", \"30s\", \"5m\", \"2h\" or \"1d\""),
    }
}
