//! Presets: settings that a program brings along, with the lowest precedence.

use retainit_plugin::Value;

use super::layer::{Layer, parse};
use super::problems::Problems;
use super::schema::Schema;
use super::tree::{FileFormat, Table, Tree, TreeNode};

/// A profile that a program brings along. Every other source takes precedence over it.
#[derive(Clone, Debug)]
pub struct Preset {
    pub(crate) name: &'static str,
    text: &'static str,
    /// URL of the default backend; it may hold a password.
    url: Option<retainit_plugin::Secret>,
    /// Reads no other source if true.
    pub(crate) is_alone: bool,
}

impl Preset {
    /// Makes a preset from a profile's name and its text in TOML.
    pub fn new(name: &'static str, text: &'static str) -> Preset {
        Preset { name, text, url: None, is_alone: false }
    }

    /// Makes the backend that a URL names the default.
    #[must_use]
    pub fn backend(self, url: &str) -> Preset {
        Preset { url: Some(retainit_plugin::Secret::new(url)), ..self }
    }

    /// Reads no other source: no files, no environment.
    #[must_use]
    pub fn alone(self) -> Preset {
        Preset { is_alone: true, ..self }
    }

    pub(crate) fn names_backend(&self) -> bool {
        self.url.is_some()
    }

    /// Returns the layers of the preset, the highest first.
    pub(super) fn layers(&self, schema: &Schema<'_>, problems: &mut Problems) -> Vec<Layer> {
        let name = format!("preset {}", self.name);
        let of_url = self.url.as_ref().and_then(|url| match of_url(self.name, url.expose(), schema) {
            Ok(table) => Some(Layer { name: name.clone(), table }),
            Err(text) => {
                problems.add(&*format!("the URL for the preset {}", self.name), &[], text);
                None
            }
        });
        let mut of_text = parse(name.clone(), FileFormat::Toml, self.text, problems);
        // A preset covers plugins that a program may leave out; their sections would be errors there.
        of_text.iter_mut().for_each(|layer| layer.table.retain(|section, _| schema.is_possible(section)));
        of_url.into_iter().chain(of_text).collect()
    }
}

/// Builds a default backend called like its preset, with the settings of a URL.
fn of_url(name: &str, url: &str, schema: &Schema<'_>) -> Result<Table, String> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let (type_name, fields) = match (schema.registry.url_scheme(scheme), schema.registry.offered_scheme(scheme)) {
        (Some((type_name, known)), _) => (type_name, (known.fields)(url).map_err(|error| error.report())?),
        // The plugin is offered and not linked: its settings would mean nothing, and whether anything uses the backend
        // is not known yet.
        (None, Some(type_name)) => (type_name, Vec::new()),
        (None, None) => return Err(format!("expected {}", schema.registry.urls().join(", "))),
    };
    let leaf = |value: Value| TreeNode::at(None, Tree::Leaf(value));
    let table = |entries: Vec<(&str, TreeNode)>| {
        let entries = entries.into_iter().map(|(name, node)| (name.to_owned(), node));
        TreeNode::at(None, Tree::Table(entries.collect()))
    };
    let fields = fields.into_iter().map(|(field, value)| (field, leaf(value)));
    let backend = table(fields.chain([("type", leaf(type_name.into()))]).collect());
    Ok(Table::from([
        ("default_backend".to_owned(), leaf(name.into())),
        ("backends".to_owned(), table(vec![(name, backend)])),
    ]))
}
