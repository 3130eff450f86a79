//! Environment variables as a layer: `RETAINIT_BACKENDS_MAIN_CACHE_MAX_SIZE` is read by the backends and fields there
//! are, and two readings are an error.

use std::collections::BTreeMap;

use retainit_plugin::{Field, Section, Value};

use super::layer::{Layer, Said, Variables};
use super::problems::{Problems, nearest};
use super::schema::Schema;
use super::sections::{EventsSection, Main};
use super::tree::{Node, Table, Tree};

const PREFIX: &str = "RETAINIT_";

/// Read before anything else.
pub(super) const CONFIG: &str = "RETAINIT_CONFIG";
pub(super) const PROFILE: &str = "RETAINIT_PROFILE";

/// The layer of all variables that begin with `RETAINIT_`.
pub(super) fn layer(name: &str, variables: &Variables, schema: &Schema<'_>, problems: &mut Problems) -> Layer {
    let ours = variables.iter().filter(|(name, _)| name.starts_with(PREFIX));
    for (name, _) in ours.clone().filter(|(_, said)| said.text.is_none()) {
        problems.add(name, &[], "the name or the value is not valid UTF-8");
    }
    let ours = ours.filter(|(name, _)| *name != CONFIG && *name != PROFILE);
    let ours: Vec<Variable<'_>> = ours.filter_map(|(name, said)| Variable::new(name, said)).collect();
    let layer = Layer { name: name.to_owned(), table: Table::new() };
    let mut reading = Reading { schema, backends: schema.types.clone(), problems, layer };
    ours.iter().for_each(|variable| reading.declare(variable));
    ours.iter().for_each(|variable| reading.read(variable));
    reading.layer
}

/// One variable, and what stands behind `RETAINIT_`.
struct Variable<'a> {
    name: &'a str,
    rest: &'a str,
    value: &'a str,
    line: Option<usize>,
}

impl<'a> Variable<'a> {
    /// An empty one is as good as none.
    fn new(name: &'a str, said: &'a Said) -> Option<Variable<'a>> {
        let rest = name.strip_prefix(PREFIX).unwrap_or(name);
        let value = said.text.as_deref().filter(|text| !text.is_empty())?;
        Some(Variable { name, rest: rest.strip_prefix('_').unwrap_or(rest), value, line: said.line })
    }

    /// What stands behind `BACKENDS_`.
    fn of_backend(&self) -> Option<&'a str> {
        let rest = self.rest.strip_prefix("BACKENDS_")?;
        Some(rest.strip_prefix('_').unwrap_or(rest))
    }

    fn node(&self) -> Node {
        let tree = Tree::Leaf(Value::from(self.value));
        Node { line: self.line, variable: Some(self.name.to_owned()), tree }
    }
}

/// A name as a variable would spell it.
pub(super) fn spelled(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

struct Reading<'a> {
    schema: &'a Schema<'a>,
    /// Known backends and their types, the declared ones of this environment too.
    backends: BTreeMap<String, String>,
    problems: &'a mut Problems,
    layer: Layer,
}

impl Reading<'_> {
    /// `…_TYPE` alone declares a backend.
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
        if !name.is_empty() && !self.backends.keys().any(|known| spelled(known) == name) {
            self.backends.insert(name.to_lowercase(), variable.value.to_owned());
        }
    }

    fn read(&mut self, variable: &Variable<'_>) {
        if let Some(rest) = variable.of_backend() {
            return self.read_backend(variable, rest);
        }
        if let Some(field) = field_called(Main::default().fields(), variable.rest) {
            return self.put(variable, &[field]);
        }
        let mut sections = self.schema.registry.names("subscriber");
        sections.extend(["events".to_owned(), "logging".to_owned()]);
        for section in &sections {
            let names = if section == "logging" {
                vec!["LOGGING".to_owned(), "LOG".to_owned()]
            } else {
                vec![spelled(section)]
            };
            let field = names.iter().find_map(|name| variable.rest.strip_prefix(name.as_str())?.strip_prefix('_'));
            let Some(field) = field.map(|field| field.strip_prefix('_').unwrap_or(field)) else { continue };
            let known = self.section_field(section, field).unwrap_or_else(|| field.to_lowercase());
            return self.put(variable, &[section, &known]);
        }
        let text = self.unknown(variable);
        self.add(variable, text);
    }

    /// A problem of a variable, whose name stands for a key where its place is a line.
    fn add(&mut self, variable: &Variable<'_>, text: String) {
        let place = self.layer.place(&variable.node());
        let key: &[&str] = if variable.line.is_some() { &[variable.name] } else { &[] };
        self.problems.add(&place, key, text);
    }

    fn section_field(&self, section: &str, field: &str) -> Option<String> {
        let fields = match section {
            "events" => EventsSection::default().fields(),
            section => self.schema.registry.subscriber(section)?.fields(),
        };
        field_called(fields, field).map(str::to_owned)
    }

    fn unknown(&self, variable: &Variable<'_>) -> String {
        if variable.rest.starts_with("FUNCTIONS_") || variable.rest.starts_with("OVERRIDE_") {
            return "functions are set in files, not by variables: their ids are no names of variables".to_owned();
        }
        let main = Main::default();
        let fields = main.fields().iter().map(|field| format!("{PREFIX}{}", spelled(field.name)));
        let known: Vec<_> = fields
            .chain([CONFIG.into(), PROFILE.into(), "RETAINIT_LOG_LEVEL".into(), "RETAINIT_EVENTS_KEYS".into()])
            .collect();
        match nearest(variable.name, known.iter().map(String::as_str)) {
            Some(nearest) => format!("unknown variable; did you mean {nearest}?"),
            None => format!("unknown variable; there are RETAINIT_BACKENDS_<NAME>_<FIELD>, {}", known.join(", ")),
        }
    }

    fn read_backend(&mut self, variable: &Variable<'_>, rest: &str) {
        if let Some((name, field)) = rest.split_once("__") {
            let Some(backend) = self.backends.keys().find(|known| spelled(known) == name).cloned() else {
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

    /// Every backend and field that this could mean.
    fn readings(&self, rest: &str) -> Vec<(String, String)> {
        let of = |backend: &String| {
            let field = rest.strip_prefix(spelled(backend).as_str())?.strip_prefix('_')?;
            Some((backend.clone(), self.field(backend, field)?))
        };
        self.backends.keys().filter_map(of).collect()
    }

    /// The field of a backend that a variable spells; everything may be one of a type that is not linked.
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
        // A field of a type that some file has replaced says nothing, and is no typing error.
        let known = field_called(config.fields(), field).map(str::to_owned);
        known.or_else(|| {
            replaced.find_map(|name| match self.schema.registry.backend(name) {
                Some(config) => field_called(config.fields(), field).map(str::to_owned),
                None => (!field.is_empty()).then(|| field.to_lowercase()),
            })
        })
    }

    fn no_reading(&self, rest: &str) -> String {
        let of = |backend: &String| {
            let field = rest.strip_prefix(spelled(backend).as_str())?.strip_prefix('_')?;
            Some((backend.clone(), field.to_lowercase()))
        };
        if let Some((backend, field)) = self.backends.keys().filter_map(of).max_by_key(|(backend, _)| backend.len()) {
            let config =
                self.schema.backend(&backend).or_else(|| self.schema.registry.backend(&self.backends[&backend]));
            let names: Vec<_> = config.iter().flat_map(|config| config.fields()).map(|field| field.name).collect();
            return match nearest(&field, names.iter().copied()) {
                Some(nearest) => format!("the backend `{backend}` has no field `{field}`; did you mean `{nearest}`?"),
                None => format!("the backend `{backend}` has no field `{field}`; there are: {}", names.join(", ")),
            };
        }
        let known = self.backends.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are: {known}") };
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
