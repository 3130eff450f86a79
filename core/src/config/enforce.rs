//! Resolution of `enforced`, by which a lower source keeps its values, and of `null`, by which a higher one removes
//! values of lower ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use retainit_plugin::{FieldValue, Ttl, Value};

use super::layer::Layer;
use super::merge::find;
use super::problems::{Compared, Problems, join, split};
use super::schema::Schema;
use super::tree::{Table, Tree, TreeNode};

/// Layers by precedence, the highest first, each with the keys it enforces.
#[derive(Clone, Debug)]
pub(super) struct Stack<'a>(Vec<(&'a Layer, Rc<BTreeSet<Vec<String>>>)>);

impl<'a> Stack<'a> {
    pub(super) fn new(layers: impl IntoIterator<Item = &'a Layer>) -> Stack<'a> {
        Stack(layers.into_iter().map(|layer| (layer, Rc::new(listed(layer)))).collect())
    }

    /// Returns a copy with one more layer on top.
    pub(super) fn below(&self, top: &'a Layer) -> Stack<'a> {
        let mut all = Stack::new([top]);
        all.0.extend(self.0.iter().cloned());
        all
    }

    pub(super) fn layers(&self) -> impl DoubleEndedIterator<Item = &'a Layer> + ExactSizeIterator {
        self.0.iter().map(|(layer, _)| *layer)
    }

    /// Returns the number of the layer whose value at a path takes effect: the lowest that enforces it, else the
    /// highest that sets it with no `null` above.
    pub(super) fn holder(&self, path: &[&str]) -> Option<usize> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let sets = |layer: &Layer| find(&layer.table, &path).is_some_and(|node| !node.is_null());
        // The lowest enforcing layer decides: layers above may only be stricter, and are checked against it.
        let enforcing = self.0.iter().rposition(|(layer, enforced)| sets(layer) && enforces(enforced, &path));
        // A `null` hides the layers below, unless one of them enforces a key at or below it: that `null` is removed.
        let cuts = |number: usize| {
            let null = null_at(&self.0[number].0.table, &path);
            null.is_some_and(|null| !self.0[number + 1..].iter().any(|(_, below)| is_prefix(below, null)))
        };
        let first = (0..self.0.len()).find(|number| sets(self.0[*number].0) || cuts(*number));
        enforcing.or(first.filter(|number| sets(self.0[*number].0)))
    }

    /// Returns true if some layer enforces its value at a path.
    pub(super) fn is_enforced(&self, path: &[&str]) -> bool {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.iter().any(|(layer, enforced)| find(&layer.table, &path).is_some() && enforces(enforced, &path))
    }
}

fn enforces(enforced: &BTreeSet<Vec<String>>, path: &[String]) -> bool {
    (1..=path.len()).any(|length| enforced.contains(&path[..length]))
}

/// Returns true if an enforced key is at or below a path.
fn is_prefix(enforced: &BTreeSet<Vec<String>>, path: &[String]) -> bool {
    enforced
        .range::<[String], _>((Bound::Included(path), Bound::Unbounded))
        .next()
        .is_some_and(|it| it.starts_with(path))
}

/// Returns the keys that a layer enforces, spelled as in the file.
fn listed(layer: &Layer) -> BTreeSet<Vec<String>> {
    let items = match layer.table.get("enforced").map(|node| &node.tree) {
        Some(Tree::Leaf(Value::Array(items))) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(Value::as_str).map(split).collect()
}

/// Returns the part of a path that a table sets to `null`.
fn null_at<'a>(table: &Table, path: &'a [String]) -> Option<&'a [String]> {
    (1..=path.len()).map(|length| &path[..length]).find(|part| find(table, part).is_some_and(TreeNode::is_null))
}

/// Returns true if one value demands at least as much as another: a ttl may become shorter, everything else must be
/// equal.
pub(super) fn is_stricter(path: &[String], value: &Value, than: &Value) -> bool {
    if path.last().is_none_or(|field| field != "ttl") {
        return value == than;
    }
    match (Ttl::read(value), Ttl::read(than)) {
        (Some(one), Some(other)) => one.cap(other) == one,
        _ => false,
    }
}

/// Removes the lists of enforced keys from layers, the highest first, and from the layers above the values that would
/// weaken them. Returns all enforced paths.
pub(super) fn enforce(layers: &mut [Layer], schema: &Schema<'_>, problems: &mut Problems) -> BTreeSet<Vec<String>> {
    let mut all = BTreeSet::new();
    // From the highest to the lowest, so that a lower layer's enforced values have the last word on those above.
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
        let set_keys = leaves(&layers[number].table);
        let (mut shown, mut known) = (None, BTreeSet::new());
        for item in items {
            let path = schema.canonical(&split(item.as_str().unwrap_or_default()));
            // An item may repeat another or be an alias of it: a second pass would only repeat the warnings.
            if !known.insert(path.clone()) {
                continue;
            }
            let below = set_keys.range(path.clone()..).take_while(|(at, _)| at.starts_with(&path));
            let paths: Vec<_> = below.collect();
            if paths.is_empty() {
                let shown = shown.get_or_insert_with(|| set_keys.keys().map(|path| join(path)).collect::<Vec<_>>());
                let text = not_set(item, shown, problems.compared());
                problems.add(&place, &["enforced"], text);
            }
            for (path, value) in paths {
                layers[..number].iter_mut().for_each(|above| keep(above, path, value));
                all.insert(path.clone());
            }
        }
    }
    all
}

/// Removes from a layer the value or the `null` that would weaken an enforced value below it.
fn keep(above: &mut Layer, path: &[String], value: &Value) {
    let same = find(&above.table, path).filter(|node| !node.is_null()).map(TreeNode::value);
    let weaker = match &same {
        Some(theirs) => (!is_stricter(path, theirs, value)).then_some(path),
        None => null_at(&above.table, path),
    };
    if let Some(weaker) = weaker {
        tracing::warn!(target: "retainit", key = join(weaker), source = above.name, "ignored: it is enforced below");
        remove(&mut above.table, weaker);
    }
}

fn not_set(item: &Value, set_keys: &[String], compared: &Compared) -> String {
    let item = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    let names: Vec<&str> = set_keys.iter().map(String::as_str).collect();
    let hint = match compared.nearest(&item, &names) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None if set_keys.is_empty() => "; it sets nothing".to_owned(),
        None => format!("; it sets: {}", super::problems::listed(set_keys.iter())),
    };
    format!("`{item}` is not set in this file{hint}")
}

/// Collects every value of a table by its path, except `null`.
fn leaves(table: &Table) -> BTreeMap<Vec<String>, Value> {
    fn add(table: &Table, path: &mut Vec<String>, all: &mut BTreeMap<Vec<String>, Value>) {
        for (name, node) in table {
            path.push(name.clone());
            match &node.tree {
                Tree::Table(below) => add(below, path, all),
                Tree::Leaf(Value::Null) => {}
                Tree::Leaf(value) => drop(all.insert(path.clone(), value.clone())),
            }
            path.pop();
        }
    }
    let mut all = BTreeMap::new();
    add(table, &mut Vec::new(), &mut all);
    all
}

/// Removes every `null`, and the values of lower layers at its path.
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
