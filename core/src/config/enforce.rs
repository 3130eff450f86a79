//! What lower sources hold against higher ones, and what higher ones take back: `enforced` and `null`.

use std::collections::BTreeSet;

use retainit_plugin::{FieldValue, Ttl, Value};

use super::layer::Layer;
use super::merge::find;
use super::problems::{Problems, join, nearest, split};
use super::schema::Schema;
use super::tree::{Node, Table, Tree};

/// The number of the layer whose value at a path will hold: the lowest that enforces it, else the highest that says it
/// with no `null` above.
pub(super) fn holder(layers: &[Layer], path: &[&str]) -> Option<usize> {
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    let says = |layer: &Layer| find(&layer.table, &path).is_some_and(|node| !node.is_null());
    let enforcing = layers.iter().rposition(|layer| says(layer) && enforces(layer, &path));
    let cuts = |number: usize| {
        let null = null_at(&layers[number].table, &path);
        null.is_some_and(|null| !layers[number + 1..].iter().any(|below| listed(below).any(|it| it.starts_with(null))))
    };
    let first = (0..layers.len()).find(|number| says(&layers[*number]) || cuts(*number));
    enforcing.or(first.filter(|number| says(&layers[*number])))
}

/// Whether some layer enforces what it says at a path.
pub(super) fn is_enforced(layers: &[Layer], path: &[&str]) -> bool {
    let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    layers.iter().any(|layer| find(&layer.table, &path).is_some() && enforces(layer, &path))
}

fn enforces(layer: &Layer, path: &[String]) -> bool {
    listed(layer).any(|item| path.starts_with(&item))
}

/// What a layer enforces, as it is written there.
fn listed(layer: &Layer) -> impl Iterator<Item = Vec<String>> {
    let items = match layer.table.get("enforced").map(|node| &node.tree) {
        Some(Tree::Leaf(Value::Array(items))) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(Value::as_str).map(split)
}

/// The part of a path that a table sets to `null`.
fn null_at<'a>(table: &Table, path: &'a [String]) -> Option<&'a [String]> {
    (1..=path.len()).map(|length| &path[..length]).find(|part| find(table, part).is_some_and(Node::is_null))
}

/// Whether one value asks for no less than another: a ttl may become shorter.
pub(super) fn is_stricter(path: &[String], value: &Value, than: &Value) -> bool {
    if path.last().is_none_or(|field| field != "ttl") {
        return value == than;
    }
    match (Ttl::read(value), Ttl::read(than)) {
        (Some(one), Some(other)) => one.cap(other) == one,
        _ => false,
    }
}

/// Takes the lists of enforced keys out of layers, the highest first, and what would weaken them out of those above.
pub(super) fn enforce(layers: &mut [Layer], schema: &Schema<'_>, problems: &mut Problems) -> BTreeSet<Vec<String>> {
    let mut all = BTreeSet::new();
    for number in 0..layers.len() {
        let Some(node) = layers[number].table.remove("enforced") else { continue };
        let place = layers[number].place(&node);
        let items = match &node.tree {
            Tree::Leaf(Value::Array(items)) => items,
            Tree::Leaf(Value::Null) => continue,
            _ => {
                problems.add(&place, &["enforced"], "expected a list of keys, such as [\"backends.default.ttl\"]");
                continue;
            }
        };
        let said = leaves(&layers[number].table);
        for item in items {
            let path = schema.canonical(&split(item.as_str().unwrap_or_default()));
            let paths: Vec<_> = said.iter().filter(|(at, _)| at.starts_with(&path)).collect();
            if paths.is_empty() {
                problems.add(&place, &["enforced"], not_set(item, &said));
            }
            for (path, value) in paths {
                layers[..number].iter_mut().for_each(|above| keep(above, path, value));
                all.insert(path.clone());
            }
        }
    }
    all
}

/// Takes out of a layer what would weaken an enforced value below it.
fn keep(above: &mut Layer, path: &[String], value: &Value) {
    let same = find(&above.table, path).filter(|node| !node.is_null()).map(Node::value);
    let weaker = match &same {
        Some(theirs) => (!is_stricter(path, theirs, value)).then_some(path),
        None => null_at(&above.table, path),
    };
    if let Some(weaker) = weaker {
        tracing::warn!(target: "retainit", key = join(weaker), source = above.name, "ignored: it is enforced below");
        remove(&mut above.table, weaker);
    }
}

fn not_set(item: &Value, said: &[(Vec<String>, Value)]) -> String {
    let item = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    let paths: Vec<String> = said.iter().map(|(path, _)| join(path)).collect();
    let hint = match nearest(&item, paths.iter().map(String::as_str)) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None if paths.is_empty() => "; it sets nothing".to_owned(),
        None => format!("; it sets: {}", paths.join(", ")),
    };
    format!("`{item}` is not set in this file{hint}")
}

/// Everything that a table says, but for what it says is `null`.
fn leaves(table: &Table) -> Vec<(Vec<String>, Value)> {
    let mut all = Vec::new();
    for (name, node) in table {
        match &node.tree {
            Tree::Table(below) => {
                let below = leaves(below).into_iter();
                all.extend(below.map(|(path, value)| ([vec![name.clone()], path].concat(), value)));
            }
            Tree::Leaf(Value::Null) => {}
            Tree::Leaf(value) => all.push((vec![name.clone()], value.clone())),
        }
    }
    all
}

/// Lets every `null` take back what the layers below say at its place.
pub(super) fn unset(layers: &mut [Layer]) {
    for number in 0..layers.len() {
        let mut nulls = Vec::new();
        collect_nulls(&layers[number].table, &mut Vec::new(), &mut nulls);
        for path in nulls {
            layers[number..].iter_mut().for_each(|layer| remove(&mut layer.table, &path));
        }
    }
}

fn collect_nulls(table: &Table, path: &mut Vec<String>, nulls: &mut Vec<Vec<String>>) {
    for (name, node) in table {
        path.push(name.clone());
        match &node.tree {
            Tree::Table(below) => collect_nulls(below, path, nulls),
            Tree::Leaf(Value::Null) => nulls.push(path.clone()),
            Tree::Leaf(_) => {}
        }
        path.pop();
    }
}

fn remove(table: &mut Table, path: &[String]) {
    match path {
        [] => {}
        [last] => drop(table.remove(last)),
        [first, rest @ ..] => {
            if let Some(Tree::Table(below)) = table.get_mut(first).map(|node| &mut node.tree) {
                remove(below, rest);
            }
        }
    }
}
