use std::fmt;
use std::sync::Arc;

use crate::{BackendConfig, Result, Serializer, SubscriberConfig, Value};

/// Registration of a plugin: its name, its origin and its kind.
///
/// Linked crates submit theirs with [`register_backend!`](crate::register_backend),
/// [`register_serializer!`](crate::register_serializer) or [`register_subscriber!`](crate::register_subscriber); a
/// builder takes others with `plugin(..)`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Registration {
    /// The plugin's name: `type = "…"` of a backend, `serializer = "…"`, the section of a subscriber.
    pub name: &'static str,
    /// The crate it comes from, for messages about two plugins of one name.
    pub origin: &'static str,
    /// Kind of the plugin, with its constructor.
    pub part: Part,
    /// The URLs that name a backend of this type.
    pub urls: &'static [UrlScheme],
    /// Second prefix of a subscriber's environment variables, behind `RETAINIT_`: `LOG`.
    pub variables: Option<&'static str>,
    /// Set if a backend of this type serves programs that configure none.
    pub is_used_unconfigured: bool,
}

/// Fields of a configuration that a URL sets, with their values.
pub type UrlFields = Vec<(&'static str, Value)>;

/// URLs of one scheme, as a name for a backend.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct UrlScheme {
    /// Text in front of `://`.
    pub scheme: &'static str,
    /// Such a URL, for messages.
    pub example: &'static str,
    /// Parses a URL to the configuration fields it sets. Its errors do not repeat the URL, which may hold a password.
    pub fields: fn(&str) -> Result<UrlFields>,
}

impl UrlScheme {
    /// Makes a scheme of URLs that begin with `scheme` and `://`.
    pub const fn new(scheme: &'static str, example: &'static str, fields: fn(&str) -> Result<UrlFields>) -> UrlScheme {
        UrlScheme { scheme, example, fields }
    }
}

/// Kind of a plugin, with the constructor that leaves every field at its default.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Part {
    /// A store.
    Backend(fn() -> Box<dyn BackendConfig>),
    /// Values as bytes.
    Serializer(fn() -> Arc<dyn Serializer>),
    /// A subscriber to events.
    Subscriber(fn() -> Box<dyn SubscriberConfig>),
}

impl Part {
    /// Returns the kind of the plugin: `backend`, `serializer` or `subscriber`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Part::Backend(_) => "backend",
            Part::Serializer(_) => "serializer",
            Part::Subscriber(_) => "subscriber",
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Registration {
    /// Registers a plugin called `name`, from the crate `origin`.
    pub const fn new(name: &'static str, origin: &'static str, part: Part) -> Registration {
        Registration { name, origin, part, urls: &[], variables: None, is_used_unconfigured: false }
    }

    /// Sets the URLs that name a backend of this type.
    #[must_use]
    pub const fn urls(mut self, urls: &'static [UrlScheme]) -> Registration {
        self.urls = urls;
        self
    }

    /// Sets a second prefix of this subscriber's environment variables, behind `RETAINIT_`.
    #[must_use]
    pub const fn variables(mut self, variables: &'static str) -> Registration {
        self.variables = Some(variables);
        self
    }

    /// Lets a backend of this type serve programs that configure none. A program has one such type.
    #[must_use]
    pub const fn used_unconfigured(mut self) -> Registration {
        self.is_used_unconfigured = true;
        self
    }
}

inventory::collect!(Registration);

/// A plugin that could be linked: messages offer it where a configuration names one that is not.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Offer {
    /// Kind of the plugin: `backend`, `serializer` or `subscriber`.
    pub kind: &'static str,
    /// Name of the plugin.
    pub name: &'static str,
    /// Instruction for linking it.
    pub remedy: &'static str,
    /// The schemes of URLs that name such a backend.
    pub schemes: &'static [&'static str],
    /// Second prefix of such a subscriber's environment variables, behind `RETAINIT_`.
    pub variables: Option<&'static str>,
}

impl Offer {
    /// Offers the plugin `name` of a kind, with the instruction for linking it.
    pub const fn new(kind: &'static str, name: &'static str, remedy: &'static str) -> Offer {
        Offer { kind, name, remedy, schemes: &[], variables: None }
    }

    /// Sets the schemes of URLs that name such a backend.
    #[must_use]
    pub const fn schemes(mut self, schemes: &'static [&'static str]) -> Offer {
        self.schemes = schemes;
        self
    }

    /// Sets a second prefix of such a subscriber's environment variables, behind `RETAINIT_`.
    #[must_use]
    pub const fn variables(mut self, variables: &'static str) -> Offer {
        self.variables = Some(variables);
        self
    }
}

inventory::collect!(Offer);

/// Returns the plugins that are offered to this program, linked or not.
pub fn offered_plugins() -> impl Iterator<Item = &'static Offer> {
    inventory::iter::<Offer>()
}

/// Returns the plugins linked into this program.
///
/// A crate that nothing in the program names is not linked, so its registration is not here either; the facade names
/// the crates its features turn on.
pub fn linked_plugins() -> impl Iterator<Item = &'static Registration> {
    inventory::iter::<Registration>()
}

/// Submits an [`Offer`].
#[macro_export]
macro_rules! offer {
    ($offer:expr) => {
        $crate::__private::inventory::submit! { $offer }
    };
}

/// Makes a backend's configuration type known under its name, in one line. Methods of [`Registration`] may follow.
///
/// ```ignore
/// retainit_plugin::register_backend!("shelf", ShelfConfig);
/// retainit_plugin::register_backend!("shelf", ShelfConfig, urls(&[SHELF_URLS]));
/// ```
#[macro_export]
macro_rules! register_backend {
    ($name:literal, $config:ty $(, $more:ident($($argument:expr),*))*) => {
        $crate::__submit_plugin!(
            $name, Backend(|| ::std::boxed::Box::new(<$config>::default())) $(, $more($($argument),*))*
        );
    };
}

/// Makes a serializer known under its name, in one line; its type implements `Default`.
///
/// ```ignore
/// retainit_plugin::register_serializer!("json", Json);
/// ```
#[macro_export]
macro_rules! register_serializer {
    ($name:literal, $serializer:ty) => {
        $crate::__submit_plugin!($name, Serializer(|| ::std::sync::Arc::new(<$serializer>::default())));
    };
}

/// Makes a subscriber's configuration type known under the name of its section, in one line. Methods of
/// [`Registration`] may follow.
///
/// ```ignore
/// retainit_plugin::register_subscriber!("audit", AuditConfig);
/// ```
#[macro_export]
macro_rules! register_subscriber {
    ($name:literal, $config:ty $(, $more:ident($($argument:expr),*))*) => {
        $crate::__submit_plugin!(
            $name, Subscriber(|| ::std::boxed::Box::new(<$config>::default())) $(, $more($($argument),*))*
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __submit_plugin {
    ($name:literal, $part:ident($make:expr) $(, $more:ident($($argument:expr),*))*) => {
        $crate::__private::inventory::submit! {
            $crate::Registration::new($name, ::core::env!("CARGO_PKG_NAME"), $crate::Part::$part($make))
                $(.$more($($argument),*))*
        }
    };
}
