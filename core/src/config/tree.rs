//! What a file says, with the line of every key: TOML, YAML and JSON read into one tree.

use std::collections::BTreeMap;
use std::path::Path;

use retainit_plugin::Value;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value or a table, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    /// The line of its key in a file.
    pub(super) line: Option<usize>,
    /// The environment variable, for what came from one: its text may stand for a number.
    pub(super) variable: Option<String>,
    pub(super) tree: Tree,
}

/// A table, or anything that is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Leaf(Value),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Node>;

impl Default for Tree {
    fn default() -> Tree {
        Tree::Table(Table::new())
    }
}

/// Why a file could not be read, and where.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) line: Option<usize>,
    /// Where it is about one key.
    pub(super) path: Vec<String>,
    pub(super) problem: String,
}

impl Unreadable {
    fn at(line: Option<usize>, problem: impl Into<String>) -> Unreadable {
        Unreadable { line, path: Vec::new(), problem: problem.into() }
    }

    fn below(mut self, key: &str) -> Unreadable {
        self.path.insert(0, key.to_owned());
        self
    }

    /// A key that is there again; `text` begins with it.
    fn twice(line: usize, text: &str) -> Unreadable {
        let key = match text.chars().next().filter(|first| ['"', '\''].contains(first)) {
            Some(quote) => text[1..].split(quote).next(),
            None => text.split([':', '=']).next(),
        };
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        Unreadable { path: key.iter().map(|key| (*key).to_owned()).collect(), ..Unreadable::at(Some(line), TWICE) }
    }
}

const TWICE: &str = "the key is there twice: remove one";

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Toml,
    Yaml,
    Json,
    /// `NAME=value` lines, as environment variables.
    Env,
}

impl Format {
    /// The extensions of main files and profiles.
    pub(super) const EXTENSIONS: [(&str, Format); 4] =
        [("toml", Format::Toml), ("yaml", Format::Yaml), ("yml", Format::Yaml), ("json", Format::Json)];

    pub(super) fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        let env = (extension == "env").then_some(Format::Env);
        Format::EXTENSIONS.iter().find(|(name, _)| *name == extension).map(|(_, format)| *format).or(env)
    }

    /// Reads a text into a table. The message of an error repeats nothing of the text, which may hold secrets.
    pub(super) fn read(self, text: &str) -> Result<Table, Unreadable> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Format::Toml => toml(text),
            Format::Yaml => yaml(text),
            Format::Json => json(text),
            Format::Env => Ok(Table::new()),
        }
    }
}

impl Node {
    pub(super) fn at(line: Option<usize>, tree: Tree) -> Node {
        Node { line, variable: None, tree }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.tree {
            Tree::Table(table) => Some(table),
            Tree::Leaf(_) => None,
        }
    }

    /// Whether it says nothing: `null`.
    pub(super) fn is_null(&self) -> bool {
        self.tree == Tree::Leaf(Value::Null)
    }

    /// As one value, for fields that take lists or tables.
    pub(super) fn value(&self) -> Value {
        match &self.tree {
            Tree::Leaf(value) => value.clone(),
            Tree::Table(table) => table.iter().map(|(name, node)| (name.clone(), node.value())).collect(),
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- TOML

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn toml(text: &str) -> Result<Table, Unreadable> {
    let table = DeTable::parse(text).map_err(|error| {
        let (at, what) = (error.span().map(|span| span.start), error.message().lines().next().unwrap_or_default());
        match at.and_then(|at| Some((line_at(text, at), text.get(at..)?))) {
            Some((line, rest)) if what.contains("duplicate key") => Unreadable::twice(line, rest),
            _ => Unreadable::at(at.map(|at| line_at(text, at)), format!("this is not TOML: {what}")),
        }
    })?;
    toml_table(text, table.get_ref())
}

fn toml_table(text: &str, table: &DeTable<'_>) -> Result<Table, Unreadable> {
    let node = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let line = Some(line_at(text, key.span().start));
        let tree = match value.get_ref() {
            DeValue::Table(table) => Tree::Table(toml_table(text, table).map_err(|error| error.below(key.get_ref()))?),
            value => {
                Tree::Leaf(toml_value(value).map_err(|problem| Unreadable::at(line, problem).below(key.get_ref()))?)
            }
        };
        Ok((key.get_ref().to_string(), Node::at(line, tree)))
    };
    table.iter().map(node).collect()
}

fn toml_value(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(is) => Value::from(*is),
        DeValue::Integer(number) => {
            let (text, radix) = (number.as_str(), number.radix());
            let whole = i64::from_str_radix(text, radix).map(Value::from);
            whole.or_else(|_| u64::from_str_radix(text, radix).map(Value::from)).map_err(|_| out_of_range(text))?
        }
        DeValue::Float(number) => {
            let value = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            value.map(Value::Number).ok_or_else(|| out_of_range(number.as_str()))?
        }
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(array) => array.iter().map(|value| toml_value(value.get_ref())).collect::<Result<_, _>>()?,
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Ok((key.get_ref().to_string(), toml_value(value.get_ref())?))
            };
            table.iter().map(entry).collect::<Result<_, String>>()?
        }
    })
}

fn out_of_range(number: &str) -> String {
    format!("the number {number} is out of range")
}

// ----------------------------------------------------------------------------------------------------------- YAML

fn yaml(text: &str) -> Result<Table, Unreadable> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| {
        let (line, column) = (error.marker().line(), error.marker().col());
        if !error.info().contains("duplicated key") {
            return Unreadable::at(Some(line), format!("this is not YAML: {}", error.info()));
        }
        let key: String =
            text.lines().nth(line.saturating_sub(1)).into_iter().flat_map(|line| line.chars().skip(column)).collect();
        Unreadable::twice(line, &key)
    })?;
    match documents.as_slice() {
        [] => Ok(Table::new()),
        [document] => match yaml_node(document)?.tree {
            Tree::Table(table) => Ok(table),
            Tree::Leaf(Value::Null) => Ok(Table::new()),
            Tree::Leaf(_) => Err(Unreadable::at(Some(1), "expected a table of keys")),
        },
        [_, second, ..] => {
            Err(Unreadable::at(Some(second.span.start.line()), "expected one document, there is a second one"))
        }
    }
}

fn yaml_node(node: &MarkedYaml<'_>) -> Result<Node, Unreadable> {
    let line = Some(node.span.start.line());
    let refuse = |problem: &str| Err(Unreadable::at(line, problem));
    let tree = match &node.data {
        YamlData::Value(Scalar::FloatingPoint(number)) if !number.is_finite() => {
            return refuse(&out_of_range(&number.to_string()));
        }
        YamlData::Value(scalar) => Tree::Leaf(yaml_scalar(scalar)),
        YamlData::Sequence(items) => {
            let items = items.iter().map(|item| yaml_node(item).map(|node| node.value()));
            Tree::Leaf(items.collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(mapping) => {
            let mut table = Table::new();
            for (key, value) in mapping {
                let name = match &key.data {
                    YamlData::Value(Scalar::String(name)) => name.to_string(),
                    YamlData::Value(scalar) => yaml_scalar(scalar).to_string(),
                    _ => return refuse("a key is a text"),
                };
                let node = yaml_node(value).map_err(|error| error.below(&name))?;
                table.insert(name, Node { line: Some(key.span.start.line()), ..node });
            }
            Tree::Table(table)
        }
        YamlData::Tagged(..) => return refuse("tags such as `!name` have no meaning here"),
        _ => return refuse("this value cannot be read"),
    };
    Ok(Node::at(line, tree))
}

fn yaml_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(is) => Value::from(*is),
        Scalar::Integer(number) => Value::from(*number),
        Scalar::FloatingPoint(number) => Value::from(number.into_inner()),
        Scalar::String(text) => Value::from(text.as_ref()),
    }
}

// ----------------------------------------------------------------------------------------------------------- JSON

/// The values are serde_json's. It knows no lines: those come from reading the text as YAML, of which JSON is a part
/// but for a few escapes; where that fails, keys have no lines.
fn json(text: &str) -> Result<Table, Unreadable> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let problem = format!("this is not JSON: {}", without_place(&error.to_string()));
        Unreadable::at(Some(error.line()), problem)
    })?;
    let Value::Object(object) = value else {
        return Err(Unreadable::at(Some(1), "expected a table of keys"));
    };
    let lines = match yaml(text) {
        Err(twice) if twice.problem == TWICE => return Err(twice),
        lines => lines.unwrap_or_default(),
    };
    Ok(with_lines(object, Some(&lines)))
}

fn without_place(error: &str) -> &str {
    error.split(" at line ").next().unwrap_or(error)
}

fn with_lines(object: serde_json::Map<String, Value>, lines: Option<&Table>) -> Table {
    let node = |(name, value): (String, Value)| {
        let lined = lines.and_then(|lines| lines.get(&name));
        let tree = match value {
            Value::Object(object) => Tree::Table(with_lines(object, lined.and_then(Node::table))),
            value => Tree::Leaf(value),
        };
        (name, Node::at(lined.and_then(|node| node.line), tree))
    };
    object.into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "[retainit]\nnamespace = \"x\"\n\n[retainit.backends.near]\nttl = 60\n";
    const YAML: &str = "retainit:\n  namespace: x\n\n  backends:\n    near:\n      ttl: 60\n";
    const JSON: &str =
        "{ \"retainit\": {\n\t\"namespace\": \"x\",\n\t\"backends\": { \"near\": {\n\t\t\"ttl\": 60 } } } }";

    fn lines(table: &Table, path: &[&str]) -> Vec<Option<usize>> {
        let mut at = table;
        path.iter()
            .map(|name| {
                let node = &at[*name];
                at = node.table().unwrap_or(at);
                node.line
            })
            .collect()
    }

    #[test]
    fn three_formats_are_one_tree_and_every_key_has_its_line() {
        let read = |format: Format, text: &str| format.read(text).expect("readable");
        let (toml, yaml, json) = (read(Format::Toml, TOML), read(Format::Yaml, YAML), read(Format::Json, JSON));
        let value = |table: Table| Node::at(None, Tree::Table(table)).value();
        let path = ["retainit", "backends", "near", "ttl"];
        assert_eq!(lines(&toml, &path)[3], Some(5));
        assert_eq!(lines(&yaml, &path)[3], Some(6));
        assert_eq!(lines(&json, &path)[3], Some(4));
        assert_eq!(value(toml.clone()), value(yaml));
        assert_eq!(value(toml), value(json));
    }

    #[test]
    fn broken_texts_say_where_and_repeat_nothing() {
        for (format, text, line) in [
            (Format::Toml, "a = 1\npassword = \"hush\n", 2),
            (Format::Toml, "a = 1\na = \"hush\"\n", 2),
            (Format::Toml, "a = nan", 1),
            (Format::Yaml, "a: .nan", 1),
            (Format::Yaml, "a: 1\nb: [hush\n", 3),
            (Format::Yaml, "a: 1\na: hush\n", 2),
            (Format::Yaml, "a: !name hush\n", 1),
            (Format::Json, "{\n \"a\": hush }", 2),
            (Format::Json, "{\"a\": 1,\n \"a\": \"hush\"}", 2),
            (Format::Json, "[1]", 1),
        ] {
            let error = format.read(text).expect_err(text);
            assert_eq!(error.line, Some(line), "{text}: {}", error.problem);
            assert!(!error.problem.contains("hush"), "{}", error.problem);
            let is_of_key = ["nan", "!name"].iter().any(|it| text.contains(it)) || error.problem == TWICE;
            assert_eq!(error.path, if is_of_key { vec!["a"] } else { Vec::new() }, "{text}");
        }
    }
}
