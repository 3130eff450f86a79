use std::time::Duration;

use retainit_plugin::Ttl;

use super::ValueKinds;
use crate::options::Options;

/// What the attribute says about one function; made at compile time.
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
    pub(crate) marker: Option<fn() -> &'static str>,
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

macro_rules! options {
    ($($option:ident: $type:ty)*) => {$(
        #[expect(missing_docs, reason = "named for the attribute's argument")]
        #[must_use]
        pub const fn $option(mut self, value: $type) -> Self {
            self.options.$option = Some(value);
            self
        }
    )*};
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
    /// A function by its place in the source.
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
            inside: None,
            values: None,
        }
    }

    flags!(hash_key pii tagged template_key generic method blocking);
    options!(ttl: Ttl none_ttl: Ttl err_ttl: Ttl jitter: f64 max_load_time: Duration serializer: &'static str
             verify: f64);
    values!(id: &'static str backend: &'static str marker: fn() -> &'static str inside: fn() -> &'static str
            values: fn() -> ValueKinds);

    /// The attribute's `version`.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// `single_flight = "off"`.
    #[must_use]
    pub const fn no_single_flight(mut self) -> Self {
        self.options.single_flight = Some(false);
        self
    }

    /// Where the function stands, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }

    /// The function's own path, and whether it names this function only: a function inside a body and a method have
    /// no name that is unique in the source.
    pub(crate) fn path(&self) -> (String, bool) {
        let named = format!("{}::{}", self.module, self.name);
        let actual = match (self.marker, self.inside) {
            (Some(type_of), _) | (_, Some(type_of)) => type_of().rsplit_once("::"),
            _ => None,
        };
        match (actual, self.inside) {
            _ if self.method => (named, false),
            (None, _) => (named, true),
            // The type inside the body: what stands before it is the function itself.
            (Some((path, _)), Some(_)) => (path.to_owned(), path == named),
            // The type beside the function, which may have a name of its own.
            (Some((module, _)), None) => (format!("{module}::{}", self.name), module == self.module),
        }
    }
}

/// A ttl as the attribute writes it.
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

/// A ttl in seconds; zero means never.
pub const fn ttl_secs(seconds: u64) -> Ttl {
    Ttl::from_secs(seconds)
}

/// A duration as the attribute writes it.
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
