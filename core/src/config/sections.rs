//! The sections that belong to the engine; those of plugins are declared by the plugins.

use std::time::Duration;

use retainit_plugin::{ByteSize, Fraction, Problem, Secret, Ttl, choice, config};

use crate::options::{Options, serializer_of};

config! {
    /// `[retainit]`: what holds for a whole instance.
    pub struct Main {
        /// The backend of functions and caches that name none. Without it: the one called `default`, else the only one.
        default_backend: String = "";

        /// The name that keeps this program's entries apart from others' in shared stores.
        namespace: String = "default", alias "keyspace", alias "prefix", alias "key_prefix";

        /// The secret that keys of `hash_key` and `pii` functions are hashed with.
        ///
        /// `"random"` draws one per process, so that hashed keys of one process mean nothing in another; backends that
        /// keep bytes refuse such functions then.
        secret: Secret = "random";

        /// The longest a call waits for any one operation of a backend that keeps bytes.
        op_timeout: Duration = "250ms";

        /// The largest value, serialized, that is stored in or read from a backend that keeps bytes.
        max_value: ByteSize = "64MiB";

        /// The longest that reading a stored value back may take; then it is a miss.
        decode_timeout: Duration = "1s";

        /// Whether environment variables stand above the files instead of below them.
        env_first: bool = "false";
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

impl Main {
    pub(crate) fn default_backend_name(&self) -> Option<&str> {
        self.default_backend.get().map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(crate) fn namespace_name(&self) -> String {
        self.namespace.get().cloned().unwrap_or_default()
    }

    pub(crate) fn env_is_first(&self) -> Option<bool> {
        self.env_first.get().copied()
    }

    /// The secret, unless it is to be drawn.
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

/// Who may load one missing key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleFlight {
    /// One loader in this process.
    Local,
    /// Every caller.
    Off,
}

choice!(SingleFlight { "local" => Local, "off" => Off });

config! {
    /// `[retainit.functions."id"]`, below the attribute, and `[retainit.override.functions."id"]`, above it.
    pub struct FunctionSection {
        /// How long results are fresh.
        ttl: Ttl = "never";

        /// How long a `None` is fresh; `"off"` does not store it.
        none_ttl: Ttl = "off";

        /// How long an error is fresh, for functions whose results can be cloned; `"off"` does not store it.
        err_ttl: Ttl = "off";

        /// The largest fraction by which a ttl is shortened. Backends that keep bytes have 0.1 where nobody says.
        jitter: Fraction = "0.0";

        /// The backend by its name. Without it: the default backend.
        backend: String = "";

        /// The serializer by its name, for backends that keep bytes; `"auto"` is MessagePack, and text and bytes as
        /// they are.
        serializer: String = "auto", alias "codec";

        /// Who may load one missing key at a time: `"local"` one caller in this process, `"off"` every caller.
        single_flight: SingleFlight = "local";

        /// How long a load keeps others waiting before one of them may lead.
        max_load_time: Duration = "60s";

        /// On this fraction of hits the function also runs and its result is compared with the stored one.
        verify: Fraction = "0.0";

        /// Whether calls run as if there were no cache.
        disabled: bool = "false";
    }
}

impl FunctionSection {
    pub(crate) fn backend_name(&self) -> Option<&str> {
        self.backend.get().map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            ttl: self.ttl.get().copied(),
            none_ttl: self.none_ttl.get().copied(),
            err_ttl: self.err_ttl.get().copied(),
            jitter: self.jitter.get().map(|jitter| jitter.0),
            max_load_time: self.max_load_time.get().copied(),
            single_flight: self.single_flight.get().map(|mode| *mode == SingleFlight::Local),
            idle: None,
            serializer: self.serializer.get().and_then(|name| serializer_of(name).ok()),
            verify: self.verify.get().map(|verify| verify.0),
            disabled: self.disabled.get().copied(),
        }
    }
}

/// What a function may be told in files by a later version, so that it is no typing error.
pub(super) const NOT_YET: [&str; 13] = [
    "stale",
    "grace",
    "refresh",
    "eager",
    "xfetch",
    "compression",
    "encryption",
    "soft_timeout",
    "hard_timeout",
    "max_staleness",
    "retry",
    "rate_limit",
    "timeout",
];

/// How keys appear in events.
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
        /// How keys appear in events: `"hashed"` with the secret, or `"plain"`.
        keys: EventKeys = "hashed";
    }
}

impl EventsSection {
    pub(crate) fn keys_are_plain(&self) -> bool {
        self.keys.get() == Some(&EventKeys::Plain)
    }
}
