/// Declares a configuration: a struct with a setter per field, and everything profiles, environment variables, messages
/// and the reference page use of it, written once.
///
/// A field is its documentation, name, type and default, as a profile in TOML would write it; one without a default has
/// an `example` instead. Behind it are other names that are accepted. The type is a [`FieldValue`](crate::FieldValue);
/// the setter takes everything that is [`IntoField`](crate::IntoField) of it and never fails: what cannot be used is
/// among the [`problems`](crate::Section::problems). `fn problems` at the end finds fields that do not go together.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{Count, Problem, Section, Ttl, config};
///
/// config! {
///     /// The configuration of a shelf.
///     pub struct ShelfConfig {
///         /// Number of entries it holds, at least 1.
///         max_entries: Count = 1_000, alias "max_size";
///         /// Time for which results are fresh.
///         ttl: Ttl = "never";
///         /// Text that is written on it.
///         label: String, example "novels";
///     }
///     fn problems(&self, problems: &mut Vec<Problem>) {
///         if self.max_entries.get() == Some(&Count(0)) {
///             problems.push(Problem::new("max_entries", "expected at least 1, got 0"));
///         }
///     }
/// }
///
/// let shelf = ShelfConfig::new().max_entries(0).ttl("5q");
/// assert_eq!(shelf.problems().len(), 2);
/// ```
///
/// A field that ends in `=> by_hand` gets no setter: its own takes something else. `new` takes the field without which the
/// configuration is seldom of use, where `new(field: Type)` stands behind the name of the struct.
#[macro_export]
macro_rules! config {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(new($first:ident: $first_type:ty))? {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty $(= $default:literal)? $(, example $example:literal)? $(, alias $alias:literal)*
                $(=> $by:ident)?;
            )*
        }
        fn problems(&$this:ident, $problems:ident: &mut Vec<Problem>) $check:block
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($field: $crate::FieldState<$type>,)*
        }

        impl $name {
            $crate::__config_new! { $name [$($first: $first_type)?] }

            $($crate::__config_setter! { [$($by)?] $(#[doc = $doc])* $field: $type $(= $default)? })*

            fn check(&$this, $problems: &mut ::std::vec::Vec<$crate::Problem>) $check
        }

        impl $crate::Complete for $name {
            fn complete(&self) -> $name {
                let mut all = self.clone();
                $($(all.$field.or_default(&$crate::Value::from($default));)?)*
                all
            }
        }

        impl $crate::Section for $name {
            fn fields(&self) -> &'static [$crate::Field] {
                const {
                    &[$(
                        $crate::Field::new(::core::stringify!($field))
                            .aliases(&[$($alias),*])
                            .secret(<$type as $crate::FieldValue>::SECRET)
                            .deferred(<$type as $crate::FieldValue>::DEFERRED)
                            $(.default($crate::__literal!($default)))?
                            $(.example($crate::__literal!($example)))?
                            .describe(
                                <$type as $crate::FieldValue>::EXPECTED,
                                ::core::concat!($($doc, "\n"),*),
                            ),
                    )*]
                }
            }

            fn set(
                &mut self,
                field: &str,
                value: &$crate::Value,
            ) -> ::core::result::Result<(), ::std::string::String> {
                match field {
                    $(::core::stringify!($field) => self.$field.read(value),)*
                    _ => ::core::result::Result::Err(::std::format!("there is no field `{field}`")),
                }
            }

            fn shown(&self, field: &str) -> ::core::option::Option<::std::string::String> {
                match field {
                    $(::core::stringify!($field) => self.$field.shown(),)*
                    _ => ::core::option::Option::None,
                }
            }

            fn problems(&self) -> ::std::vec::Vec<$crate::Problem> {
                let mut problems = ::std::vec::Vec::new();
                $(
                    if let ::core::option::Option::Some(problem) = self.$field.problem() {
                        problems.push($crate::Problem::new(::core::stringify!($field), problem));
                    }
                )*
                self.check(&mut problems);
                problems
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(new($first:ident: $first_type:ty))? { $($fields:tt)* }
    ) => {
        $crate::config! {
            $(#[$meta])*
            pub struct $name $(new($first: $first_type))? { $($fields)* }
            fn problems(&self, _problems: &mut Vec<Problem>) {}
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __config_new {
    ($name:ident []) => {
        /// Makes a configuration with every field at its default.
        pub fn new() -> $name {
            $name::default()
        }
    };
    ($name:ident [$first:ident: $type:ty]) => {
        #[doc = ::core::concat!("Makes a configuration with this `", ::core::stringify!($first), "` and every other field at its default.")]
        pub fn new($first: impl $crate::IntoField<$type>) -> $name {
            $name::default().$first($first)
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __config_setter {
    ([] $(#[doc = $doc:literal])* $field:ident: $type:ty $(= $default:literal)?) => {
        $(#[doc = $doc])*
        $(
            #[doc = ""]
            #[doc = ::core::concat!("Default: `", ::core::stringify!($default), "`.")]
        )?
        #[must_use]
        pub fn $field(mut self, $field: impl $crate::IntoField<$type>) -> Self {
            self.$field.put($field);
            self
        }
    };
    ([by_hand] $($field:tt)*) => {};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __literal {
    ($literal:literal) => {
        $crate::Literal::new(::core::stringify!($literal), || $crate::Value::from($literal))
    };
}
