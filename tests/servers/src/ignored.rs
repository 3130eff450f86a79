/// Makes tests of functions that need servers: `redis`, `valkey`, `toxiproxy`, or several of them.
///
/// The tests are in a module named like the first server, and are ignored, with what to do, where one is missing.
///
/// ```
/// fn a_value_comes_back() {}
///
/// retainit_servers::needs!(redis: a_value_comes_back);
/// ```
#[macro_export]
macro_rules! needs {
    (redis: $($test:ident),* $(,)?) => { $crate::__needs_redis!(redis: $($test),*); };
    (valkey: $($test:ident),* $(,)?) => { $crate::__needs_valkey!(valkey: $($test),*); };
    (toxiproxy: $($test:ident),* $(,)?) => { $crate::__needs_toxiproxy!(toxiproxy: $($test),*); };
}

macro_rules! needs_one {
    ($dollar:tt $($macro:ident $cfg:ident $programs:literal;)*) => {$(
        #[cfg($cfg)]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $macro {
            ($dollar module:ident: $dollar($dollar test:ident),*) => {
                mod $dollar module {
                    $dollar(
                        #[test]
                        fn $dollar test() {
                            super::$dollar test();
                        }
                    )*
                }
            };
        }

        #[cfg(not($cfg))]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $macro {
            ($dollar module:ident: $dollar($dollar test:ident),*) => {
                mod $dollar module {
                    $dollar(
                        #[test]
                        #[ignore = concat!("there is no ", $programs, ": run scripts/servers")]
                        fn $dollar test() {
                            super::$dollar test();
                        }
                    )*
                }
            };
        }
    )*};
}

needs_one! { $
    __needs_redis has_redis "redis-server";
    __needs_valkey has_valkey "valkey-server";
    __needs_toxiproxy has_toxiproxy "toxiproxy-server or redis-server";
}
