use std::fmt;
use std::sync::Arc;

use crate::{BackendConfig, Serializer, SubscriberConfig};

/// What a plugin says of itself: its name, where it comes from, and what it is.
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
    /// What it is.
    pub part: Part,
}

/// What a plugin is, and how to make one with every field at its default.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Part {
    /// A store.
    Backend(fn() -> Box<dyn BackendConfig>),
    /// Values as bytes.
    Serializer(fn() -> Arc<dyn Serializer>),
    /// An ear for events.
    Subscriber(fn() -> Box<dyn SubscriberConfig>),
}

impl Part {
    /// `backend`, `serializer` or `subscriber`.
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
    /// A plugin called `name`, from the crate `origin`.
    pub const fn new(name: &'static str, origin: &'static str, part: Part) -> Registration {
        Registration { name, origin, part }
    }
}

inventory::collect!(Registration);

/// The plugins linked into this program.
///
/// A crate that nothing in the program names is not linked, so its registration is not here either; the facade names
/// the crates its features turn on.
pub fn linked_plugins() -> impl Iterator<Item = &'static Registration> {
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
        $crate::__submit_plugin!($name, Backend(|| ::std::boxed::Box::new(<$config>::default())));
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

/// Makes a subscriber's configuration type known under the name of its section, in one line.
///
/// ```ignore
/// retainit_plugin::register_subscriber!("audit", AuditConfig);
/// ```
#[macro_export]
macro_rules! register_subscriber {
    ($name:literal, $config:ty) => {
        $crate::__submit_plugin!($name, Subscriber(|| ::std::boxed::Box::new(<$config>::default())));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __submit_plugin {
    ($name:literal, $part:ident($make:expr)) => {
        $crate::__private::inventory::submit! {
            $crate::Registration::new($name, ::core::env!("CARGO_PKG_NAME"), $crate::Part::$part($make))
        }
    };
}
