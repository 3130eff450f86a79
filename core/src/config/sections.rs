//! Sections of the engine; plugins declare their own.

use std::time::Duration;

use retainit_plugin::{ByteSize, Count, Fraction, Limit, Problem, Secret, Ttl, choice, config};

use crate::options::{NO_ENTRIES, NO_IDLE_TIME, Options, UNLIMITED, serializer_of, with_options};

config! {
    /// `[retainit]`: what holds for a whole instance.
    pub struct Main {
        /// The backend of functions and caches that name none. Without it: the one called `default`, else the only one.
        default_backend: String, example "default";

        /// The name that keeps this program's entries apart from others' in shared stores.
        namespace: String = "default", alias "keyspace", alias "prefix", alias "key_prefix";

        /// The secret that keys of `hash_key` and `pii` functions are hashed with.
        ///
        /// `"random"` draws one per process, so that hashed keys of one process mean nothing in another; backends that
        /// keep bytes refuse such functions then.
        secret: Secret = "random";

        /// Strictness with which backends are checked: with `"production"` one that could be overheard on the way to its server is
        /// refused, unless it says that it is meant to be so (`allow_plaintext`).
        security: Security = "standard";

        /// The longest a call waits for any one operation of a backend that keeps bytes.
        op_timeout: Duration = "250ms";

        /// The largest value, serialized, that is stored in or read from a backend that keeps bytes.
        max_value: ByteSize = "64MiB";

        /// The longest that reading a stored value back may take; then it is a miss.
        decode_timeout: Duration = "1s";

        /// Gives environment variables precedence over files.
        env_first: bool = false;
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if self.namespace.get().is_some_and(String::is_empty) {
            problems.push(Problem::new("namespace", "expected a name, got an empty text"));
        }
        if self.secret.get().is_some_and(|secret| secret.expose().is_empty()) {
            problems.push(Problem::new("secret", "it is empty: everybody could hash the same keys"));
        }
        if self.op_timeout.get().is_some_and(Duration::is_zero) {
            problems.push(Problem::new("op_timeout", "it is zero: no operation could ever answer"));
        }
    }
}

/// Strictness with which backends are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Security {
    /// Accepts everything that works, as a machine of development needs it.
    #[default]
    Standard,
    /// Refuses what would be unsafe where a program serves, unless the configuration says that it is meant.
    Production,
}

choice!(Security { "standard" => Standard, "production" => Production });

impl Main {
    pub(crate) fn is_production(&self) -> bool {
        self.security.get() == Some(&Security::Production)
    }

    pub(crate) fn default_backend_name(&self) -> Option<&str> {
        self.default_backend.get().map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(crate) fn namespace_name(&self) -> String {
        self.namespace.get().cloned().unwrap_or_default()
    }

    pub(crate) fn env_is_first(&self) -> Option<bool> {
        self.env_first.get().copied()
    }

    /// Returns the secret, unless it is to be drawn.
    pub(crate) fn secret_text(&self) -> Option<&str> {
        self.secret.get().map(Secret::expose).filter(|text| *text != "random")
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        self.op_timeout.get().copied().unwrap_or_default()
    }

    pub(crate) fn value_limit(&self) -> u64 {
        self.max_value.get().map_or(u64::MAX, |size| size.0)
    }

    pub(crate) fn decode_limit(&self) -> Duration {
        self.decode_timeout.get().copied().unwrap_or_default()
    }
}

/// Callers that may load one missing key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleFlight {
    /// One loader in this process.
    Local,
    /// Every caller.
    Off,
}

choice!(SingleFlight { "local" => Local, "off" => Off });

macro_rules! function_section {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($kind:ident): $type:ty = $default:literal $(, alias $alias:literal)*;
            [$attribute:tt] [$builder:tt] [$call:tt] [$scope:tt] [$backend:tt];
            $held:ty: $resolve:expr;
    )*) => {
        config! {
            /// `[retainit.functions."id"]`, below the attribute, and `[retainit.override.functions."id"]`, above it.
            pub struct FunctionSection {
                $($(#[doc = $doc])* $name: field!($kind) = $default $(, alias $alias)*;)*

                /// The backend by its name. Without it: the default backend.
                backend: String, example "default";
            }
            fn problems(&self, problems: &mut Vec<Problem>) {
                if self.max_idle.get() == Some(&Ttl::Off) {
                    problems.push(Problem::new("max_idle", NO_IDLE_TIME));
                }
                if self.max_entries.get() == Some(&Limit(Some(Count(0)))) {
                    problems.push(Problem::new("max_entries", NO_ENTRIES));
                }
            }
        }

        impl FunctionSection {
            pub(crate) fn options(&self) -> Options {
                Options { $($name: self.$name.get().and_then(ToOption::to_option),)* ttl_of: false }
            }
        }
    };
}

/// Type by which an option of each kind is read from a file.
macro_rules! field {
    (time) => {
        Ttl
    };
    (idle) => {
        Ttl
    };
    (length) => {
        Duration
    };
    (bound) => {
        Duration
    };
    (fraction) => {
        Fraction
    };
    (mode) => {
        SingleFlight
    };
    (name) => {
        String
    };
    (flag) => {
        bool
    };
    (count) => {
        Limit<Count>
    };
}

with_options!(function_section);

/// Conversion of a field of a file to the option it sets.
trait ToOption<T> {
    fn to_option(&self) -> Option<T>;
}

impl<T: Copy> ToOption<T> for T {
    fn to_option(&self) -> Option<T> {
        Some(*self)
    }
}

impl ToOption<f64> for Fraction {
    fn to_option(&self) -> Option<f64> {
        Some(self.0)
    }
}

impl ToOption<u64> for Limit<Count> {
    fn to_option(&self) -> Option<u64> {
        Some(self.0.map_or(UNLIMITED, |count| count.0))
    }
}

impl ToOption<bool> for SingleFlight {
    fn to_option(&self) -> Option<bool> {
        Some(*self == SingleFlight::Local)
    }
}

impl ToOption<&'static str> for String {
    fn to_option(&self) -> Option<&'static str> {
        serializer_of(self).ok()
    }
}

impl FunctionSection {
    pub(crate) fn backend_name(&self) -> Option<&str> {
        self.backend.get().map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// Options of functions that later versions may have, so that they are not reported as typing errors.
pub(super) const NOT_YET: [&str; 12] = [
    "stale",
    "grace",
    "refresh",
    "eager",
    "xfetch",
    "compression",
    "encryption",
    "soft_timeout",
    "hard_timeout",
    "retry",
    "rate_limit",
    "timeout",
];

/// Form of keys in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKeys {
    /// As a keyed hash.
    Hashed,
    /// As they are, except those of `pii` functions.
    Plain,
}

choice!(EventKeys { "hashed" => Hashed, "plain" => Plain });

config! {
    /// `[retainit.events]`.
    pub struct EventsSection {
        /// Form of keys in events: `"hashed"` with the secret, or `"plain"`.
        keys: EventKeys = "hashed";
    }
}

impl EventsSection {
    pub(crate) fn keys_are_plain(&self) -> bool {
        self.keys.get() == Some(&EventKeys::Plain)
    }
}
