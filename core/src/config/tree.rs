//! Content of a file with the line of every key: TOML, YAML and JSON are read into one tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use retainit_plugin::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[cfg(feature = "yaml")]
use super::yaml;

/// A value or a table, with its origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TreeNode {
    /// Line of its key in a file.
    pub(super) line: Option<usize>,
    /// Environment variable of a value that came from one: its text may mean a number.
    pub(super) variable: Option<String>,
    pub(super) tree: Tree,
}

/// A table, or any other value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Leaf(Value),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, TreeNode>;

impl Default for Tree {
    fn default() -> Tree {
        Tree::Table(Table::new())
    }
}

/// Reason why a file could not be read, with its place.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) line: Option<usize>,
    /// Path of the key it is about, if any.
    pub(super) path: Vec<String>,
    pub(super) problem: String,
}

impl Unreadable {
    pub(super) fn at(line: Option<usize>, problem: impl Into<String>) -> Unreadable {
        Unreadable { line, path: Vec::new(), problem: problem.into() }
    }

    pub(super) fn below(mut self, key: &str) -> Unreadable {
        self.path.insert(0, key.to_owned());
        self
    }

    pub(super) fn twice(line: usize, key: String) -> Unreadable {
        Unreadable { path: vec![key], ..Unreadable::at(Some(line), TWICE) }
    }
}

/// The problem of a key that is there twice.
pub(super) const TWICE: &str = "the key is there twice: remove one";

/// Format of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    Toml,
    Yaml,
    Json,
    /// `NAME=value` lines, as environment variables.
    Env,
}

impl FileFormat {
    /// Extensions of main files and profiles.
    pub(super) const EXTENSIONS: [(&str, FileFormat); 4] =
        [("toml", FileFormat::Toml), ("yaml", FileFormat::Yaml), ("yml", FileFormat::Yaml), ("json", FileFormat::Json)];

    pub(super) fn of(path: &Path) -> Option<FileFormat> {
        let extension = path.extension()?.to_str()?;
        let env = (extension == "env").then_some(FileFormat::Env);
        FileFormat::EXTENSIONS.iter().find(|(name, _)| *name == extension).map(|(_, format)| *format).or(env)
    }

    /// Reads a text into a table. The message of an error repeats nothing of the text, which may hold secrets.
    pub(super) fn read(self, text: &str) -> Result<Table, Unreadable> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            FileFormat::Toml => toml(text),
            #[cfg(feature = "yaml")]
            FileFormat::Yaml => yaml::yaml(text),
            #[cfg(feature = "yaml")]
            FileFormat::Json => yaml::json(text),
            #[cfg(not(feature = "yaml"))]
            FileFormat::Yaml | FileFormat::Json => {
                Err(Unreadable::at(None, "only TOML can be read: turn on the feature `yaml` of `retainit`"))
            }
            FileFormat::Env => Ok(Table::new()),
        }
    }
}

impl TreeNode {
    pub(super) fn at(line: Option<usize>, tree: Tree) -> TreeNode {
        TreeNode { line, variable: None, tree }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.tree {
            Tree::Table(table) => Some(table),
            Tree::Leaf(_) => None,
        }
    }

    /// Returns true if it is `null`.
    pub(super) fn is_null(&self) -> bool {
        self.tree == Tree::Leaf(Value::Null)
    }

    /// Converts to one value, for fields that take lists or tables.
    pub(super) fn value(&self) -> Value {
        self.clone().into_value()
    }

    pub(super) fn into_value(self) -> Value {
        match self.tree {
            Tree::Leaf(value) => value,
            Tree::Table(table) => table.into_iter().map(|(name, node)| (name, node.into_value())).collect(),
        }
    }
}

/// Positions of the line ends of a text.
struct SourceLines(Vec<usize>);

impl SourceLines {
    fn new(text: &str) -> SourceLines {
        SourceLines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// Returns the number of the line at a position.
    fn at(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

fn toml(text: &str) -> Result<Table, Unreadable> {
    let lines = SourceLines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let (at, what) = (error.span(), error.message().lines().next().unwrap_or_default());
        let line = at.as_ref().map(|at| lines.at(at.start));
        match at.and_then(|at| toml_key_there_twice(text, at)) {
            Some(key) => Unreadable::twice(line.unwrap_or_default(), key),
            None => Unreadable::at(line, format!("this is not TOML: {what}")),
        }
    })?;
    toml_table(&lines, table.get_ref())
}

/// Returns the key at which the parser has stopped, if it is there twice. The parser's errors have no kinds, so the
/// text is parsed again with an unused key in its place: only a duplicate stops being an error then.
fn toml_key_there_twice(text: &str, at: Range<usize>) -> Option<String> {
    let (before, key, behind) = (text.get(..at.start)?, text.get(at.clone())?, text.get(at.end..)?);
    // A key longer than the whole text cannot be in it.
    let unused = "x".repeat(text.len() + 1);
    let renamed = format!("{before}{unused}{behind}");
    let stops_again = DeTable::parse(&renamed).is_err_and(|error| error.span().is_some_and(|it| it.start == at.start));
    let as_key = format!("{key} = 0");
    let mut alone = DeTable::parse(&as_key).ok()?.into_inner().into_iter();
    let (name, _) = alone.next().filter(|_| !stops_again)?;
    Some(name.into_inner().into_owned())
}

fn toml_table(lines: &SourceLines, table: &DeTable<'_>) -> Result<Table, Unreadable> {
    let node = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let line = Some(lines.at(key.span().start));
        let tree = match value.get_ref() {
            DeValue::Table(table) => Tree::Table(toml_table(lines, table).map_err(|error| error.below(key.get_ref()))?),
            value => {
                Tree::Leaf(toml_value(value).map_err(|problem| Unreadable::at(line, problem).below(key.get_ref()))?)
            }
        };
        Ok((key.get_ref().to_string(), TreeNode::at(line, tree)))
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

pub(super) fn out_of_range(number: &str) -> String {
    format!("the number {number} is out of range")
}

#[cfg(all(test, not(feature = "yaml")))]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_not_compiled_in_names_its_feature() {
        for format in [FileFormat::Yaml, FileFormat::Json] {
            let error = format.read("{}").expect_err("it cannot be read");
            assert!(error.problem.contains("feature `yaml`"), "{}", error.problem);
        }
    }
}
