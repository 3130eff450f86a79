//! Schema of a layer: each key is known, has one name and a usable value, or is reported as a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use retainit_plugin::{BackendConfig, Field, Section, Value, read_file};

use super::enforce::Stack;
use super::layer::{Layer, Variables};
use super::problems::Problems;
use super::sections::{EventsSection, FunctionSection, Main, NOT_YET};
use super::tree::{Table, Tree, TreeNode};
use crate::Registry;
use crate::options::is_inherited;

/// Keys and values that a configuration may have, given the linked plugins and the types of its backends.
pub(super) struct Schema<'a> {
    pub(super) registry: &'a Registry,
    /// Backends registered in code.
    pub(super) code: BTreeMap<&'a str, &'a dyn BackendConfig>,
    /// The type of every backend that has one.
    pub(super) types: BTreeMap<String, String>,
    /// Types of backends that a higher source has replaced.
    pub(super) replaced: BTreeMap<String, Replaced>,
    /// Variables for references of secrets.
    variables: &'a Variables,
    folder: PathBuf,
    /// Follows references of secrets if true. Those of a profile that was not chosen may have no target on this
    /// machine.
    follows_secrets: bool,
}

/// Replaced types of a backend.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    /// Number of the layer whose type takes effect.
    by: usize,
    pub(super) types: BTreeSet<String>,
}

/// Limit on the length of a secret's file: certificates and keys are far below.
const MAX_SECRET: u64 = 1 << 20;

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

    /// Takes the types of backends from layers, the highest first; code takes precedence.
    pub(super) fn learn_types(&mut self, stack: &Stack<'_>, problems: &mut Problems) {
        self.types = self.code.iter().map(|(name, all)| ((*name).to_owned(), all.type_name().to_owned())).collect();
        self.replaced.clear();
        let names = stack.layers().flat_map(names_of_backends).collect();
        self.learn_types_of(names, stack, problems);
    }

    fn learn_types_of(&mut self, names: BTreeSet<&String>, stack: &Stack<'_>, problems: &mut Problems) {
        for name in names {
            let path = ["backends", name.as_str(), "type"];
            if let Some(in_code) = self.types.get(name) {
                for (layer, node, other) in declared(stack.layers(), name).filter(|(.., other)| *other != in_code) {
                    let text = format!("expected `{in_code}`, the type of this backend in code, got `{other}`");
                    problems.add(layer.place(node), &path, text);
                }
                continue;
            }
            let Some(by) = stack.holder(&path) else { continue };
            let Some((.., type_name)) = declared(stack.layers().skip(by), name).next() else { continue };
            let others =
                declared(stack.layers(), name).map(|(.., other)| other.clone()).filter(|other| other != type_name);
            let types: BTreeSet<String> = others.collect();
            if !types.is_empty() {
                self.replaced.insert(name.clone(), Replaced { by, types });
            }
            self.types.insert(name.clone(), type_name.clone());
        }
    }

    /// Checks a profile that was not chosen, as if it were the highest layer.
    pub(super) fn check_alone(&self, profile: &Layer, stack: &Stack<'_>, problems: &mut Problems) {
        let mut schema = Schema::new(self.registry, self.code.clone(), self.variables, self.folder.clone());
        schema.follows_secrets = false;
        schema.types = self.code.iter().map(|(name, all)| ((*name).to_owned(), all.type_name().to_owned())).collect();
        // Only the profile's own backends are resolved: with many profiles and many backends the rest would cost
        // quadratic time.
        schema.learn_types_of(names_of_backends(profile).collect(), &stack.below(profile), problems);
        schema.check(0, profile, problems);
    }

    /// Returns true if a section belongs to the engine or to a linked plugin.
    pub(super) fn is_possible(&self, section: &str) -> bool {
        is_own_key(section) || self.registry.subscriber(section).is_some()
    }

    /// Makes a configuration of this backend's type to try values on; `None` for a type that is not linked.
    pub(super) fn backend(&self, name: &str) -> Option<Box<dyn BackendConfig>> {
        let made = self.code.get(name).map(|config| config.to_box());
        made.or_else(|| self.registry.backend(self.types.get(name)?))
    }

    /// Checks a layer; returns it with one name per key and usable values only.
    pub(super) fn check(&self, number: usize, layer: &Layer, problems: &mut Problems) -> Table {
        let mut check = SectionCheck { schema: self, number, layer, problems, checked: Table::new() };
        check.root();
        check.checked
    }

    /// Replaces the last name of a path by the field's own name if it is an alias.
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

fn names_of_backends(layer: &Layer) -> impl Iterator<Item = &String> {
    layer.table.get("backends").and_then(TreeNode::table).into_iter().flat_map(BTreeMap::keys)
}

/// Iterates over the layers that declare a backend, with the node and the name of its type.
fn declared<'a>(
    layers: impl IntoIterator<Item = &'a Layer>,
    backend: &str,
) -> impl Iterator<Item = (&'a Layer, &'a TreeNode, &'a String)> {
    layers.into_iter().filter_map(move |layer| {
        let node = layer.table.get("backends")?.table()?.get(backend)?.table()?.get("type")?;
        match &node.tree {
            Tree::Leaf(Value::String(name)) => Some((layer, node, name)),
            _ => None,
        }
    })
}

struct SectionCheck<'a> {
    schema: &'a Schema<'a>,
    number: usize,
    layer: &'a Layer,
    problems: &'a mut Problems,
    checked: Table,
}

const OWN: [&str; 6] = ["backends", "functions", "override", "events", "enforced", "plugins"];

/// Returns true if the engine itself gives a key below `retainit` a meaning, so that no plugin's section may have this
/// name.
pub(crate) fn is_own_key(name: &str) -> bool {
    OWN.contains(&name) || name == "profiles" || Main::default().fields().iter().any(|field| field.is_called(name))
}

impl SectionCheck<'_> {
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
            self.checked.insert(name, TreeNode { tree: Tree::Table(checked), ..node });
        }
        if let Some(node) = self.layer.table.get("enforced") {
            self.checked.insert("enforced".to_owned(), node.clone());
        }
    }

    fn is_part(&self, name: &str) -> bool {
        let known = OWN.contains(&name) && name != "enforced";
        let registry = self.schema.registry;
        known || registry.subscriber(name).is_some() || registry.offered("subscriber").any(|offered| offered == name)
    }

    fn add(&mut self, node: &TreeNode, path: &[&str], text: impl Into<String>) {
        self.problems.add(self.layer.place(node), path, text);
    }

    fn table(&mut self, path: &[&str], node: &TreeNode) -> Option<Table> {
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
                let names: Vec<&str> = names.chain(also.iter().copied()).collect();
                let text = self.problems.compared().unknown("key", name, &names);
                let later = path.first().is_some_and(|first| *first == "functions" || *first == "override");
                let text = if later && NOT_YET.contains(&name.as_str()) {
                    "this version does not support it yet".to_owned()
                } else {
                    text
                };
                self.add(node, &at, text);
                continue;
            };
            // An alias and the name of its field, or two aliases: which of them is meant is unknown.
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
                    checked.insert(field.name.to_owned(), TreeNode { tree: Tree::Leaf(value), ..node.clone() });
                }
                Err(text) => self.add(node, &at, text),
            }
        }
        checked
    }

    /// Converts a value as the section takes it: the text of a variable may be a number, that of a secret a reference.
    fn try_field(&self, section: &mut dyn Section, field: &Field, node: &TreeNode) -> Result<Value, String> {
        let mut value = node.value();
        if let (true, true, Some(text)) = (field.secret, self.schema.follows_secrets, value.as_str()) {
            let secret = self.schema.secret(text)?;
            // Where it is read at each use, its place is kept, as seen from anywhere.
            value = match text.strip_prefix("file:") {
                _ if !field.deferred => Value::from(secret),
                Some(path) => Value::from(format!("file:{}", self.schema.folder.join(path).display())),
                None => value,
            };
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
            // The type may be declared by another layer; without any type the fields have no meaning. A declared type
            // that is no text has been reported already.
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
                // The fields that functions inherit have the same meaning for every type.
                None => is_inherited(field),
            };
            table.retain(|field, node| stays(field) || !self.falls_away(name, field, node));
            let mut fields = match config {
                Some(mut config) => self.fields(&mut *config, &path, &table, &["type"]),
                // Only the plugin of this type knows its fields; they are checked once it is linked.
                None => table,
            };
            let of_type = declared.unwrap_or_else(|| TreeNode::at(None, Tree::Leaf(Value::from(type_name.as_str()))));
            if of_type.line.is_some() || of_type.variable.is_some() {
                fields.insert("type".to_owned(), of_type);
            }
            checked.insert(name.clone(), TreeNode { tree: Tree::Table(fields), ..node.clone() });
        }
        checked
    }

    /// Returns true if a field is to be ignored: it belongs to a type of the backend that a layer above has replaced,
    /// or removes such a field.
    fn falls_away(&self, backend: &str, field: &str, node: &TreeNode) -> bool {
        let Some(replaced) = self.schema.replaced.get(backend) else { return false };
        let own = declared([self.layer], backend).next();
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

    fn backend_type(&mut self, path: &[&str], node: &TreeNode) {
        let path = [path, &["type"]].concat();
        let linked = self.schema.registry.names("backend");
        let Tree::Leaf(Value::String(name)) = &node.tree else {
            return self.add(node, &path, format!("expected the name of a backend's type: `{}`", linked.join("`, `")));
        };
        let offered: Vec<&str> = self.schema.registry.offered("backend").collect();
        let is_known = offered.contains(&name.as_str()) || linked.contains(name);
        let in_code = self.schema.code.values().any(|config| config.type_name() == name);
        let names = linked.iter().map(String::as_str).chain(offered);
        let nearest = self.problems.compared().nearest(name, &names.collect::<Vec<_>>());
        if let (false, false, Some(nearest)) = (is_known, in_code, nearest) {
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
            checked.insert(id.clone(), TreeNode { tree: Tree::Table(fields), ..node.clone() });
        }
        checked
    }

    fn overrides(&mut self, table: &Table) -> Table {
        let mut checked = Table::new();
        for (name, node) in table {
            match (name.as_str(), self.table(&["override", name], node)) {
                ("functions", Some(functions)) => {
                    let functions = self.functions(&["override", "functions"], &functions);
                    checked.insert(name.clone(), TreeNode { tree: Tree::Table(functions), ..node.clone() });
                }
                ("functions", None) => checked.extend(node.is_null().then(|| (name.clone(), node.clone()))),
                _ => {
                    let text = self.problems.compared().unknown("key", name, &["functions"]);
                    self.add(node, &["override", name], text);
                }
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

    fn subscriber(&mut self, name: &str, node: &TreeNode, table: &Table) -> Table {
        match self.schema.registry.subscriber(name) {
            Some(mut config) => self.fields(&mut *config, &[name], table, &[]),
            None => {
                self.add(node, &[name], not_linked("section", "subscriber", name));
                Table::new()
            }
        }
    }
}

/// Writes the default as a profile would; empty where there is none.
pub(super) fn shown_default(field: &Field) -> String {
    field.default.map_or_else(String::new, |default| written(&default.value()))
}

/// Writes a value as a profile would, texts without their quotes.
pub(super) fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Writes the remedy for a plugin of a kind that is not in the program; the configuration calls it a `what`.
pub(super) fn not_linked(what: &str, kind: &str, name: &str) -> String {
    let remedy = Registry::remedy(kind, name).unwrap_or("name its crate in the program, as in `use foo as _;`");
    format!("the {what} `{name}` is not linked into this program: {remedy}")
}

impl Schema<'_> {
    /// Resolves a secret's text: itself, `env:NAME` or `file:/path`.
    fn secret(&self, text: &str) -> Result<String, String> {
        if let Some(name) = text.strip_prefix("env:") {
            let refuse = |why: &str| Err(format!("the environment variable {name} {why}"));
            return match self.variables.get(name).map(|value| value.text.as_deref()) {
                None => refuse("is not set"),
                Some(None) => refuse("is not valid UTF-8"),
                Some(Some("")) => refuse("is empty"),
                Some(Some(text)) => Ok(text.to_owned()),
            };
        }
        let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
        let found = read_file(&self.folder.join(path), MAX_SECRET);
        let found = found.map_err(|error| format!("the file {path} cannot be read: {error}"))?;
        match found.strip_suffix('\n').map_or(found.as_str(), |text| text.strip_suffix('\r').unwrap_or(text)) {
            "" => Err(format!("the file {path} is empty")),
            text => Ok(text.to_owned()),
        }
    }
}
