//! From layers to the typed settings of an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{BackendConfig, Complete, FieldValue, Section, SubscriberConfig, Ttl, Value};

use super::effective::{CODE, DEFAULT, Effective};
use super::enforce::{enforce, is_stricter, unset};
use super::layer::Layer;
use super::merge::{Leaf, Leaves, merge};
use super::problems::{Problems, join};
use super::schema::{Schema, default_value, not_linked};
use super::sections::{EventsSection, FunctionSection, Main};
use crate::options::Options;
use crate::registry::bad_name;
use crate::{Registry, Result};

/// Everything a configuration says.
#[derive(Debug)]
pub(crate) struct Configured {
    /// With its defaults.
    pub(crate) main: Main,
    pub(crate) backends: Vec<Declared>,
    /// Below the attribute.
    pub(crate) functions: BTreeMap<String, FileLevel>,
    /// Above the attribute.
    pub(crate) overrides: BTreeMap<String, FileLevel>,
    /// What no level may weaken, by the function's id.
    pub(crate) enforced_functions: BTreeMap<String, Options>,
    /// The backends that functions have to use, by the function's id.
    pub(crate) enforced_function_backends: BTreeMap<String, String>,
    /// The same, by the backend's name.
    pub(crate) enforced_backends: BTreeMap<String, Options>,
    pub(crate) subscribers: Vec<(String, Box<dyn SubscriberConfig>)>,
    pub(crate) events: EventsSection,
    pub(crate) effective: Effective,
}

impl Default for Configured {
    fn default() -> Configured {
        Configured {
            main: Main::new().complete(),
            backends: Vec::new(),
            functions: BTreeMap::new(),
            overrides: BTreeMap::new(),
            enforced_functions: BTreeMap::new(),
            enforced_function_backends: BTreeMap::new(),
            enforced_backends: BTreeMap::new(),
            subscribers: Vec::new(),
            events: EventsSection::new(),
            effective: Effective::default(),
        }
    }
}

impl Configured {
    /// Whether a backend has this name; its type may not be linked.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.backends.iter().any(|backend| *backend.name == *name)
    }
}

/// A backend of a configuration.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: Arc<str>,
    /// `None` for a type that is not linked.
    pub(crate) config: Option<Box<dyn BackendConfig>>,
    pub(crate) type_name: String,
    /// How high the sources of its fields stand, of those that files set.
    pub(crate) ranks: Ranks,
}

impl Declared {
    /// Why a backend of a type that is not linked cannot be used.
    pub(crate) fn not_linked(&self) -> String {
        format!("the backend `{}`: {}", self.name, not_linked("type", &self.type_name))
    }
}

/// What files say about one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileLevel {
    pub(crate) backend: Option<String>,
    pub(crate) options: Options,
    /// How high the source of each option stands; 0 is the highest.
    pub(crate) ranks: Ranks,
}

/// How high the source of a field stands, by the field's name; what code has set has no number and stands above.
pub(crate) type Ranks = BTreeMap<String, usize>;

/// What code has set.
#[derive(Debug)]
pub(crate) struct Code<'a> {
    pub(crate) main: &'a Main,
    pub(crate) events: &'a EventsSection,
    pub(crate) backends: &'a [(Arc<str>, Box<dyn BackendConfig>)],
}

pub(super) struct Resolver<'a> {
    pub(super) schema: &'a Schema<'a>,
    pub(super) registry: &'a Registry,
    pub(super) code: &'a Code<'a>,
    pub(super) leaves: Leaves,
    pub(super) enforced: BTreeSet<Vec<String>>,
    pub(super) problems: &'a mut Problems,
    pub(super) effective: Effective,
}

impl<'a> Resolver<'a> {
    /// Checks and merges layers, the highest first.
    pub(super) fn new(
        schema: &'a Schema<'a>,
        code: &'a Code<'a>,
        layers: &[Layer],
        problems: &'a mut Problems,
    ) -> Result<Resolver<'a>> {
        let numbered = layers.iter().enumerate();
        let mut checked: Vec<Layer> = numbered
            .map(|(number, layer)| Layer { name: layer.name.clone(), table: schema.check(number, layer, problems) })
            .collect();
        let enforced = enforce(&mut checked, schema, problems);
        unset(&mut checked);
        let leaves = merge(&checked)?;
        let registry = schema.registry;
        Ok(Resolver { schema, registry, code, leaves, enforced, problems, effective: Effective::default() })
    }

    pub(super) fn resolve(mut self) -> Configured {
        let mut configured = Configured::default();
        let mut main = self.code.main.clone();
        self.settle(&mut main, &[]);
        self.told_by(&main, &[]);
        configured.main = main.complete();
        configured.events = self.code.events.clone();
        self.settle(&mut configured.events, &["events"]);
        configured.backends = self.backends();
        configured.subscribers = self.subscribers();
        configured.functions = self.functions(&["functions"]);
        configured.overrides = self.functions(&["override", "functions"]);
        self.check_names(&configured);
        self.advise();
        self.enforce_options(&mut configured);
        configured.effective = self.effective;
        configured
    }

    /// Lays what files say below what code has set, field by field, and notes what holds.
    fn settle(&mut self, section: &mut dyn Section, path: &[&str]) {
        for field in section.fields() {
            let at = owned(path, field.name);
            for alias in field.aliases {
                self.effective.alias(owned(path, alias), at.clone());
            }
            let in_code = section.shown(field.name);
            match self.leaves.get(&at) {
                Some(leaf) if in_code.is_none() || self.forces(&at, in_code.as_deref(), leaf) => {
                    if let Err(text) = section.set(field.name, &leaf.value) {
                        self.problems.add(&leaf.place, &[path, &[field.name]].concat(), text);
                    }
                    match field.secret {
                        true => self.effective.put_hidden(at, &leaf.value, leaf.place.clone()),
                        false => self.effective.put(at, written(&leaf.value), leaf.place.clone()),
                    }
                }
                _ => match in_code {
                    Some(value) => self.effective.put(at, value, CODE),
                    None => self.effective.put(at, written(&default_value(field)), DEFAULT),
                },
            }
        }
    }

    /// Whether a file's value holds over one from code: it is enforced, and the other is weaker.
    fn forces(&self, path: &[String], in_code: Option<&str>, leaf: &Leaf) -> bool {
        self.enforced.contains(path) && !is_stricter(path, &Value::from(in_code), &leaf.value)
    }

    fn backends(&mut self) -> Vec<Declared> {
        let mut names: Vec<String> = self.schema.code.keys().map(|name| (*name).to_owned()).collect();
        names.extend(self.schema.types.keys().filter(|name| !self.schema.code.contains_key(name.as_str())).cloned());
        names.into_iter().map(|name| self.backend(name)).collect()
    }

    fn backend(&mut self, name: String) -> Declared {
        let type_name = self.schema.types.get(&name).cloned().unwrap_or_default();
        let path = ["backends", name.as_str()];
        let of_type = self.leaves.get(&owned(&path, "type")).map(|leaf| leaf.place.clone());
        let of_type = of_type.unwrap_or_else(|| CODE.to_owned());
        if let Some(why) = bad_name(&name) {
            self.problems.add(&of_type, &path, format!("a backend cannot be called {name:?}: {why}"));
        }
        self.effective.put(owned(&path, "type"), type_name.as_str(), of_type);
        let mut config = self.schema.backend(&name);
        match &mut config {
            Some(config) => {
                self.settle(&mut **config, &path);
                self.told_by(&**config, &path);
            }
            None => self.opaque(&path),
        }
        let prefix: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let own = self.leaves.iter().filter(|(at, _)| at.starts_with(&prefix));
        let holds = own.filter(|(at, leaf)| self.effective.place_of(at) == Some(leaf.place.as_str()));
        let ranks = holds.filter_map(|(at, leaf)| Some((at.last()?.clone(), leaf.layer))).collect();
        Declared { name: name.into(), config, type_name, ranks }
    }

    /// What a section finds wrong with the values that hold, each at its place.
    fn told_by(&mut self, section: &dyn Section, path: &[&str]) {
        for problem in section.problems() {
            let at = if problem.field.is_empty() { path.to_vec() } else { [path, &[problem.field]].concat() };
            // What is missing is missing in its section, wherever that says something.
            let is_near = |leaf: &[String]| !path.is_empty() && path.iter().eq(leaf.iter().take(path.len()));
            let near = || self.leaves.iter().find(|(at, _)| is_near(at)).map(|(_, leaf)| leaf.place.as_str());
            let place = self.effective.source(&at).or_else(near).unwrap_or(CODE).to_owned();
            self.problems.add(&place, &at, problem.text);
        }
    }

    /// The fields of a type that is not linked: there, and never shown.
    fn opaque(&mut self, path: &[&str]) {
        let prefix: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let below = |at: &Vec<String>| at.starts_with(&prefix) && at.last().is_some_and(|last| last != "type");
        for (at, leaf) in self.leaves.iter().filter(|(at, _)| below(at)) {
            self.effective.put_hidden(at.clone(), &leaf.value, leaf.place.clone());
        }
    }

    fn subscribers(&mut self) -> Vec<(String, Box<dyn SubscriberConfig>)> {
        let mut active = Vec::new();
        for name in self.registry.names("subscriber") {
            let Some(mut config) = self.registry.subscriber(&name) else { continue };
            self.settle(&mut *config, &[&name]);
            if self.leaves.keys().any(|path| path.first() == Some(&name)) {
                self.told_by(&*config, &[&name]);
                active.push((name, config));
            }
        }
        active
    }

    fn functions(&mut self, path: &[&str]) -> BTreeMap<String, FileLevel> {
        let mut sections: BTreeMap<String, (FunctionSection, Ranks)> = BTreeMap::new();
        for (at, leaf) in &self.leaves {
            let below = at.get(..path.len()).filter(|prefix| *prefix == path).map(|_| &at[path.len()..]);
            let Some([id, field]) = below else { continue };
            let (section, ranks) = sections.entry(id.clone()).or_default();
            ranks.insert(field.clone(), leaf.layer);
            if let Err(text) = section.set(field, &leaf.value) {
                self.problems.add(&leaf.place, &[path, &[id, field]].concat(), text);
            }
            self.effective.put(at.clone(), written(&leaf.value), leaf.place.clone());
        }
        let level = |section: FunctionSection, ranks| FileLevel {
            backend: section.backend_name().map(str::to_owned),
            options: section.options(),
            ranks,
        };
        sections.into_iter().map(|(id, (section, ranks))| (id, level(section, ranks))).collect()
    }

    /// What works, and may not be meant.
    fn advise(&self) {
        let zero = |(path, leaf): &(&Vec<String>, &Leaf)| {
            let is_ttl = path.last().is_some_and(|field| field.ends_with("ttl"));
            is_ttl && leaf.value.as_str() != Some("never") && Ttl::read(&leaf.value) == Some(Ttl::Never)
        };
        for (path, leaf) in self.leaves.iter().filter(zero) {
            let (key, place) = (join(path), leaf.place.as_str());
            tracing::warn!(target: "retainit::advisor", key, place, "a ttl of 0 never expires: write \"never\"");
        }
    }

    /// What is enforced, as options that stand above every level.
    fn enforce_options(&mut self, configured: &mut Configured) {
        for path in &self.enforced {
            let Some(leaf) = self.leaves.get(path) else { continue };
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let (enforced, name, field) = match path.as_slice() {
                ["functions", id, "backend"] | ["override", "functions", id, "backend"] => {
                    let name = leaf.value.as_str().unwrap_or_default().to_owned();
                    // The override's comes later, and stands above.
                    configured.enforced_function_backends.insert((*id).to_owned(), name);
                    continue;
                }
                ["functions", id, field] | ["override", "functions", id, field] => {
                    (&mut configured.enforced_functions, id, field)
                }
                ["backends", name, field] => (&mut configured.enforced_backends, name, field),
                _ => continue,
            };
            let options = enforced.entry((*name).to_owned()).or_insert(Options::NONE);
            if *field == "max_idle" {
                options.idle = Duration::read(&leaf.value);
            }
            let mut section = FunctionSection::default();
            if section.fields().iter().any(|known| known.name == *field) && section.set(field, &leaf.value).is_ok() {
                let said = section.options();
                let ttl = said.ttl.map(|ttl| options.ttl.map_or(ttl, |other| ttl.cap(other)));
                *options = Options { ttl, ..said }.over(options);
            }
        }
    }
}

fn owned(path: &[&str], last: &str) -> Vec<String> {
    path.iter().copied().chain([last]).map(str::to_owned).collect()
}

/// A value as the file wrote it.
pub(super) fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
