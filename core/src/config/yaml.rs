//! YAML and JSON, read with the line of every key.

use std::collections::BTreeSet;

use retainit_plugin::Value;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};

use super::tree::{TWICE, Table, Tree, TreeNode, Unreadable, out_of_range};

/// Limit on the nesting of a YAML file. The other parsers have limits of their own.
const MAX_DEPTH: usize = 64;

/// A sequence, or a mapping with its keys so far.
enum Open {
    Sequence,
    Mapping { keys: BTreeSet<String>, is_at_key: bool },
}

/// Checks a text for nesting and duplicate keys, without recursion: the loader recurses and would overflow the stack,
/// and its errors have no kinds. All other errors are left to the loader.
fn check_yaml(text: &str) -> Result<(), Unreadable> {
    let mut open: Vec<Open> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let line = span.start.line();
        if let Event::SequenceEnd | Event::MappingEnd = event {
            open.pop();
            continue;
        }
        // Every event that begins here is a key or a value of the mapping around it.
        if let (Some(Open::Mapping { keys, is_at_key }), false) = (open.last_mut(), matches!(event, Event::Nothing)) {
            if let (true, Event::Scalar(key, ..)) = (*is_at_key, &event)
                && !keys.insert(key.to_string())
            {
                return Err(Unreadable::twice(line, key.to_string()));
            }
            *is_at_key = !*is_at_key;
        }
        match event {
            Event::SequenceStart(..) => open.push(Open::Sequence),
            Event::MappingStart(..) => open.push(Open::Mapping { keys: BTreeSet::new(), is_at_key: true }),
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(Unreadable::at(Some(line), format!("nested deeper than {MAX_DEPTH}")));
        }
    }
    Ok(())
}

/// Reads YAML.
pub(super) fn yaml(text: &str) -> Result<Table, Unreadable> {
    check_yaml(text)?;
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| Unreadable::at(Some(error.marker().line()), format!("this is not YAML: {}", error.info())))?;
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

fn yaml_node(node: &MarkedYaml<'_>) -> Result<TreeNode, Unreadable> {
    let line = Some(node.span.start.line());
    let refuse = |problem: &str| Err(Unreadable::at(line, problem));
    let tree = match &node.data {
        YamlData::Value(Scalar::FloatingPoint(number)) if !number.is_finite() => {
            return refuse(&out_of_range(&number.to_string()));
        }
        YamlData::Value(scalar) => Tree::Leaf(yaml_scalar(scalar)),
        YamlData::Sequence(items) => {
            let items = items.iter().map(|item| yaml_node(item).map(TreeNode::into_value));
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
                table.insert(name, TreeNode { line: Some(key.span.start.line()), ..node });
            }
            Tree::Table(table)
        }
        YamlData::Tagged(..) => return refuse("tags such as `!name` have no meaning here"),
        _ => return refuse("this value cannot be read"),
    };
    Ok(TreeNode::at(line, tree))
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

/// Reads JSON. The values are serde_json's, which has no lines: lines come from reading the text as YAML, of which
/// JSON is a subset but for a few escapes; where that fails, keys have no lines.
pub(super) fn json(text: &str) -> Result<Table, Unreadable> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
        let problem = format!("this is not JSON: {}", text.strip_suffix(&place).unwrap_or(&text));
        Unreadable::at(Some(error.line()), problem)
    })?;
    let Value::Object(object) = value else {
        return Err(Unreadable::at(Some(1), "expected a table of keys"));
    };
    let lines = match yaml(text) {
        Err(error) if error.problem == TWICE => return Err(error),
        lines => lines.unwrap_or_default(),
    };
    Ok(with_lines(object, Some(&lines)))
}

fn with_lines(object: serde_json::Map<String, Value>, lines: Option<&Table>) -> Table {
    let node = |(name, value): (String, Value)| {
        let lined = lines.and_then(|lines| lines.get(&name));
        let tree = match value {
            Value::Object(object) => Tree::Table(with_lines(object, lined.and_then(TreeNode::table))),
            value => Tree::Leaf(value),
        };
        (name, TreeNode::at(lined.and_then(|node| node.line), tree))
    };
    object.into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::FileFormat;
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
        let read = |format: FileFormat, text: &str| format.read(text).expect("readable");
        let (toml, yaml, json) =
            (read(FileFormat::Toml, TOML), read(FileFormat::Yaml, YAML), read(FileFormat::Json, JSON));
        let value = |table: Table| TreeNode::at(None, Tree::Table(table)).value();
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
            (FileFormat::Toml, "a = 1\npassword = \"hush\n", 2),
            (FileFormat::Toml, "a = 1\na = \"hush\"\n", 2),
            (FileFormat::Toml, "a = nan", 1),
            (FileFormat::Yaml, "a: .nan", 1),
            (FileFormat::Yaml, "a: 1\nb: [hush\n", 3),
            (FileFormat::Yaml, "a: 1\na: hush\n", 2),
            (FileFormat::Yaml, "a: !name hush\n", 1),
            (FileFormat::Json, "{\n \"a\": hush }", 2),
            (FileFormat::Json, "{\"a\": 1,\n \"a\": \"hush\"}", 2),
            (FileFormat::Json, "[1]", 1),
        ] {
            let error = format.read(text).expect_err(text);
            assert_eq!(error.line, Some(line), "{text}: {}", error.problem);
            assert!(!error.problem.contains("hush"), "{}", error.problem);
            let is_of_key = ["nan", "!name"].iter().any(|it| text.contains(it)) || error.problem == TWICE;
            assert_eq!(error.path, if is_of_key { vec!["a"] } else { Vec::new() }, "{text}");
        }
    }
}
