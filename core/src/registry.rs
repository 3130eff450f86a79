//! Plugins of an instance: those linked into the program and those its builder was given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Once};

use retainit_plugin::{
    BackendConfig, Error, ErrorKind, Part, Registration, Result, Serializer, SubscriberConfig, UrlScheme,
    linked_plugins, offered_plugins,
};

use crate::options::{AUTO, intern, serializer_of};
use crate::value::Format;

/// Plugins of an instance, by kind and name.
///
/// A crate is linked only if something in the program names it: the facade does that for the features that are on; a
/// program names its own plugin crates with `use foo as _;` or hands a [`Registration`] to
/// [`Builder::plugin`](crate::Builder::plugin).
#[derive(Clone, Debug, Default)]
pub struct Registry {
    plugins: Arc<BTreeMap<(&'static str, String), PluginInfo>>,
}

/// One plugin, as [`Registry::list`] returns it: kind, name and, in brackets, the crate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginInfo {
    /// Kind: `backend`, `serializer` or `subscriber`.
    pub kind: &'static str,
    /// Name in profiles.
    pub name: String,
    /// Crate it comes from.
    pub origin: String,
    part: Made,
}

/// Origin of a plugin's implementation.
#[derive(Clone, Debug)]
enum Made {
    Part(Registration),
    Serializer(Arc<dyn Serializer>),
    BuiltIn,
}

impl PluginInfo {
    fn is_used_unconfigured(&self) -> bool {
        matches!(&self.part, Made::Part(registration) if registration.is_used_unconfigured)
    }
}

impl fmt::Display for PluginInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.origin)
    }
}

/// Plugins that a builder adds to the linked ones.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) plugins: Vec<Registration>,
    pub(crate) serializers: Vec<(String, Arc<dyn Serializer>)>,
}

impl Registry {
    /// Collects the linked plugins and those of a builder. Adds a problem for each name that is claimed twice, and for
    /// each subscriber whose section in a profile would be `reserved` for something else.
    pub(crate) fn new(extras: Extras, is_reserved: fn(&str) -> bool, problems: &mut Vec<Error>) -> Registry {
        let mut plugins: BTreeMap<(&'static str, String), PluginInfo> = BTreeMap::new();
        let given = extras.serializers.into_iter().map(|(name, serializer)| PluginInfo {
            kind: "serializer",
            name,
            origin: "registered in code".to_owned(),
            part: Made::Serializer(serializer),
        });
        let listed = linked_plugins().copied().chain(extras.plugins).map(|plugin| PluginInfo {
            kind: plugin.part.kind(),
            name: plugin.name.to_owned(),
            origin: plugin.origin.to_owned(),
            part: Made::Part(plugin),
        });
        for plugin in listed.chain(given) {
            let key = (plugin.kind, plugin.name.clone());
            if let Some(why) = refused(&plugin, is_reserved) {
                let PluginInfo { kind, name, origin, .. } = &plugin;
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
        let unconfigured = plugins.values().filter(|plugin| plugin.is_used_unconfigured());
        if let [first, second, ..] = unconfigured.collect::<Vec<_>>().as_slice() {
            let text = format!("both {first} and {second} serve programs that configure no backend: link one of them");
            problems.push(Error::new(ErrorKind::Duplicate, text));
        }
        Registry { plugins: Arc::new(plugins) }
    }

    /// Returns every plugin, by kind and name, including the engine's own serializers.
    pub fn list(&self) -> Vec<PluginInfo> {
        let own = Format::BUILT_IN.map(|name| PluginInfo {
            kind: "serializer",
            name: name.to_owned(),
            origin: env!("CARGO_PKG_NAME").to_owned(),
            part: Made::BuiltIn,
        });
        let mut all: Vec<_> = self.plugins.values().cloned().chain(own).collect();
        all.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        all
    }

    fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.plugins.values().filter_map(|plugin| match &plugin.part {
            Made::Part(registration) => Some(registration),
            Made::Serializer(_) | Made::BuiltIn => None,
        })
    }

    /// Returns the type of the backend that serves programs that configure none.
    pub(crate) fn unconfigured_backend(&self) -> Option<&'static str> {
        self.registrations().find(|plugin| plugin.is_used_unconfigured).map(|plugin| plugin.name)
    }

    /// Returns the linked type of backend whose URLs have a scheme.
    pub(crate) fn url_scheme(&self, scheme: &str) -> Option<(&'static str, &'static UrlScheme)> {
        let urls = self.registrations().flat_map(|plugin| plugin.urls.iter().map(|url| (plugin.name, url)));
        urls.into_iter().find(|(_, url)| url.scheme == scheme)
    }

    /// Returns the type of backend that is offered for URLs of a scheme.
    pub(crate) fn offered_scheme(&self, scheme: &str) -> Option<&'static str> {
        offered_plugins().find(|offer| offer.schemes.contains(&scheme)).map(|offer| offer.name)
    }

    /// Returns URLs that name backends: an example of each that is linked, and the schemes of those that are offered.
    pub(crate) fn urls(&self) -> Vec<String> {
        let linked = self.registrations().flat_map(|plugin| plugin.urls).map(|url| url.example.to_owned());
        let offered = offered_plugins().flat_map(|offer| offer.schemes);
        let offered = offered.filter(|scheme| self.url_scheme(scheme).is_none()).map(|scheme| format!("{scheme}://…"));
        linked.chain(offered).collect()
    }

    /// Returns the subscribers that are linked or offered, each with its short prefix of variables.
    pub(crate) fn variables(&self) -> Vec<(String, Option<&'static str>)> {
        let linked = self.registrations().filter(|plugin| plugin.part.kind() == "subscriber");
        let linked = linked.map(|plugin| (plugin.name, plugin.variables));
        let offered = offered_plugins().filter(|offer| offer.kind == "subscriber");
        let all: BTreeMap<_, _> = offered.map(|offer| (offer.name, offer.variables)).chain(linked).collect();
        all.into_iter().map(|(name, variables)| (name.to_owned(), variables)).collect()
    }

    /// Returns the names of one kind that are offered, linked or not.
    pub(crate) fn offered(&self, kind: &'static str) -> impl Iterator<Item = &'static str> + use<> {
        offered_plugins().filter(move |offer| offer.kind == kind).map(|offer| offer.name)
    }

    /// Returns the remedy for a plugin that is not linked; `None` for one that is not offered.
    pub(crate) fn remedy(kind: &str, name: &str) -> Option<&'static str> {
        offered_plugins().find(|offer| offer.kind == kind && offer.name == name).map(|offer| offer.remedy)
    }

    /// Returns the names of one kind.
    pub(crate) fn names(&self, kind: &'static str) -> Vec<String> {
        self.plugins.values().filter(|plugin| plugin.kind == kind).map(|plugin| plugin.name.clone()).collect()
    }

    fn find(&self, kind: &'static str, name: &str) -> Option<&Made> {
        self.plugins.get(&(kind, name.to_owned())).map(|plugin| &plugin.part)
    }

    /// Makes a backend's configuration with every field at its default.
    pub(crate) fn backend(&self, name: &str) -> Option<Box<dyn BackendConfig>> {
        match self.find("backend", name)? {
            Made::Part(Registration { part: Part::Backend(default), .. }) => Some(default()),
            _ => None,
        }
    }

    /// Makes a subscriber's configuration with every field at its default.
    pub(crate) fn subscriber(&self, name: &str) -> Option<Box<dyn SubscriberConfig>> {
        match self.find("subscriber", name)? {
            Made::Part(Registration { part: Part::Subscriber(default), .. }) => Some(default()),
            _ => None,
        }
    }

    /// Returns a serializer of a plugin or builder by name.
    pub(crate) fn serializer(&self, name: &str) -> Option<Arc<dyn Serializer>> {
        match self.find("serializer", name)? {
            Made::Part(Registration { part: Part::Serializer(default), .. }) => Some(default()),
            Made::Serializer(serializer) => Some(Arc::clone(serializer)),
            Made::Part(_) | Made::BuiltIn => None,
        }
    }
}

impl Registry {
    /// Returns the serializer of an envelope, if this program has it.
    pub(crate) fn format(&self, name: &str) -> Option<Format> {
        Format::built_in(name).or_else(|| {
            // Only names of known serializers are interned: this one may come from anywhere.
            let serializer = self.serializer(name)?;
            Some(Format::Plugin(intern(name), serializer))
        })
    }

    /// Returns the serializer that an option names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] that lists the known serializers, and for a compression or an encryption behind the name.
    pub(crate) fn named_format(&self, name: &str) -> Result<Format> {
        let name = serializer_of(name)?;
        if name == "pickle" {
            static WARNED: Once = Once::new();
            WARNED.call_once(|| {
                tracing::warn!(target: "retainit", "serializer `pickle` stands for `msgpack`: say so in the configuration");
            });
            return Ok(Format::MsgPack);
        }
        self.format(name).ok_or_else(|| {
            let mut names = self.names("serializer");
            names.extend(Format::BUILT_IN.map(str::to_owned));
            names.sort();
            let hint = Registry::remedy("serializer", name).map_or(String::new(), |remedy| format!("; {remedy}"));
            let text = format!("no serializer is called `{name}`; there are: {}{hint}", names.join(", "));
            Error::new(ErrorKind::Config, text)
        })
    }
}

/// Returns the reason why a plugin cannot have its name.
fn refused(plugin: &PluginInfo, is_reserved: fn(&str) -> bool) -> Option<&'static str> {
    let name = plugin.name.as_str();
    let is_taken = match plugin.kind {
        "serializer" => Format::BUILT_IN.contains(&name) || [AUTO, PICKLE].contains(&name),
        "subscriber" => is_reserved(name),
        _ => false,
    };
    if is_taken { Some("the name has a meaning of its own; choose another") } else { bad_name(name) }
}

/// Alias of MessagePack.
const PICKLE: &str = "pickle";

/// Returns the fault of a name for profiles, variables and attributes.
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
