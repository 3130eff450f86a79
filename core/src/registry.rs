//! The plugins an instance knows: those linked into the program and those its builder was given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use retainit_plugin::{BackendConfig, Part, Registration, Serializer, SubscriberConfig, linked_plugins};

use crate::config::is_own_key;
use crate::engine::Format;
use crate::options::AUTO;
use crate::{Error, ErrorKind};

/// The plugins of an instance, by kind and name.
///
/// A crate is linked only if something in the program names it: the facade does that for the features that are on; a
/// program names its own plugin crates with `use foo as _;` or hands a [`Registration`] to
/// [`Builder::plugin`](crate::Builder::plugin).
#[derive(Clone, Debug, Default)]
pub struct Registry {
    plugins: Arc<BTreeMap<(&'static str, String), Listed>>,
}

/// One plugin, as [`Registry::list`] shows it: kind, name and, in brackets, the crate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// `backend`, `serializer` or `subscriber`.
    pub kind: &'static str,
    /// The name in profiles.
    pub name: String,
    /// The crate it comes from.
    pub origin: String,
    part: Made,
}

/// How the plugin is come by.
#[derive(Clone, Debug)]
enum Made {
    Part(Part),
    Serializer(Arc<dyn Serializer>),
    BuiltIn,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.origin)
    }
}

/// What a builder adds to the linked plugins.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) plugins: Vec<Registration>,
    pub(crate) serializers: Vec<(String, Arc<dyn Serializer>)>,
}

impl Registry {
    /// The linked plugins and those of a builder, with a problem for each name that is claimed twice.
    pub(crate) fn new(extras: Extras, problems: &mut Vec<Error>) -> Registry {
        let mut plugins: BTreeMap<(&'static str, String), Listed> = BTreeMap::new();
        let given = extras.serializers.into_iter().map(|(name, serializer)| Listed {
            kind: "serializer",
            name,
            origin: "registered in code".to_owned(),
            part: Made::Serializer(serializer),
        });
        let listed = linked_plugins().copied().chain(extras.plugins).map(|plugin| Listed {
            kind: plugin.part.kind(),
            name: plugin.name.to_owned(),
            origin: plugin.origin.to_owned(),
            part: Made::Part(plugin.part),
        });
        for plugin in listed.chain(given) {
            let key = (plugin.kind, plugin.name.clone());
            if let Some(why) = refused(&plugin) {
                let Listed { kind, name, origin, .. } = &plugin;
                let text = format!("the {kind} from `{origin}` cannot be called {name:?}: {why}");
                problems.push(Error::new(ErrorKind::Duplicate, text));
                continue;
            }
            match plugins.get(&key) {
                Some(first) => problems.push(Error::new(
                    ErrorKind::Duplicate,
                    format!(
                        "two plugins claim the {} `{}`: one from `{}`, one from `{}`; link or register only one of them",
                        plugin.kind, plugin.name, first.origin, plugin.origin
                    ),
                )),
                None => drop(plugins.insert(key, plugin)),
            }
        }
        Registry { plugins: Arc::new(plugins) }
    }

    /// Every plugin, by kind and name, the engine's own serializers among them.
    pub fn list(&self) -> Vec<Listed> {
        let own = Format::BUILT_IN.map(|name| Listed {
            kind: "serializer",
            name: name.to_owned(),
            origin: env!("CARGO_PKG_NAME").to_owned(),
            part: Made::BuiltIn,
        });
        let mut all: Vec<_> = self.plugins.values().cloned().chain(own).collect();
        all.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        all
    }

    /// The names of one kind.
    pub(crate) fn names(&self, kind: &'static str) -> Vec<String> {
        self.plugins.values().filter(|plugin| plugin.kind == kind).map(|plugin| plugin.name.clone()).collect()
    }

    fn find(&self, kind: &'static str, name: &str) -> Option<&Made> {
        self.plugins.get(&(kind, name.to_owned())).map(|plugin| &plugin.part)
    }

    /// A backend's configuration with every field at its default.
    pub(crate) fn backend(&self, name: &str) -> Option<Box<dyn BackendConfig>> {
        match self.find("backend", name)? {
            Made::Part(Part::Backend(default)) => Some(default()),
            _ => None,
        }
    }

    /// A subscriber's configuration with every field at its default.
    pub(crate) fn subscriber(&self, name: &str) -> Option<Box<dyn SubscriberConfig>> {
        match self.find("subscriber", name)? {
            Made::Part(Part::Subscriber(default)) => Some(default()),
            _ => None,
        }
    }

    /// A serializer by name; those built into the engine are not here.
    pub(crate) fn serializer(&self, name: &str) -> Option<Arc<dyn Serializer>> {
        match self.find("serializer", name)? {
            Made::Part(Part::Serializer(default)) => Some(default()),
            Made::Serializer(serializer) => Some(Arc::clone(serializer)),
            Made::Part(_) | Made::BuiltIn => None,
        }
    }
}

/// Why a plugin cannot have its name.
fn refused(plugin: &Listed) -> Option<&'static str> {
    let name = plugin.name.as_str();
    let is_taken = match plugin.kind {
        "serializer" => Format::BUILT_IN.contains(&name) || [AUTO, PICKLE].contains(&name),
        "subscriber" => is_own_key(name),
        _ => false,
    };
    if is_taken { Some("the name has a meaning of its own; choose another") } else { bad_name(name) }
}

/// Stands for MessagePack.
const PICKLE: &str = "pickle";

/// What is wrong with a name that people write into profiles, variables and attributes.
pub(crate) fn bad_name(name: &str) -> Option<&'static str> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    match name {
        "" => Some("it is empty"),
        _ if name.contains(is_odd) => Some("names have neither blanks nor control characters"),
        _ => None,
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list().iter().try_for_each(|plugin| writeln!(f, "{plugin}"))
    }
}
