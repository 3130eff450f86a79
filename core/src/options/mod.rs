//! Options of a function or cache: those of each layer, and the effective ones.

mod layers;
mod overrides;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Error, ErrorKind, IntoTtl, PerProcess, Result, Settings, Ttl, compact};

pub(crate) use layers::{OptionLayers, OptionSource};
pub use overrides::Overrides;
pub(crate) use table::{setters, with_options};

macro_rules! define_options {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($kind:ident): $type:ty = $default:literal $(, alias $alias:literal)*;
            [$attribute:tt] [$builder:tt] [$call:tt] [$scope:tt] [$backend:tt];
            $held:ty: $resolve:expr;
    )*) => {
        /// Options of one layer; `None` leaves a choice to the layers below.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub(crate) struct Options {
            $($(#[doc = $doc])* pub(crate) $name: Option<$type>,)*
            /// Computes the ttl of each value.
            pub(crate) ttl_of: bool,
        }

        /// Effective options.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct Resolved {
            $($(#[doc = $doc])* pub(crate) $name: $held,)*
            /// Limit on the ttl, whatever its source.
            pub(crate) max_ttl: Option<Ttl>,
            /// True if the function or cache computes the ttl of each value, and nothing with precedence sets one.
            pub(crate) ttl_of: bool,
        }

        impl Options {
            pub(crate) const NONE: Options = Options { $($name: None,)* ttl_of: false };

            /// Fills the options left open from `below`.
            pub(crate) fn over(&self, below: &Options) -> Options {
                let ttl_of = self.ttl_of || self.ttl.is_none() && below.ttl_of;
                Options { $($name: self.$name.or(below.$name),)* ttl_of }
            }

            /// Clears the options that a backend also sets, where `is_below` is true: the backend's takes precedence
            /// there.
            pub(crate) fn yield_to(&mut self, backend: &Options, is_below: impl Fn(&str) -> bool) {
                $(
                    if is_inherited!([$backend]) && backend.$name.is_some() && is_below(stringify!($name)) {
                        self.$name = None;
                    }
                )*
            }

            /// Returns the options that both set, to different values.
            pub(crate) fn differences(&self, other: &Options) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(
                    if self.$name.is_some() && other.$name.is_some() && self.$name != other.$name {
                        names.push(stringify!($name));
                    }
                )*
                if self.ttl_of && self.ttl.is_none() && other.ttl.is_some() {
                    names.push("ttl");
                }
                names
            }

            /// Resolves the options left open to their defaults.
            pub(crate) fn resolve(&self, is_remote: bool) -> Resolved {
                Resolved {
                    $($name: resolve(self.$name, is_remote, $resolve),)*
                    max_ttl: None,
                    ttl_of: self.ttl_of,
                }
            }
        }

        /// Every option, in the order of the table.
        pub(crate) const TABLE: &[OptionRow] = &[$(
            OptionRow {
                name: stringify!($name),
                #[cfg(test)]
                in_attribute: is_set_by!(attribute [$attribute]),
                aliases: &[$($alias),*],
                is_inherited: is_inherited!([$backend]),
                is_set: |options| options.$name.is_some(),
                shown: |resolved| shown!($kind resolved.$name),
            },
        )*];
    };
}

#[cfg(test)]
macro_rules! is_set_by {
    (attribute [attribute]) => {
        true
    };
    ($place:ident [-]) => {
        false
    };
}

macro_rules! is_inherited {
    ([backend]) => {
        true
    };
    ([-]) => {
        false
    };
}

/// Writes an effective value as a profile would.
macro_rules! shown {
    (time $value:expr) => {
        Option::<Ttl>::from($value).unwrap_or(Ttl::Off).to_string()
    };
    (fraction $value:expr) => {
        $value.to_string()
    };
    (name $value:expr) => {
        $value.unwrap_or(AUTO).to_owned()
    };
    (mode $value:expr) => {
        if $value { "local" } else { "off" }.to_owned()
    };
    (length $value:expr) => {
        compact($value)
    };
    (bound $value:expr) => {
        compact($value)
    };
    (idle $value:expr) => {
        $value.map_or_else(|| Ttl::Never.to_string(), compact)
    };
    (flag $value:expr) => {
        $value.to_string()
    };
    (count $value:expr) => {
        $value.map_or_else(|| "unlimited".to_owned(), |most| most.to_string())
    };
}

with_options!(define_options);

/// One option, without the type of its value.
#[derive(Debug)]
pub(crate) struct OptionRow {
    /// Name, as in a profile.
    pub(crate) name: &'static str,
    aliases: &'static [&'static str],
    #[cfg(test)]
    in_attribute: bool,
    is_inherited: bool,
    /// Returns true if a layer sets it.
    pub(crate) is_set: fn(&Options) -> bool,
    /// Writes the effective value as a profile would.
    pub(crate) shown: fn(&Resolved) -> String,
}

/// Returns true if functions inherit a field of a backend's section.
pub(crate) fn is_inherited(field: &str) -> bool {
    TABLE.iter().any(|row| row.is_inherited && (row.name == field || row.aliases.contains(&field)))
}

/// Computes an effective value from all layers together, and from whether the backend keeps bytes.
fn resolve<T, R>(set: Option<T>, is_remote: bool, how: impl FnOnce(Option<T>, bool) -> R) -> R {
    how(set, is_remote)
}

fn length_of(ttl: Ttl) -> Option<Duration> {
    match ttl {
        Ttl::For(length) => Some(length),
        Ttl::Never | Ttl::Off => None,
    }
}

impl From<Settings> for Options {
    fn from(settings: Settings) -> Options {
        let serializer = settings.serializer.as_deref().map(intern);
        let max_idle = settings.idle.map(Ttl::For);
        Options { ttl: settings.ttl, jitter: settings.jitter, max_idle, serializer, ..Options::NONE }
    }
}

/// Number of entries that takes a bound of a lower layer away.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// Message for a bound that would store nothing.
pub(crate) const NO_ENTRIES: &str = "expected at least 1, got 0";

/// Message for an idle time that would store nothing.
pub(crate) const NO_IDLE_TIME: &str = "`off` is not an idle time: expected \"10m\" or \"never\"";

/// Name that leaves the serializer to the value's type.
pub(crate) const AUTO: &str = "auto";

/// Returns the one leaked copy of a name, so that options stay `Copy`. The names of serializers are few.
pub(crate) fn intern(name: &str) -> &'static str {
    static NAMES: PerProcess<Mutex<BTreeSet<&'static str>>> = PerProcess::new(Mutex::default);
    let mut names = NAMES.get().lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.into());
    names.insert(leaked);
    leaked
}

/// Returns the serializer that a text such as `"json"` or `"json+zstd"` names.
///
/// # Errors
///
/// [`ErrorKind::Config`] for an empty part, and for a compression or an encryption behind the serializer.
pub(crate) fn serializer_of(codec: &str) -> Result<&'static str> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Config, format!("codec `{codec}`: {why}")));
    let mut parts = codec.split('+').map(str::trim);
    let serializer = parts.next().unwrap_or_default();
    if serializer.is_empty() || parts.clone().any(str::is_empty) {
        return refuse("expected the name of a serializer, such as \"json\"".into());
    }
    match parts.next() {
        Some(other) => refuse(format!(
            "`{other}`, a compression or an encryption, is not supported yet: name the serializer alone, as in \
             \"{serializer}\""
        )),
        None => Ok(intern(serializer)),
    }
}

/// Options of one call, with precedence over those of its cache.
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::CallOptions;
///
/// let short = CallOptions::new().ttl("1s").tags(["x"]);
/// # let _ = short;
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct CallOptions {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Vec<String>,
    pub(crate) problem: Option<Error>,
}

macro_rules! setter {
    ([$a:tt $b:tt call $s:tt] time $(#[doc = $doc:literal])* $name:ident $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub fn $name(mut self, ttl: impl IntoTtl) -> CallOptions {
            match ttl.into_ttl() {
                Ok(ttl) => self.$name = Some(ttl),
                Err(error) => self.problem = Some(error),
            }
            self
        }
    };
    ([$a:tt $b:tt - $s:tt] $($rest:tt)*) => {};
}

impl CallOptions {
    /// Makes options that set nothing.
    pub fn new() -> CallOptions {
        CallOptions::default()
    }

    with_options!(setters);

    /// Adds tags to those of the cache; an entry has at most 254.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> CallOptions {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    pub(crate) fn check(self) -> Result<CallOptions> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attribute is expanded by the macro crate, which cannot ask this one.
    #[test]
    fn the_attribute_takes_what_the_table_says() {
        let attribute = include_str!("../../macros/src/attr.rs");
        let names = attribute.split_once("known: &[").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
        for row in TABLE {
            assert_eq!(names.contains(&format!("\"{}\"", row.name)), row.in_attribute, "{}", row.name);
        }
    }

    #[test]
    fn a_name_is_kept_once() {
        let (one, other) = (intern("json"), intern(&String::from("json")));
        assert!(std::ptr::eq(one, other));
    }

    #[test]
    fn a_codec_is_read_part_by_part() {
        assert_eq!(serializer_of("json").unwrap(), "json");
        let text = |codec| serializer_of(codec).unwrap_err().to_string();
        assert!(text("json+zstd").contains("`zstd`, a compression or an encryption, is not supported yet"));
        for broken in ["", "json+", "+zstd", "json++aes-gcm"] {
            assert!(text(broken).contains("expected the name of a serializer"), "{broken}");
        }
    }
}
