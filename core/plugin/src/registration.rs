use crate::Field;

/// What a linked plugin says of itself. [`register_backend!`](crate::register_backend) submits one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registration {
    /// The plugin's name: `type = "…"` in a profile.
    pub name: &'static str,
    /// The crate it comes from, for messages about two plugins of one name.
    pub origin: &'static str,
    /// The fields of its configuration.
    pub fields: fn() -> &'static [Field],
    /// A backend with every field at its default.
    pub default: fn() -> Box<dyn crate::BackendConfig>,
}

impl Registration {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        origin: &'static str,
        fields: fn() -> &'static [Field],
        default: fn() -> Box<dyn crate::BackendConfig>,
    ) -> Registration {
        Registration { name, origin, fields, default }
    }
}

inventory::collect!(Registration);

/// The backends linked into this program, by name.
///
/// A crate that nothing in the program names is not linked, so its registration is not here either; the facade names
/// the crates its features turn on.
pub fn linked_backends() -> impl Iterator<Item = &'static Registration> {
    inventory::iter::<Registration>()
}

/// Makes a backend's configuration type known under its name, in one line.
///
/// ```ignore
/// retainit_plugin::register_backend!("memory", MemoryConfig);
/// ```
#[macro_export]
macro_rules! register_backend {
    ($name:literal, $config:ty) => {
        $crate::__private::inventory::submit! {
            $crate::Registration::new(
                $name,
                env!("CARGO_PKG_NAME"),
                || <$config as $crate::BackendConfig>::fields(),
                || ::std::boxed::Box::new(<$config as ::core::default::Default>::default()),
            )
        }
    };
}
