//! Sources of settings: the main file, its profiles, the environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use retainit_plugin::read_file;

use super::env::{CONFIG, PROFILE};
use super::location::Location;
use super::problems::{Problems, there_are};
use super::tree::{FileFormat, Table, Tree, TreeNode, Unreadable};

/// One source of settings; `table` is the content of its `retainit` table.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Name in messages: the path of the file, as it was given.
    pub(super) name: String,
    pub(super) table: Table,
}

impl Layer {
    /// Returns the place of a key: `retainit.toml:12`, or the environment variable's name.
    pub(super) fn place(&self, node: &TreeNode) -> Location {
        match (&node.variable, node.line) {
            (_, Some(line)) => Location::line(&self.name, line),
            (Some(variable), None) => variable.as_str().into(),
            (None, None) => self.name.as_str().into(),
        }
    }
}

/// Value of a variable.
#[derive(Clone, Debug)]
pub(super) struct EnvValue {
    /// `None` for a value that is not UTF-8.
    pub(super) text: Option<String>,
    /// Its line in a `.env` file; the process's own variables have none.
    pub(super) line: Option<usize>,
}

/// Environment variables, by name.
pub(super) type Variables = BTreeMap<String, EnvValue>;

/// Returns the text of a variable that is set and not empty.
pub(super) fn text_of(variables: &Variables, name: &str) -> Option<String> {
    variables.get(name)?.text.clone().filter(|text| !text.is_empty())
}

/// Files of a configuration, highest first.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) layers: Vec<Layer>,
    /// Profiles in the main file that were not chosen.
    pub(super) others: Vec<Layer>,
    /// Variables from a `.env` file that was named as main file.
    pub(super) variables: Option<(String, Variables)>,
    /// Folder to which the paths of secrets are relative.
    pub(super) folder: PathBuf,
}

/// Limit on the length of a file of settings: enough for more than a hundred thousand functions.
const MAX_LEN: u64 = 16 << 20;

const MAIN_FILES: [&str; 3] = ["retainit.toml", "retainit.yaml", "retainit.json"];

/// Selection of the files to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileSelection {
    /// The main file.
    pub(crate) file: Option<PathBuf>,
    /// Looks for a main file in the working directory where none is given.
    pub(crate) search: bool,
    pub(crate) profile: Option<String>,
}

impl Files {
    /// Reads the files. The profile is the wanted one, else the one that a main file of variables names, else that of
    /// the environment.
    pub(super) fn read(wanted: &FileSelection, environment: Option<String>, problems: &mut Problems) -> Files {
        // The main file comes first: it determines the folder of profiles and secrets, and may name the profile.
        let main = match (&wanted.file, wanted.search) {
            (Some(file), _) => Some(file.clone()),
            (None, true) => search(problems),
            (None, false) => None,
        };
        let folder = main.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let mut files = Files { folder, ..Files::default() };
        let main = main.and_then(|path| files.main(&path, problems));
        let in_file = files.variables.as_ref().and_then(|(_, variables)| text_of(variables, PROFILE));
        let profile = wanted.profile.clone().or(in_file).or(environment);
        files.profile(main, profile.as_deref(), problems);
        files
    }

    /// Reads the main file; returns it without its inline profiles, and those.
    fn main(&mut self, path: &Path, problems: &mut Problems) -> Option<(Layer, Table)> {
        let name = path.display().to_string();
        let Some(format) = FileFormat::of(path) else {
            problems.add(name.as_str(), &[], "expected a file that ends in .toml, .yaml, .json or .env");
            return None;
        };
        let text = read_text(path, problems)?;
        if format == FileFormat::Env {
            self.variables = Some((name.clone(), variables(&name, &text, problems)));
            return Some((Layer { name, table: Table::new() }, Table::new()));
        }
        let mut layer = parse(name, format, &text, problems)?;
        let inline = match layer.table.remove("profiles").map(|node| (layer.place(&node), node)) {
            None => Table::new(),
            Some((_, TreeNode { tree: Tree::Table(table), .. })) => table,
            Some((place, _)) => {
                problems.add(&place, &["profiles"], "expected a table of profiles");
                Table::new()
            }
        };
        Some((layer, inline))
    }

    /// Pushes the layers in their order: the profile's file, the profile in the main file, then the main file.
    fn profile(&mut self, main: Option<(Layer, Table)>, profile: Option<&str>, problems: &mut Problems) {
        if let Some((main, inline)) = &main {
            self.inline(main, inline, profile, problems);
        }
        let Some(profile) = profile else {
            self.layers.extend(main.map(|(layer, _)| layer));
            return;
        };
        // The name becomes part of a path.
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
            if let Some(table) = inline.get(profile).and_then(TreeNode::table) {
                self.layers.push(Layer { name: layer.name.clone(), table: table.clone() });
            }
            self.layers.push(layer);
        }
        known.sort();
        known.dedup();
        if !known.iter().any(|name| name == profile) {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let guess = problems.compared().did_you_mean(profile, &names);
            let known = there_are(known.iter());
            problems.add("profile", &[], format!("there is no profile `{profile}`{guess} ({known})"));
        }
    }

    /// Notes the profiles of the main file that are not chosen, so that they are checked too.
    fn inline(&mut self, main: &Layer, inline: &Table, chosen: Option<&str>, problems: &mut Problems) {
        for (name, node) in inline {
            match &node.tree {
                Tree::Table(table) if chosen != Some(name) => {
                    self.others.push(Layer { name: main.name.clone(), table: table.clone() });
                }
                Tree::Leaf(value) if !value.is_null() => {
                    problems.add(main.place(node), &["profiles", name], "expected a table of keys");
                }
                _ => {}
            }
        }
    }

    fn profile_file(&self, folder: &Path, profile: &str, problems: &mut Problems) -> Option<Layer> {
        let there =
            FileFormat::EXTENSIONS.map(|(extension, format)| (folder.join(format!("{profile}.{extension}")), format));
        let there: Vec<_> = there.into_iter().filter(|(path, _)| is_there(path)).collect();
        if let [(first, _), (second, _), ..] = there.as_slice() {
            let text = format!("two files for one profile, {} too: remove one", second.display());
            problems.add(&*first.display().to_string(), &[], text);
        }
        let (path, format) = there.into_iter().next()?;
        let text = read_text(&path, problems)?;
        let mut layer = parse(path.display().to_string(), format, &text, problems)?;
        if let Some(node) = layer.table.remove("profiles") {
            problems.add(layer.place(&node), &["profiles"], "a profile has no profiles of its own");
        }
        Some(layer)
    }
}

/// Finds the one main file of the working directory.
fn search(problems: &mut Problems) -> Option<PathBuf> {
    let mut found = MAIN_FILES.iter().map(PathBuf::from).filter(|path| is_there(path));
    let first = found.next()?;
    if let Some(second) = found.next() {
        let text = format!(
            "two main files in one folder, {} too: remove one, or name one in RETAINIT_CONFIG",
            second.display()
        );
        problems.add(&*first.display().to_string(), &[], text);
    }
    Some(first)
}

/// Returns true if anything has this name. A folder or a broken link is then reported by the read, instead of being
/// passed over.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn profiles_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let names = paths.filter(|path| FileFormat::of(path).is_some_and(|format| format != FileFormat::Env));
    names.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

fn read_text(path: &Path, problems: &mut Problems) -> Option<String> {
    match read_file(path, MAX_LEN) {
        Ok(text) => Some(text),
        Err(error) => {
            problems.add(&*path.display().to_string(), &[], format!("cannot be read: {error}"));
            None
        }
    }
}

/// Reads a file and returns its `retainit` table, or `tool.retainit` of a file of several tools.
pub(super) fn parse(name: String, format: FileFormat, text: &str, problems: &mut Problems) -> Option<Layer> {
    let mut root = match format.read(text) {
        Ok(root) => root,
        Err(error) => {
            unreadable(&name, &error, problems);
            return None;
        }
    };
    let layer = |table| Layer { name: name.clone(), table };
    let of_tool = root.get("tool").and_then(TreeNode::table).and_then(|tools| tools.get("retainit")).cloned();
    let node = match (root.remove("retainit"), of_tool) {
        (Some(node), _) => {
            for (key, node) in root.iter().filter(|(key, _)| *key != "tool") {
                let text = "unknown key; everything of retainit is below `[retainit]`";
                problems.add(layer(Table::new()).place(node), &[key], text);
            }
            node
        }
        (None, Some(node)) => node,
        (None, None) => {
            for (key, node) in &root {
                let text = format!("unknown key; did you mean `[retainit.{key}]`?");
                problems.add(layer(Table::new()).place(node), &[key], text);
            }
            return Some(layer(Table::new()));
        }
    };
    match node.tree {
        Tree::Table(table) => Some(layer(table)),
        Tree::Leaf(retainit_plugin::Value::Null) => Some(layer(Table::new())),
        Tree::Leaf(_) => {
            problems.add(layer(Table::new()).place(&node), &["retainit"], "expected a table of keys");
            None
        }
    }
}

fn unreadable(name: &str, error: &Unreadable, problems: &mut Problems) {
    let place = error.line.map_or_else(|| Location::from(name), |line| Location::line(name, line));
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let key = match path.as_slice() {
        ["retainit", below @ ..] if !below.is_empty() => below,
        all => all,
    };
    problems.add(place, key, error.problem.as_str());
}

/// Reads `NAME=value` lines; blank ones and those that begin with `#` are skipped.
fn variables(name: &str, text: &str, problems: &mut Problems) -> Variables {
    let mut variables = Variables::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = Location::line(name, number);
        let (variable, value) = match variable(line) {
            Ok(pair) => pair,
            Err(problem) => {
                problems.add(&place, &[], problem);
                continue;
            }
        };
        if variable == CONFIG {
            problems.add(&place, &[variable], "this is the main file already: name it in the environment or in code");
        }
        if let Some(other) = variables.insert(variable.to_owned(), EnvValue { text: Some(value), line: Some(number) }) {
            let first = other.line.unwrap_or_default();
            problems.add(&place, &[variable], format!("line {first} sets the same: remove one"));
        }
    }
    variables
}

/// Splits a line into name and value.
fn variable(line: &str) -> Result<(&str, String), &'static str> {
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=').ok_or("expected NAME=value")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("expected NAME=value, with a name of letters, digits and `_`");
    }
    let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        return Ok((name, value.to_owned()));
    };
    let unquoted = value[1..].strip_suffix(quote).ok_or("expected NAME=value: a quote has no end")?;
    Ok((name, unquoted.to_owned()))
}
