//! Where settings come from: the main file, its profiles, the environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::problems::{Problems, nearest};
use super::tree::{Format, Node, Table, Tree};

/// One source of settings; `table` is what lies below `retainit`.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// As messages call it: the path of the file, as it was given.
    pub(super) name: String,
    pub(super) table: Table,
}

impl Layer {
    /// Where a key is: `retainit.toml:12`, or the environment variable's name.
    pub(super) fn place(&self, node: &Node) -> String {
        match (&node.variable, node.line) {
            (Some(variable), _) => variable.clone(),
            (None, Some(line)) => format!("{}:{line}", self.name),
            (None, None) => self.name.clone(),
        }
    }
}

/// Environment variables, by name.
pub(super) type Variables = BTreeMap<String, String>;

/// The files of a configuration, highest first.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) layers: Vec<Layer>,
    /// Variables from a `.env` file that was named as main file.
    pub(super) variables: Option<(String, Variables)>,
    /// Paths of secrets are relative to this folder.
    pub(super) folder: PathBuf,
}

const MAIN_FILES: [&str; 3] = ["retainit.toml", "retainit.yaml", "retainit.json"];

/// Which files to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The main file.
    pub(crate) file: Option<PathBuf>,
    /// Without a main file, look for one in the working directory.
    pub(crate) search: bool,
    pub(crate) profile: Option<String>,
}

impl Files {
    pub(super) fn read(wanted: &Wanted, problems: &mut Problems) -> Files {
        let main = match (&wanted.file, wanted.search) {
            (Some(file), _) => Some(file.clone()),
            (None, true) => search(problems),
            (None, false) => None,
        };
        let folder = main.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let mut files = Files { folder, ..Files::default() };
        let main = main.and_then(|path| files.main(&path, problems));
        files.profile(main, wanted.profile.as_deref(), problems);
        files
    }

    /// The main file without its inline profiles, and those.
    fn main(&mut self, path: &Path, problems: &mut Problems) -> Option<(Layer, Table)> {
        let name = path.display().to_string();
        let Some(format) = Format::of(path) else {
            problems.add(&name, &[], "expected a file that ends in .toml, .yaml, .json or .env");
            return None;
        };
        let text = read_text(path, problems)?;
        if format == Format::Env {
            self.variables = Some((name.clone(), variables(&name, &text, problems)));
            return Some((Layer { name, table: Table::new() }, Table::new()));
        }
        let mut layer = parse(name, format, &text, problems)?;
        let inline = match layer.table.remove("profiles").map(|node| (layer.place(&node), node)) {
            None => Table::new(),
            Some((_, Node { tree: Tree::Table(table), .. })) => table,
            Some((place, _)) => {
                problems.add(&place, &["profiles"], "expected a table of profiles");
                Table::new()
            }
        };
        Some((layer, inline))
    }

    /// The profile's file, the profile in the main file, then the main file.
    fn profile(&mut self, main: Option<(Layer, Table)>, profile: Option<&str>, problems: &mut Problems) {
        let Some(profile) = profile else {
            self.layers.extend(main.map(|(layer, _)| layer));
            return;
        };
        if profile.contains(['/', '\\']) || profile.starts_with('.') {
            problems.add("profile", &[], format!("`{profile}` is no name of a profile"));
            return;
        }
        let folder = self.folder.join("profiles");
        let found = self.profile_file(&folder, profile, problems);
        let mut known = profiles_in(&folder);
        self.layers.extend(found.clone());
        if let Some((layer, inline)) = main {
            known.extend(inline.keys().cloned());
            match inline.get(profile) {
                Some(Node { tree: Tree::Table(table), .. }) => {
                    self.layers.push(Layer { name: layer.name.clone(), table: table.clone() });
                }
                Some(node) => problems.add(&layer.place(node), &["profiles", profile], "expected a table of keys"),
                None => {}
            }
            self.layers.push(layer);
        }
        known.sort();
        known.dedup();
        if !known.iter().any(|name| name == profile) {
            let guess = nearest(profile, known.iter().map(String::as_str));
            let guess = guess.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let known =
                if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
            problems.add("profile", &[], format!("there is no profile `{profile}`{guess} ({known})"));
        }
    }

    fn profile_file(&self, folder: &Path, profile: &str, problems: &mut Problems) -> Option<Layer> {
        let there =
            Format::EXTENSIONS.map(|(extension, format)| (folder.join(format!("{profile}.{extension}")), format));
        let there: Vec<_> = there.into_iter().filter(|(path, _)| path.is_file()).collect();
        if let [(first, _), (second, _), ..] = there.as_slice() {
            let text = format!("two files for one profile, {} too: remove one", second.display());
            problems.add(&first.display().to_string(), &[], text);
        }
        let (path, format) = there.into_iter().next()?;
        let text = read_text(&path, problems)?;
        let mut layer = parse(path.display().to_string(), format, &text, problems)?;
        if let Some(node) = layer.table.remove("profiles") {
            problems.add(&layer.place(&node), &["profiles"], "a profile has no profiles of its own");
        }
        Some(layer)
    }
}

/// The one main file of the working directory.
fn search(problems: &mut Problems) -> Option<PathBuf> {
    let mut found = MAIN_FILES.iter().map(PathBuf::from).filter(|path| path.is_file());
    let first = found.next()?;
    if let Some(second) = found.next() {
        let text = format!(
            "two main files in one folder, {} too: remove one, or name one in RETAINIT_CONFIG",
            second.display()
        );
        problems.add(&first.display().to_string(), &[], text);
    }
    Some(first)
}

fn profiles_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let names = paths.filter(|path| Format::of(path).is_some_and(|format| format != Format::Env));
    names.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

fn read_text(path: &Path, problems: &mut Problems) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            problems.add(&path.display().to_string(), &[], format!("cannot be read: {error}"));
            None
        }
    }
}

/// Reads a file and takes what lies below `retainit`, or `tool.retainit` in a file of several tools.
pub(super) fn parse(name: String, format: Format, text: &str, problems: &mut Problems) -> Option<Layer> {
    let mut root = match format.read(text) {
        Ok(root) => root,
        Err(error) => {
            let place = error.line.map_or_else(|| name.clone(), |line| format!("{name}:{line}"));
            problems.add(&place, &[], error.problem);
            return None;
        }
    };
    let layer = |table| Layer { name: name.clone(), table };
    let of_tool = root.get("tool").and_then(Node::table).and_then(|tools| tools.get("retainit")).cloned();
    let node = match (root.remove("retainit"), of_tool) {
        (Some(node), _) => {
            for (key, node) in root.iter().filter(|(key, _)| *key != "tool") {
                let text = "unknown key; everything of retainit lies below `[retainit]`";
                problems.add(&layer(Table::new()).place(node), &[key], text);
            }
            node
        }
        (None, Some(node)) => node,
        (None, None) => {
            for (key, node) in &root {
                let text = format!("unknown key; did you mean `[retainit.{key}]`?");
                problems.add(&layer(Table::new()).place(node), &[key], text);
            }
            return Some(layer(Table::new()));
        }
    };
    match node.tree {
        Tree::Table(table) => Some(layer(table)),
        Tree::Leaf(retainit_plugin::Value::Null) => Some(layer(Table::new())),
        Tree::Leaf(_) => {
            problems.add(&layer(Table::new()).place(&node), &["retainit"], "expected a table of keys");
            None
        }
    }
}

/// `NAME=value` lines; blank ones and those that begin with `#` say nothing.
fn variables(name: &str, text: &str, problems: &mut Problems) -> Variables {
    let mut variables = Variables::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix("export ").unwrap_or(line).split_once('=') {
            Some((variable, value)) => {
                let value = value.trim();
                let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
                variables.insert(variable.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
            }
            None => problems.add(&format!("{name}:{}", number + 1), &[], "expected NAME=value"),
        }
    }
    variables
}
