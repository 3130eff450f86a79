//! Resolution of layers into the typed settings of an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use retainit_plugin::{BackendConfig, Complete, FieldValue, Result, Section, SubscriberConfig, Ttl, Value};

use super::effective::{CODE, DEFAULT, Effective};
use super::enforce::{enforce, is_stricter, unset};
use super::layer::Layer;
use super::location::Location;
use super::merge::{Leaf, Leaves, merge};
use super::problems::{Problems, join};
use super::schema::{Schema, not_linked, shown_default, written};
use super::sections::{EventsSection, FunctionSection, Main};
use crate::Registry;
use crate::options::Options;
use crate::registry::bad_name;

/// Typed settings of a whole configuration.
#[derive(Debug)]
pub(crate) struct Configured {
    /// Settings of the instance, with defaults.
    pub(crate) main: Main,
    /// Backends, sorted by name.
    pub(crate) backends: Vec<Declared>,
    /// Options with less precedence than the attribute, by the function's id.
    pub(crate) functions: BTreeMap<String, FileLevel>,
    /// Options with more precedence than the attribute, by the function's id.
    pub(crate) overrides: BTreeMap<String, FileLevel>,
    /// Options that no other source may weaken, by the function's id.
    pub(crate) enforced_functions: BTreeMap<String, Options>,
    /// Backends that functions have to use, by the function's id.
    pub(crate) enforced_function_backends: BTreeMap<String, String>,
    /// Options of backends that no other source may weaken, by the backend's name.
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
    /// Returns true if a backend has this name; its type may not be linked.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.backend(name).is_some()
    }

    /// Returns the backend of a name.
    pub(crate) fn backend(&self, name: &str) -> Option<&Declared> {
        let at = self.backends.binary_search_by(|backend| (*backend.name).cmp(name)).ok()?;
        Some(&self.backends[at])
    }
}

/// A backend of a configuration.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: Arc<str>,
    /// `None` for a type that is not linked.
    pub(crate) config: Option<Box<dyn BackendConfig>>,
    pub(crate) type_name: String,
    /// Rank of the source of each field that a file sets.
    pub(crate) ranks: Ranks,
}

impl Declared {
    /// Writes why a backend of a type that is not linked cannot be used.
    pub(crate) fn not_linked(&self) -> String {
        format!("the backend `{}`: {}", self.name, not_linked("type", "backend", &self.type_name))
    }
}

/// Options that files set for one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileLevel {
    pub(crate) backend: Option<String>,
    pub(crate) options: Options,
    /// Rank of the source of each option.
    pub(crate) ranks: Ranks,
    /// First of its options: the number of the source, and the place in it.
    pub(crate) place: (usize, Location),
}

/// Ranks of sources by the field's name; 0 is the highest. A field that code sets has no rank and takes precedence over
/// all.
pub(crate) type Ranks = BTreeMap<String, usize>;

/// Settings that code has made.
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
        // Keys are checked first, so that enforced paths and `null`s meet values under the field's one name. Enforced
        // values are applied before `null`s: a `null` above an enforced value must not remove it.
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

    // Names can only be checked once all backends are known, and options are enforced last, on functions that exist by
    // then.
    pub(super) fn resolve(mut self) -> Configured {
        let mut configured = Configured::default();
        let mut main = self.code.main.clone();
        self.apply(&mut main, &[]);
        self.add_problems_of(&main, &[]);
        configured.main = main.complete();
        configured.events = self.code.events.clone();
        self.apply(&mut configured.events, &["events"]);
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

    /// Applies the values of files to fields that code leaves open, and records the effective ones.
    fn apply(&mut self, section: &mut dyn Section, path: &[&str]) {
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
                    None => self.effective.put(at, shown_default(field), DEFAULT),
                },
            }
        }
    }

    /// Returns true if a file's value replaces one from code: it is enforced, and code's is weaker.
    fn forces(&self, path: &[String], in_code: Option<&str>, leaf: &Leaf) -> bool {
        self.enforced.contains(path) && !is_stricter(path, &Value::from(in_code), &leaf.value)
    }

    fn backends(&mut self) -> Vec<Declared> {
        // The schema's types include those of backends made in code.
        let names: Vec<String> = self.schema.types.keys().cloned().collect();
        names.into_iter().map(|name| self.backend(name)).collect()
    }

    fn backend(&mut self, name: String) -> Declared {
        let type_name = self.schema.types.get(&name).cloned().unwrap_or_default();
        let path = ["backends", name.as_str()];
        let of_type = self.leaves.get(&owned(&path, "type")).map(|leaf| leaf.place.clone());
        let of_type = of_type.unwrap_or_else(|| CODE.into());
        if let Some(why) = bad_name(&name) {
            self.problems.add(&of_type, &path, format!("a backend cannot be called {name:?}: {why}"));
        }
        self.effective.put(owned(&path, "type"), type_name.as_str(), of_type);
        let mut config = self.schema.backend(&name);
        match &mut config {
            Some(config) => {
                self.apply(&mut **config, &path);
                self.add_problems_of(&**config, &path);
            }
            None => self.add_hidden(&path),
        }
        let holds = self.below(&path).filter(|(at, leaf)| self.effective.place_of(at) == Some(&leaf.place));
        let ranks = holds.filter_map(|(at, leaf)| Some((at.last()?.clone(), leaf.layer))).collect();
        Declared { name: name.into(), config, type_name, ranks }
    }

    /// Adds the problems that a section reports about its effective values, each at its place.
    fn add_problems_of(&mut self, section: &dyn Section, path: &[&str]) {
        for problem in section.problems() {
            let at = if problem.field.is_empty() { path.to_vec() } else { [path, &[problem.field]].concat() };
            // A missing field has no place: the problem is reported at the first field of its section, if there is any.
            let near = || self.below(path).next().filter(|_| !path.is_empty()).map(|(_, leaf)| &leaf.place);
            let place = self.effective.place(&at).or_else(near).cloned().unwrap_or_else(|| CODE.into());
            self.problems.add(place, &at, problem.text);
        }
    }

    /// Records the fields of a type that is not linked as hidden: only the plugin knows which are secrets.
    fn add_hidden(&mut self, path: &[&str]) {
        for (at, leaf) in below(&self.leaves, path).filter(|(at, _)| at.last().is_some_and(|last| last != "type")) {
            self.effective.put_hidden(at.clone(), &leaf.value, leaf.place.clone());
        }
    }

    /// Iterates over all effective values below a path.
    fn below(&self, path: &[&str]) -> impl Iterator<Item = (&Vec<String>, &Leaf)> {
        below(&self.leaves, path)
    }

    fn subscribers(&mut self) -> Vec<(String, Box<dyn SubscriberConfig>)> {
        let mut active = Vec::new();
        for name in self.registry.names("subscriber") {
            let Some(mut config) = self.registry.subscriber(&name) else { continue };
            self.apply(&mut *config, &[&name]);
            if self.below(&[&name]).next().is_some() {
                self.add_problems_of(&*config, &[&name]);
                active.push((name, config));
            }
        }
        active
    }

    fn functions(&mut self, path: &[&str]) -> BTreeMap<String, FileLevel> {
        let mut sections: BTreeMap<String, (FunctionSection, Ranks, (usize, Location))> = BTreeMap::new();
        for (at, leaf) in &self.leaves {
            let below = at.get(..path.len()).filter(|prefix| *prefix == path).map(|_| &at[path.len()..]);
            let Some([id, field]) = below else { continue };
            let here = (leaf.layer, leaf.place.clone());
            let new = || (FunctionSection::default(), Ranks::default(), here.clone());
            let (section, ranks, place) = sections.entry(id.clone()).or_insert_with(new);
            *place = here.min(place.clone());
            ranks.insert(field.clone(), leaf.layer);
            if let Err(text) = section.set(field, &leaf.value) {
                self.problems.add(&leaf.place, &[path, &[id, field]].concat(), text);
            }
            self.effective.put(at.clone(), written(&leaf.value), leaf.place.clone());
        }
        for (id, (section, ..)) in &sections {
            self.add_problems_of(section, &[path, &[id]].concat());
        }
        let level = |(section, ranks, place): (FunctionSection, Ranks, _)| FileLevel {
            backend: section.backend_name().map(str::to_owned),
            options: section.options(),
            ranks,
            place,
        };
        sections.into_iter().map(|(id, section)| (id, level(section))).collect()
    }

    /// Warns of values that are valid and probably not meant.
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

    /// Collects the enforced values as options that take precedence over every other source.
    fn enforce_options(&mut self, configured: &mut Configured) {
        for path in &self.enforced {
            let Some(leaf) = self.leaves.get(path) else { continue };
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let (enforced, name, field) = match path.as_slice() {
                ["functions", id, "backend"] | ["override", "functions", id, "backend"] => {
                    let name = leaf.value.as_str().unwrap_or_default().to_owned();
                    // Paths are sorted, so the override's name comes second and replaces the other.
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
            let mut section = FunctionSection::default();
            if section.fields().iter().any(|known| known.name == *field) && section.set(field, &leaf.value).is_ok() {
                let enforced_here = section.options();
                let ttl = enforced_here.ttl.map(|ttl| options.ttl.map_or(ttl, |other| ttl.cap(other)));
                *options = Options { ttl, ..enforced_here }.over(options);
            }
        }
    }
}

fn below<'a>(leaves: &'a Leaves, path: &[&str]) -> impl Iterator<Item = (&'a Vec<String>, &'a Leaf)> + use<'a> {
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    leaves.range(path.clone()..).take_while(move |(at, _)| at.starts_with(&path))
}

fn owned(path: &[&str], last: &str) -> Vec<String> {
    path.iter().copied().chain([last]).map(str::to_owned).collect()
}
