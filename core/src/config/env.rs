//! Environment variables as a layer. `RETAINIT_BACKENDS_MAIN_CACHE_MAX_SIZE` is resolved against the known backends and
//! their fields; a variable with two readings is an error.

use std::collections::BTreeMap;

use retainit_plugin::{Field, Section, Value};

use super::kubernetes::ServiceLinks;
use super::layer::{EnvValue, Layer, Variables};
use super::problems::{Problems, there_are};
use super::schema::Schema;
use super::sections::{EventsSection, Main};
use super::tree::{Table, Tree, TreeNode};

pub(super) const PREFIX: &str = "RETAINIT_";

/// Variable with the path of the main file; read before anything else.
pub(super) const CONFIG: &str = "RETAINIT_CONFIG";
pub(super) const PROFILE: &str = "RETAINIT_PROFILE";

/// The engine's own section with variables, beside the main one and those of backends.
const EVENTS: &str = "events";

/// Builds the layer of all variables that begin with `RETAINIT_`.
pub(super) fn layer(name: &str, variables: &Variables, schema: &Schema<'_>, problems: &mut Problems) -> Layer {
    let ours = variables.iter().filter(|(name, _)| name.starts_with(PREFIX));
    for (name, _) in ours.clone().filter(|(_, value)| value.text.is_none()) {
        problems.add(name.as_str(), &[], "the name or the value is not valid UTF-8");
    }
    let ours = ours.filter(|(name, _)| *name != CONFIG && *name != PROFILE);
    let ours: Vec<Variable<'_>> = ours.filter_map(|(name, value)| Variable::new(name, value)).collect();
    let layer = Layer { name: name.to_owned(), table: Table::new() };
    let mut reading = Reading { schema, backends: BTreeMap::new(), spellings: BTreeMap::new(), problems, layer };
    // Backends are collected before any variable is read: which of the `_` in a name separates the backend from its
    // field depends on all the backends there are, and `RETAINIT_BACKENDS__X__TYPE` may come after a field of `X`.
    schema.types.iter().for_each(|(name, type_name)| reading.know(name.clone(), type_name.clone()));
    ours.iter().for_each(|variable| reading.declare(variable));
    let links = ServiceLinks::new(variables);
    // A variable with a line was written into a file by hand, so it is a setting even if it has the form of a service
    // link.
    let is_link = |variable: &&Variable<'_>| {
        variable.line.is_none() && links.have(variable.rest, variable.value) && !reading.knows(variable)
    };
    let (links, ours): (Vec<&Variable<'_>>, Vec<_>) = ours.iter().partition(is_link);
    ours.iter().for_each(|variable| reading.read(variable));
    let links = links.iter().map(|link| link.name).collect::<Vec<_>>().join(", ");
    if !links.is_empty() {
        let remedy = "`enableServiceLinks: false` keeps them away";
        tracing::warn!(target: "retainit::advisor", variables = links, "passed over: Kubernetes sets these; {remedy}");
    }
    reading.layer
}

/// One variable, with the part of its name behind `RETAINIT_`.
struct Variable<'a> {
    name: &'a str,
    rest: &'a str,
    value: &'a str,
    line: Option<usize>,
}

impl<'a> Variable<'a> {
    /// Reads a variable; an empty one counts as unset.
    fn new(name: &'a str, variable: &'a EnvValue) -> Option<Variable<'a>> {
        let rest = name.strip_prefix(PREFIX).unwrap_or(name);
        let value = variable.text.as_deref().filter(|text| !text.is_empty())?;
        Some(Variable { name, rest: rest.strip_prefix('_').unwrap_or(rest), value, line: variable.line })
    }

    /// Returns the part of the name behind `BACKENDS_`.
    fn of_backend(&self) -> Option<&'a str> {
        let rest = self.rest.strip_prefix("BACKENDS_")?;
        Some(rest.strip_prefix('_').unwrap_or(rest))
    }

    fn node(&self) -> TreeNode {
        let tree = Tree::Leaf(Value::from(self.value));
        TreeNode { line: self.line, variable: Some(self.name.to_owned()), tree }
    }
}

/// Spells a name as a variable would.
pub(super) fn spelled(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

struct Reading<'a> {
    schema: &'a Schema<'a>,
    /// Known backends and their types, including those declared by variables.
    backends: BTreeMap<String, String>,
    /// Names of backends by their spelling in a variable.
    spellings: BTreeMap<String, Vec<String>>,
    problems: &'a mut Problems,
    layer: Layer,
}

/// Bound on the number of `_` at which a name is split, so that a long name costs no quadratic time.
const MAX_PARTS: usize = 64;

impl Reading<'_> {
    fn know(&mut self, name: String, type_name: String) {
        self.spellings.entry(spelled(&name)).or_default().push(name.clone());
        self.backends.insert(name, type_name);
    }

    /// Iterates over the backends whose name may be in front, each with the rest behind it.
    fn split<'r>(&self, rest: &'r str) -> impl Iterator<Item = (&String, &'r str)> {
        let parts = rest.match_indices('_').take(MAX_PARTS);
        let named = parts.filter_map(|(at, _)| Some((self.spellings.get(&rest[..at])?, &rest[at + 1..])));
        named.flat_map(|(names, field)| names.iter().map(move |name| (name, field)))
    }

    /// Declares a backend named by a `…_TYPE` variable.
    fn declare(&mut self, variable: &Variable<'_>) {
        let Some(rest) = variable.of_backend() else { return };
        let name = match rest.split_once("__") {
            Some((name, "TYPE")) => name,
            Some(_) => return,
            None if !self.readings(rest).is_empty() => return,
            None => match rest.strip_suffix("_TYPE") {
                Some(name) => name,
                None => return,
            },
        };
        if !name.is_empty() && !self.spellings.contains_key(name) {
            self.know(name.to_lowercase(), variable.value.to_owned());
        }
    }

    /// Returns true if a variable names a known setting.
    fn knows(&self, variable: &Variable<'_>) -> bool {
        match variable.of_backend() {
            Some(rest) => rest.contains("__") || !self.readings(rest).is_empty(),
            None => {
                let is_of = |(section, field): (String, &str)| self.section_field(&section, field).is_some();
                field_called(Main::default().fields(), variable.rest).is_some()
                    || self.section(variable).is_some_and(is_of)
            }
        }
    }

    /// Returns the section that a variable names, and the field behind it.
    fn section<'v>(&self, variable: &Variable<'v>) -> Option<(String, &'v str)> {
        let subscribers = self.schema.registry.variables();
        subscribers.into_iter().chain([(EVENTS.to_owned(), None)]).find_map(|(section, short)| {
            let names = [Some(spelled(&section)), short.map(str::to_owned)];
            let names = names.iter().flatten();
            let field =
                names.into_iter().find_map(|name| variable.rest.strip_prefix(name.as_str())?.strip_prefix('_'))?;
            Some((section, field.strip_prefix('_').unwrap_or(field)))
        })
    }

    fn read(&mut self, variable: &Variable<'_>) {
        if let Some(rest) = variable.of_backend() {
            return self.read_backend(variable, rest);
        }
        if let Some(field) = field_called(Main::default().fields(), variable.rest) {
            return self.put(variable, &[field]);
        }
        if let Some((section, field)) = self.section(variable) {
            let known = self.section_field(&section, field).unwrap_or_else(|| field.to_lowercase());
            return self.put(variable, &[&section, &known]);
        }
        let text = self.unknown(variable);
        self.add(variable, text);
    }

    /// Adds a problem of a variable, whose name serves as the key where the place is a line.
    fn add(&mut self, variable: &Variable<'_>, text: String) {
        let place = self.layer.place(&variable.node());
        let key: &[&str] = if variable.line.is_some() { &[variable.name] } else { &[] };
        self.problems.add(&place, key, text);
    }

    fn section_field(&self, section: &str, field: &str) -> Option<String> {
        let fields = match section {
            EVENTS => EventsSection::default().fields(),
            section => self.schema.registry.subscriber(section)?.fields(),
        };
        field_called(fields, field).map(str::to_owned)
    }

    fn unknown(&self, variable: &Variable<'_>) -> String {
        if variable.rest.starts_with("FUNCTIONS_") || variable.rest.starts_with("OVERRIDE_") {
            return "functions are set in files, not by variables: their ids are no names of variables".to_owned();
        }
        let of = |prefix: String, fields: &'static [Field]| {
            fields.iter().map(move |field| format!("{PREFIX}{prefix}{}", spelled(field.name)))
        };
        let registry = self.schema.registry;
        let subscribers = registry.variables().into_iter().filter_map(|(section, short)| {
            let prefix = short.map_or_else(|| spelled(&section), str::to_owned);
            Some(of(format!("{prefix}_"), registry.subscriber(&section)?.fields()))
        });
        let known: Vec<_> = of(String::new(), Main::default().fields())
            .chain([CONFIG.to_owned(), PROFILE.to_owned()])
            .chain(of(format!("{}_", spelled(EVENTS)), EventsSection::default().fields()))
            .chain(subscribers.flatten())
            .collect();
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        match self.problems.compared().nearest(variable.name, &names) {
            Some(nearest) => format!("unknown variable; did you mean {nearest}?"),
            None => format!("unknown variable; there are RETAINIT_BACKENDS_<NAME>_<FIELD>, {}", known.join(", ")),
        }
    }

    fn read_backend(&mut self, variable: &Variable<'_>, rest: &str) {
        if let Some((name, field)) = rest.split_once("__") {
            let Some(backend) = self.spellings.get(name).and_then(|names| names.first()).cloned() else {
                let text = format!(
                    "there is no backend `{}`: declare it with {PREFIX}BACKENDS__{name}__TYPE",
                    name.to_lowercase()
                );
                return self.add(variable, text);
            };
            let field = self.field(&backend, field).unwrap_or_else(|| field.to_lowercase());
            return self.put(variable, &["backends", &backend, &field]);
        }
        match self.readings(rest).as_slice() {
            [(backend, field)] => self.put(variable, &["backends", backend, field]),
            [] => {
                let text = self.no_reading(rest);
                self.add(variable, text);
            }
            several => {
                let several = several.iter().map(|(backend, field)| {
                    let clear = format!("{PREFIX}BACKENDS__{}__{}", spelled(backend), field.to_uppercase());
                    format!("{clear} for `{field}` of `{backend}`")
                });
                let text = format!("this can be read in two ways: write {}", several.collect::<Vec<_>>().join(", or "));
                self.add(variable, text);
            }
        }
    }

    /// Returns every pair of a backend and a field that a name could mean.
    fn readings(&self, rest: &str) -> Vec<(String, String)> {
        let known = self.split(rest).filter_map(|(name, field)| Some((name.clone(), self.field(name, field)?)));
        let mut all: Vec<_> = known.collect();
        all.sort();
        all
    }

    /// Returns the field of a backend that a variable spells; any name is accepted for a type that is not linked.
    fn field(&self, backend: &str, field: &str) -> Option<String> {
        if field == "TYPE" {
            return Some("type".to_owned());
        }
        let config = match self.schema.code.get(backend) {
            Some(config) => Some(config.to_box()),
            None => self.schema.registry.backend(self.backends.get(backend)?),
        };
        let Some(config) = config else { return (!field.is_empty()).then(|| field.to_lowercase()) };
        let mut replaced = self.schema.replaced.get(backend).into_iter().flat_map(|replaced| &replaced.types);
        // A field of a type that another source has replaced is ignored later, and is no typing error.
        let known = field_called(config.fields(), field).map(str::to_owned);
        known.or_else(|| {
            replaced.find_map(|name| match self.schema.registry.backend(name) {
                Some(config) => field_called(config.fields(), field).map(str::to_owned),
                None => (!field.is_empty()).then(|| field.to_lowercase()),
            })
        })
    }

    fn no_reading(&self, rest: &str) -> String {
        if let Some((backend, field)) = self.split(rest).max_by_key(|(backend, _)| backend.len()) {
            let (backend, field) = (backend.clone(), field.to_lowercase());
            let config =
                self.schema.backend(&backend).or_else(|| self.schema.registry.backend(&self.backends[&backend]));
            let names: Vec<_> = config.iter().flat_map(|config| config.fields()).map(|field| field.name).collect();
            return match self.problems.compared().nearest(&field, &names) {
                Some(nearest) => format!("the backend `{backend}` has no field `{field}`; did you mean `{nearest}`?"),
                None => format!("the backend `{backend}` has no field `{field}`; there are: {}", names.join(", ")),
            };
        }
        let known = there_are(self.backends.keys());
        format!("no backend has that name; {known}; {PREFIX}BACKENDS_<NAME>_TYPE declares one")
    }

    fn put(&mut self, variable: &Variable<'_>, path: &[&str]) {
        let (last, tables) = path.split_last().expect("every path has a name");
        let mut table = &mut self.layer.table;
        for name in tables {
            let node = table.entry((*name).to_owned()).or_default();
            match &mut node.tree {
                Tree::Table(below) => table = below,
                Tree::Leaf(_) => return,
            }
        }
        if let Some(other) = table.insert((*last).to_owned(), variable.node()) {
            let other = other.variable.unwrap_or_default();
            let place = self.layer.place(&variable.node());
            self.problems.add(&place, path, format!("{other} sets the same: remove one"));
        }
    }
}

fn field_called(fields: &'static [Field], name: &str) -> Option<&'static str> {
    fields
        .iter()
        .find(|field| spelled(field.name) == name || field.aliases.iter().any(|alias| spelled(alias) == name))
        .map(|field| field.name)
}
