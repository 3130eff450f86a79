//! Merge of layers by figment, which records for every value the layer it is from.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};
use retainit_plugin::{Error, ErrorKind, Result, Value};

use super::layer::Layer;
use super::location::Location;
use super::tree::{Table, Tree, TreeNode};

/// The effective value at a path, with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) place: Location,
    /// Number of its layer; the highest is 0.
    pub(super) layer: usize,
}

/// Every effective value by its path.
pub(super) type Leaves = BTreeMap<Vec<String>, Leaf>;

/// Adapter of a checked layer for figment. Its name is its number, since names of files may repeat.
struct Checked<'a> {
    number: usize,
    layer: &'a Layer,
}

impl Provider for Checked<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(dict(&self.layer.table)))
    }
}

fn dict(table: &Table) -> Dict {
    let entry = |(name, node): (&String, &TreeNode)| {
        let value = match &node.tree {
            Tree::Table(table) => Merged::from(dict(table)),
            Tree::Leaf(value) => merged(value),
        };
        (name.clone(), value)
    };
    table.iter().map(entry).collect()
}

/// Converts a value to figment's.
fn merged(value: &Value) -> Merged {
    match value {
        Value::Null => Merged::from(figment::value::Empty::None),
        Value::Bool(is) => Merged::from(*is),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Merged::from(whole),
            (None, Some(whole)) => Merged::from(whole),
            (None, None) => Merged::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Merged::from(text.as_str()),
        Value::Array(items) => Merged::from(items.iter().map(merged).collect::<Vec<_>>()),
        Value::Object(object) => {
            Merged::from(object.iter().map(|(name, value)| (name.clone(), merged(value))).collect::<Dict>())
        }
    }
}

/// Merges checked layers; the first takes precedence.
pub(super) fn merge(layers: &[Layer]) -> Result<Leaves> {
    let mut figment = Figment::new();
    for (number, layer) in layers.iter().enumerate().rev() {
        figment = figment.merge(Checked { number, layer });
    }
    let data: Dict = figment.extract().map_err(unmergeable)?;
    let mut leaves = Leaves::new();
    collect(&figment, layers, &data, &mut Vec::new(), &mut leaves)?;
    Ok(leaves)
}

fn unmergeable(error: figment::Error) -> Error {
    Error::new(ErrorKind::Config, "the configuration's sources cannot be laid over each other").with_source(error)
}

fn collect(
    figment: &Figment,
    layers: &[Layer],
    table: &Dict,
    path: &mut Vec<String>,
    leaves: &mut Leaves,
) -> Result<()> {
    for (name, value) in table {
        path.push(name.clone());
        match value {
            Merged::Dict(_, below) => collect(figment, layers, below, path, leaves)?,
            value => {
                let number = figment.get_metadata(value.tag()).and_then(|metadata| metadata.name.parse::<usize>().ok());
                let layer = number.and_then(|number| layers.get(number));
                let place = layer.and_then(|layer| Some(layer.place(find(&layer.table, path)?))).unwrap_or_default();
                let value = value.deserialize().map_err(unmergeable)?;
                leaves.insert(path.clone(), Leaf { value, place, layer: number.unwrap_or(usize::MAX) });
            }
        }
        path.pop();
    }
    Ok(())
}

/// Finds the node at a path.
pub(super) fn find<'a>(table: &'a Table, path: &[String]) -> Option<&'a TreeNode> {
    let (first, rest) = path.split_first()?;
    let node = table.get(first)?;
    if rest.is_empty() { Some(node) } else { find(node.table()?, rest) }
}
