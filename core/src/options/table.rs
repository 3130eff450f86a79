//! Table of the options of a function or cache, one row each.

/// Calls a macro with the table of options.
///
/// A row is the documentation, the name, its kind, the type of a value, the default as a profile writes it, other names
/// in files, the places besides files where it may be set, and the effective value computed from all layers. The kind
/// determines how it is written in files and code, and shown:
///
/// | kind | in files | in code | held as |
/// |---|---|---|---|
/// | `time` | a ttl | `impl IntoTtl` | `Ttl` |
/// | `idle` | a ttl that is not `off` | `impl IntoTtl` | `Ttl` |
/// | `length` | a length of time | `impl IntoTtl` | `Duration` |
/// | `bound` | a length of time, also none | `Duration` | `Duration` |
/// | `count` | a whole number from 1, or `"unlimited"` | `u64` | `u64` |
/// | `fraction` | a number from 0 to 1 | `f64` | `f64` |
/// | `mode` | `"local"` or `"off"` | `impl AsRef<str>` | `bool` |
/// | `name` | text | by hand | `&'static str` |
/// | `flag` | a bool | `bool` | `bool` |
///
/// The places, each by name or `-`: `attribute` is a method of the descriptor, to which the attribute's argument expands;
/// `builder` one of a cache's builder (`by_hand` where it does more than set a value); `call` of `CallOptions`;
/// `scope` of `Overrides`; `backend` is inherited from the backend's section.
///
/// A new option is a row here, the code that uses the effective value (`Resolved`), and, for the attribute, its
/// argument in the macro crate, whose list a test compares with this one.
macro_rules! with_options {
    ($consume:ident) => {
        $consume! {
            /// Time for which results are fresh.
            ttl(time): Ttl = "never"; [attribute] [builder] [call] [scope] [backend];
                Ttl: |set, _| set.unwrap_or(Ttl::Never);

            /// Time for which a `None` is fresh; `"off"` does not store it.
            none_ttl(time): Ttl = "off"; [attribute] [builder] [-] [scope] [-];
                Option<Ttl>: |set, _| set;

            /// Time for which an error is fresh, for functions whose results can be cloned; `"off"` does not store it.
            err_ttl(time): Ttl = "off"; [attribute] [-] [-] [scope] [-];
                Option<Ttl>: |set, _| set;

            /// Largest fraction by which a ttl is shortened. Backends that keep bytes default to 0.1.
            jitter(fraction): f64 = 0.0; [attribute] [builder] [-] [scope] [backend];
                f64: |set, is_remote| set.unwrap_or(if is_remote { 0.1 } else { 0.0 });

            /// The serializer by its name, for backends that keep bytes; `"auto"` is MessagePack, and text and bytes as
            /// they are.
            serializer(name): &'static str = "auto", alias "codec"; [attribute] [by_hand] [-] [-] [backend];
                Option<&'static str>: |set, _| set.filter(|name| *name != AUTO);

            /// Callers that may load one missing key at a time: `"local"` one caller in this process, `"off"` every
            /// caller.
            single_flight(mode): bool = "local"; [attribute] [builder] [-] [-] [-];
                bool: |set, _| set.unwrap_or(true);

            /// Time for which a load keeps others waiting before one of them may lead.
            max_load_time(length): Duration = "60s"; [attribute] [builder] [-] [-] [-];
                Duration: |set, _| set.unwrap_or(Duration::from_secs(60));

            /// Longest time for which entries may still be served that another process has invalidated, on a backend behind
            /// a network; `"0s"` asks with every read.
            max_staleness(bound): Duration = "1s"; [attribute] [builder] [-] [-] [-];
                Duration: |set, _| set.unwrap_or(Duration::from_secs(1));

            /// After how long without a read a result expires. Backends that keep values in memory know it.
            max_idle(idle): Ttl = "never"; [attribute] [builder] [-] [scope] [backend];
                Option<Duration>: |set, _| set.and_then(length_of);

            /// The most entries of the function, which leave when it has more. Backends in memory bound single functions;
            /// others refuse a function that sets it.
            max_entries(count): u64 = "unlimited"; [attribute] [builder] [-] [-] [-];
                Option<u64>: |set, _| set.filter(|most| *most != UNLIMITED);

            /// On this fraction of hits the function also runs and its result is compared with the stored one.
            verify(fraction): f64 = 0.0; [attribute] [by_hand] [-] [-] [-];
                f64: |set, _| set.unwrap_or(0.0);

            /// Runs calls as if there were no cache.
            disabled(flag): bool = false; [-] [-] [-] [scope] [-];
                bool: |set, _| set.unwrap_or(false);
        }
    };
}

/// Writes a setter for each row of the table, as the macro `setter` of the using file says: it is given the places
/// (attribute, builder, call, scope) and the row.
macro_rules! setters {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($kind:ident): $type:ty = $default:literal $(, alias $alias:literal)*;
            [$attribute:tt] [$builder:tt] [$call:tt] [$scope:tt] [$backend:tt];
            $held:ty: $resolve:expr;
    )*) => {$(
        setter! { [$attribute $builder $call $scope] $kind $(#[doc = $doc])* $name: $type = $default }
    )*};
}

pub(crate) use {setters, with_options};
