//! What may be set: every key of a layer is known, has its one name and a value that can be used, or is a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use retainit_plugin::{BackendConfig, Field, Section, Value};

use super::enforce::holder;
use super::layer::{Layer, Variables};
use super::problems::{Problems, nearest, unknown};
use super::sections::{EventsSection, FunctionSection, Main, NOT_YET};
use super::tree::{Node, Table, Tree};
use crate::Registry;

/// Types of backends and sections that retainit has or will have, with the features that bring them.
pub(super) const FEATURES: [&str; 11] =
    ["memory", "disk", "redis", "s3", "mongo", "tiered", "logging", "audit", "prometheus", "datadog", "cloudwatch"];

/// What a configuration may say, given the plugins there are and the types of its backends.
pub(super) struct Schema<'a> {
    pub(super) registry: &'a Registry,
    /// Backends registered in code.
    pub(super) code: BTreeMap<&'a str, &'a dyn BackendConfig>,
    /// The type of every backend that has one.
    pub(super) types: BTreeMap<String, String>,
    /// What sources said of the types of backends that another source has changed.
    pub(super) replaced: BTreeMap<String, Replaced>,
    /// For references of secrets.
    variables: &'a Variables,
    folder: PathBuf,
    /// Whether references of secrets are followed; those of a profile that was not chosen lead nowhere here.
    follows_secrets: bool,
}

/// Types of a backend that do not hold.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    /// The number of the layer whose type holds.
    by: usize,
    pub(super) types: BTreeSet<String>,
}

/// Fields that mean the same for every type of backend.
const COMMON: [&str; 5] = ["ttl", "jitter", "max_idle", "serializer", "codec"];

impl<'a> Schema<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        code: BTreeMap<&'a str, &'a dyn BackendConfig>,
        variables: &'a Variables,
        folder: PathBuf,
    ) -> Schema<'a> {
        let (types, replaced) = (BTreeMap::new(), BTreeMap::new());
        Schema { registry, code, types, replaced, variables, folder, follows_secrets: true }
    }

    /// Takes the types of backends from layers, the highest first; code comes before them.
    pub(super) fn learn_types(&mut self, layers: &[Layer], problems: &mut Problems) {
        self.types = self.code.iter().map(|(name, all)| ((*name).to_owned(), all.type_name().to_owned())).collect();
        self.replaced.clear();
        let tables = layers.iter().filter_map(|layer| layer.table.get("backends")?.table());
        let names: BTreeSet<&String> = tables.flat_map(BTreeMap::keys).collect();
        for name in names {
            let path = ["backends", name.as_str(), "type"];
            if let Some(in_code) = self.types.get(name) {
                for (layer, node, other) in declared(layers, name).filter(|(.., other)| *other != in_code) {
                    let text = format!("expected `{in_code}`, the type of this backend in code, got `{other}`");
                    problems.add(&layer.place(node), &path, text);
                }
                continue;
            }
            let Some(by) = holder(layers, &path) else { continue };
            let Some((.., type_name)) = declared(&layers[by..], name).next() else { continue };
            let others = declared(layers, name).map(|(.., other)| other.clone()).filter(|other| other != type_name);
            let types: BTreeSet<String> = others.collect();
            if !types.is_empty() {
                self.replaced.insert(name.clone(), Replaced { by, types });
            }
            self.types.insert(name.clone(), type_name.clone());
        }
    }

    /// Checks a profile that was not chosen as it would stand above the others.
    pub(super) fn check_alone(&self, profile: &Layer, layers: &[Layer], problems: &mut Problems) {
        let mut schema = Schema::new(self.registry, self.code.clone(), self.variables, self.folder.clone());
        schema.follows_secrets = false;
        let all: Vec<Layer> = [profile].into_iter().chain(layers).cloned().collect();
        schema.learn_types(&all, problems);
        schema.check(0, profile, problems);
    }

    /// Whether a section's plugin is linked, if it needs one.
    pub(super) fn is_possible(&self, section: &str) -> bool {
        !FEATURES[6..].contains(&section) || self.registry.subscriber(section).is_some()
    }

    /// A configuration of this backend's type to try values on; `None` for a type that is not linked.
    pub(super) fn backend(&self, name: &str) -> Option<Box<dyn BackendConfig>> {
        let made = self.code.get(name).map(|config| config.to_box());
        made.or_else(|| self.registry.backend(self.types.get(name)?))
    }

    /// The layer of a number, with one name per key and only values that can be used.
    pub(super) fn check(&self, number: usize, layer: &Layer, problems: &mut Problems) -> Table {
        let mut check = Check { schema: self, number, layer, problems, checked: Table::new() };
        check.root();
        check.checked
    }

    /// A path with the names of fields in place of their other names.
    pub(super) fn canonical(&self, path: &[String]) -> Vec<String> {
        let (Some(last), parts) = (path.last(), path.iter().map(String::as_str).collect::<Vec<_>>()) else {
            return Vec::new();
        };
        let fields = match parts.as_slice() {
            [_] => Main::default().fields(),
            ["backends", name, _] => self.backend(name).map_or(&[][..], |config| config.fields()),
            ["functions", _, _] | ["override", "functions", _, _] => FunctionSection::default().fields(),
            ["events", _] => EventsSection::default().fields(),
            [section, _] => self.registry.subscriber(section).map_or(&[][..], |config| config.fields()),
            _ => &[],
        };
        let name = fields.iter().find(|field| field.is_called(last)).map_or(last.as_str(), |field| field.name);
        [&path[..path.len() - 1], &[name.to_owned()]].concat()
    }
}

/// The layers that declare a backend, with its type.
fn declared<'a>(layers: &'a [Layer], backend: &str) -> impl Iterator<Item = (&'a Layer, &'a Node, &'a String)> {
    layers.iter().filter_map(move |layer| {
        let node = layer.table.get("backends")?.table()?.get(backend)?.table()?.get("type")?;
        match &node.tree {
            Tree::Leaf(Value::String(name)) => Some((layer, node, name)),
            _ => None,
        }
    })
}

struct Check<'a> {
    schema: &'a Schema<'a>,
    number: usize,
    layer: &'a Layer,
    problems: &'a mut Problems,
    checked: Table,
}

const OWN: [&str; 6] = ["backends", "functions", "override", "events", "enforced", "plugins"];

/// Whether a key below `retainit` has a meaning without any plugin, so that no plugin's section can be called so.
pub(crate) fn is_own_key(name: &str) -> bool {
    OWN.contains(&name) || name == "profiles" || Main::default().fields().iter().any(|field| field.is_called(name))
}

impl Check<'_> {
    fn root(&mut self) {
        let (own, rest): (Table, Table) =
            self.layer.table.clone().into_iter().partition(|(name, _)| self.is_part(name));
        let mut main = Main::default();
        let mut sections = OWN.map(str::to_owned).to_vec();
        sections.extend(self.schema.registry.names("subscriber"));
        let also: Vec<&str> = sections.iter().map(String::as_str).chain(["profiles"]).collect();
        self.checked = self.fields(&mut main, &[], &rest, &also);
        for (name, node) in own {
            let Some(table) = self.table(&[&name], &node) else {
                self.checked.extend(node.is_null().then_some((name, node)));
                continue;
            };
            let checked = match name.as_str() {
                "backends" => self.backends(&table),
                "functions" => self.functions(&["functions"], &table),
                "override" => self.overrides(&table),
                "events" => self.fields(&mut EventsSection::default(), &["events"], &table, &[]),
                "plugins" => self.plugins(&table),
                _ => self.subscriber(&name, &node, &table),
            };
            self.checked.insert(name, Node { tree: Tree::Table(checked), ..node });
        }
        if let Some(node) = self.layer.table.get("enforced") {
            self.checked.insert("enforced".to_owned(), node.clone());
        }
    }

    fn is_part(&self, name: &str) -> bool {
        let known = OWN.contains(&name) && name != "enforced";
        known || self.schema.registry.subscriber(name).is_some() || FEATURES[6..].contains(&name)
    }

    fn add(&mut self, node: &Node, path: &[&str], text: impl AsRef<str>) {
        self.problems.add(&self.layer.place(node), path, text);
    }

    fn table(&mut self, path: &[&str], node: &Node) -> Option<Table> {
        match &node.tree {
            Tree::Table(table) => Some(table.clone()),
            Tree::Leaf(Value::Null) => None,
            Tree::Leaf(_) => {
                self.add(node, path, "expected a table of keys");
                None
            }
        }
    }

    /// Tries every key of a table on a section.
    fn fields(&mut self, section: &mut dyn Section, path: &[&str], table: &Table, also: &[&str]) -> Table {
        let (mut checked, mut called) = (Table::new(), BTreeMap::new());
        for (name, node) in table {
            let at = [path, &[name.as_str()]].concat();
            if path.is_empty() && name == "enforced" {
                continue;
            }
            let Some(field) = section.fields().iter().find(|field| field.is_called(name)) else {
                let fields = section.fields().iter();
                let names = fields.flat_map(|field| [field.name].into_iter().chain(field.aliases.iter().copied()));
                let text = unknown("key", name, names.chain(also.iter().copied()));
                let later = path.first().is_some_and(|first| *first == "functions" || *first == "override");
                let text = if later && NOT_YET.contains(&name.as_str()) {
                    "this version does not support it yet".to_owned()
                } else {
                    text
                };
                self.add(node, &at, text);
                continue;
            };
            if let Some(other) = called.insert(field.name, name) {
                self.add(node, &at, format!("`{other}` sets the same: remove one"));
                continue;
            }
            if node.is_null() {
                checked.insert(field.name.to_owned(), node.clone());
                continue;
            }
            match self.try_field(section, field, node) {
                Ok(value) => {
                    checked.insert(field.name.to_owned(), Node { tree: Tree::Leaf(value), ..node.clone() });
                }
                Err(text) => self.add(node, &at, text),
            }
        }
        checked
    }

    /// The value as the section takes it: a variable's text may stand for a number, a secret's for a place.
    fn try_field(&self, section: &mut dyn Section, field: &Field, node: &Node) -> Result<Value, String> {
        let mut value = node.value();
        if let (true, true, Some(text)) = (field.secret, self.schema.follows_secrets, value.as_str()) {
            value = Value::from(self.schema.secret(text)?);
        }
        section.set(field.name, &value).map(|()| value.clone()).or_else(|problem| {
            let text =
                value.as_str().filter(|_| node.variable.is_some() && !field.secret).ok_or_else(|| problem.clone())?;
            let number = serde_json::from_str(&text.replace('_', "")).map_err(|_| problem.clone())?;
            section.set(field.name, &number).map(|()| number).map_err(|_| problem)
        })
    }

    fn backends(&mut self, backends: &Table) -> Table {
        let mut checked = Table::new();
        for (name, node) in backends {
            let path = ["backends", name.as_str()];
            let Some(mut table) = self.table(&path, node) else {
                checked.extend(node.is_null().then(|| (name.clone(), node.clone())));
                continue;
            };
            let declared = table.remove("type").filter(|node| !node.is_null());
            if let Some(node) = &declared {
                self.backend_type(&path, node);
            }
            let Some(type_name) = self.schema.types.get(name) else {
                if declared.is_none() {
                    let types = self.schema.registry.names("backend").join("`, `");
                    self.add(node, &path, format!("a backend needs a `type`; there are: `{types}`"));
                }
                continue;
            };
            let config = self.schema.backend(name);
            let stays = |field: &str| match &config {
                Some(config) => config.fields().iter().any(|known| known.is_called(field)),
                None => COMMON.contains(&field),
            };
            table.retain(|field, node| stays(field) || !self.falls_away(name, field, node));
            let mut fields = match config {
                Some(mut config) => self.fields(&mut *config, &path, &table, &["type"]),
                // Only its plugin knows what they mean.
                None => table,
            };
            let of_type = declared.unwrap_or_else(|| Node::at(None, Tree::Leaf(Value::from(type_name.as_str()))));
            if of_type.line.is_some() || of_type.variable.is_some() {
                fields.insert("type".to_owned(), of_type);
            }
            checked.insert(name.clone(), Node { tree: Tree::Table(fields), ..node.clone() });
        }
        checked
    }

    /// Whether a field says nothing here: it belongs to a type of the backend that a layer above has changed, or takes
    /// such a field back.
    fn falls_away(&self, backend: &str, field: &str, node: &Node) -> bool {
        let Some(replaced) = self.schema.replaced.get(backend) else { return false };
        let own = declared(std::slice::from_ref(self.layer), backend).next();
        let is_below = match own {
            Some((.., own)) => self.schema.types.get(backend) != Some(own),
            None => self.number > replaced.by,
        };
        let knows = |name: &String| match self.schema.registry.backend(name) {
            Some(config) => config.fields().iter().any(|known| known.is_called(field)),
            None => true,
        };
        (is_below || node.is_null()) && replaced.types.iter().any(knows)
    }

    fn backend_type(&mut self, path: &[&str], node: &Node) {
        let path = [path, &["type"]].concat();
        let linked = self.schema.registry.names("backend");
        let Tree::Leaf(Value::String(name)) = &node.tree else {
            return self.add(node, &path, format!("expected the name of a backend's type: `{}`", linked.join("`, `")));
        };
        let is_known = FEATURES.contains(&name.as_str()) || linked.contains(name);
        let in_code = self.schema.code.values().any(|config| config.type_name() == name);
        let names = linked.iter().map(String::as_str).chain(FEATURES[..6].iter().copied());
        if let (false, false, Some(nearest)) = (is_known, in_code, nearest(name, names)) {
            self.add(node, &path, format!("unknown type `{name}`; did you mean `{nearest}`?"));
        }
    }

    fn functions(&mut self, path: &[&str], functions: &Table) -> Table {
        let mut checked = Table::new();
        for (id, node) in functions {
            let at = [path, &[id.as_str()]].concat();
            let Some(table) = self.table(&at, node) else {
                checked.extend(node.is_null().then(|| (id.clone(), node.clone())));
                continue;
            };
            let fields = self.fields(&mut FunctionSection::default(), &at, &table, &[]);
            checked.insert(id.clone(), Node { tree: Tree::Table(fields), ..node.clone() });
        }
        checked
    }

    fn overrides(&mut self, table: &Table) -> Table {
        let mut checked = Table::new();
        for (name, node) in table {
            match (name.as_str(), self.table(&["override", name], node)) {
                ("functions", Some(functions)) => {
                    let functions = self.functions(&["override", "functions"], &functions);
                    checked.insert(name.clone(), Node { tree: Tree::Table(functions), ..node.clone() });
                }
                ("functions", None) => checked.extend(node.is_null().then(|| (name.clone(), node.clone()))),
                _ => self.add(node, &["override", name], unknown("key", name, ["functions"])),
            }
        }
        checked
    }

    fn plugins(&mut self, table: &Table) -> Table {
        for (name, node) in table {
            self.add(node, &["plugins", name], "this version cannot load plugins from files: link the plugin's crate");
        }
        Table::new()
    }

    fn subscriber(&mut self, name: &str, node: &Node, table: &Table) -> Table {
        match self.schema.registry.subscriber(name) {
            Some(mut config) => self.fields(&mut *config, &[name], table, &[]),
            None => {
                self.add(node, &[name], not_linked("section", name));
                Table::new()
            }
        }
    }
}

/// The default as a profile's value; an empty text where there is none.
pub(super) fn default_value(field: &Field) -> Value {
    serde_json::from_str(&field.default.replace('_', "")).unwrap_or_else(|_| Value::from(field.default))
}

/// What to do about a plugin that is not in the program.
pub(super) fn not_linked(what: &str, name: &str) -> String {
    let remedy = if FEATURES.contains(&name) {
        format!("turn on the feature `{name}` of `retainit`")
    } else {
        "name its crate in the program, as in `use foo as _;`".to_owned()
    };
    format!("the {what} `{name}` is not linked into this program: {remedy}")
}

impl Schema<'_> {
    /// What a secret's text stands for: itself, `env:NAME` or `file:/path`.
    fn secret(&self, text: &str) -> Result<String, String> {
        if let Some(name) = text.strip_prefix("env:") {
            let refuse = |why: &str| Err(format!("the environment variable {name} {why}"));
            return match self.variables.get(name).map(|said| said.text.as_deref()) {
                None => refuse("is not set"),
                Some(None) => refuse("is not valid UTF-8"),
                Some(Some("")) => refuse("is empty"),
                Some(Some(text)) => Ok(text.to_owned()),
            };
        }
        let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
        let found = fs::read_to_string(self.folder.join(path));
        let found = found.map_err(|error| format!("the file {path} cannot be read: {error}"))?;
        match found.strip_suffix('\n').map_or(found.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)) {
            "" => Err(format!("the file {path} is empty")),
            text => Ok(text.to_owned()),
        }
    }
}
