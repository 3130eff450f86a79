//! Collects the options that files, overrides and the function itself set, as layers.

use std::collections::BTreeMap;

use super::{Level, Retainit};
use crate::config::{FileLevel, Ranks};
use crate::engine::Store;
use crate::options::{OptionLayers, Options};

impl Retainit {
    /// Returns the layers of a function without its backend's.
    pub(super) fn layers(&self, id: &str, scoped: Options, own: Level<'_>) -> OptionLayers {
        let configured = self.configured();
        let file = |levels: &BTreeMap<String, FileLevel>| levels.get(id).map_or(Options::NONE, |level| level.options);
        let (above, below) = (file(&configured.overrides), file(&configured.functions));
        let mut layers = OptionLayers::new(scoped, above, own.options, own.place, below);
        layers.enforce(configured.enforced_functions.get(id));
        layers
    }

    /// Adds the options that the backend sets.
    pub(super) fn add_backend(&self, layers: &mut OptionLayers, id: &str, store: &Store) {
        let configured = self.configured();
        let of_function = configured.functions.get(id).map(|level| &level.ranks);
        let declared = configured.backend(&store.name);
        let of_backend = declared.map(|backend| &backend.ranks);
        let is_below = |field: &str| {
            let rank = |ranks: Option<&Ranks>| ranks.and_then(|ranks| ranks.get(field)).copied();
            // An option of a backend without a rank was set in code.
            rank(of_backend).is_none_or(|backend| rank(of_function).is_some_and(|function| backend < function))
        };
        layers.add_backend(store.options, is_below);
        layers.enforce(configured.enforced_backends.get(&*store.name));
    }
}
