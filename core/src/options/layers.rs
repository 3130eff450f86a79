//! Layers of options, highest first, and the one that decides each option.

use retainit_plugin::Ttl;

use super::{Options, Resolved};
use crate::runtime::quietly;

/// Source of an option of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionSource {
    /// A profile with enforced values.
    Enforced,
    /// An override around the call.
    Scoped,
    /// `[retainit.override.functions."id"]`.
    Override,
    /// The attribute, or the builder of a cache.
    Own,
    /// `[retainit.functions."id"]`.
    File,
    /// The backend, in code or in files.
    Backend,
}

/// Options of every layer.
#[derive(Clone, Debug)]
pub(crate) struct OptionLayers {
    layers: Vec<(OptionSource, Options)>,
    own: &'static str,
    /// Limit on the ttl, whatever its source.
    max_ttl: Option<Ttl>,
}

impl OptionLayers {
    /// Stacks the options that are set outside the backend: by an override around the call, by
    /// `[retainit.override.functions]`, by the function itself, which sets them at `place`, by `[retainit.functions]`.
    pub(crate) fn new(
        scoped: Options,
        above: Options,
        own: Options,
        place: &'static str,
        below: Options,
    ) -> OptionLayers {
        let layers = vec![
            (OptionSource::Scoped, scoped),
            (OptionSource::Override, above),
            (OptionSource::Own, own),
            (OptionSource::File, below),
        ];
        OptionLayers { layers, own: place, max_ttl: None }
    }

    /// Adds the backend's options.
    ///
    /// Files take precedence as wholes: the backend's options in a profile, or in code, take precedence over the
    /// function's in the main file. `is_below` is true for the options of which that holds.
    pub(crate) fn add_backend(&mut self, backend: Options, is_below: impl Fn(&str) -> bool) {
        if let Some((_, file)) = self.layers.iter_mut().find(|(source, _)| *source == OptionSource::File) {
            file.yield_to(&backend, is_below);
        }
        self.layers.push((OptionSource::Backend, backend));
    }

    /// Adds enforced options: their ttl is an upper bound, the others take precedence over all.
    pub(crate) fn enforce(&mut self, enforced: Option<&Options>) {
        let Some(enforced) = enforced else { return };
        self.max_ttl = match (self.max_ttl, enforced.ttl) {
            (Some(one), Some(other)) => Some(one.cap(other)),
            (one, other) => one.or(other),
        };
        self.layers.insert(0, (OptionSource::Enforced, Options { ttl: None, ..*enforced }));
    }

    fn all(&self) -> Options {
        self.layers.iter().fold(Options::NONE, |above, (_, below)| above.over(below))
    }

    /// Returns true if the effective options switch the cache off.
    pub(crate) fn is_disabled(&self) -> bool {
        self.all().disabled == Some(true)
    }

    /// Returns the ttl of an override around the call: it takes precedence over the ttl of the call itself.
    pub(crate) fn scoped_ttl(&self) -> Option<Ttl> {
        self.layers.iter().find(|(source, _)| *source == OptionSource::Scoped)?.1.ttl
    }

    /// Resolves all layers into the effective options.
    pub(crate) fn resolve(&self, remote: bool) -> Resolved {
        let resolved = self.all().resolve(remote);
        Resolved {
            ttl: self.max_ttl.map_or(resolved.ttl, |max| resolved.ttl.cap(max)),
            max_ttl: self.max_ttl,
            ..resolved
        }
    }

    /// Returns the source of an option, found by `is_set`; `None` for a default.
    pub(crate) fn source(&self, is_set: impl Fn(&Options) -> bool) -> Option<OptionSource> {
        self.layers.iter().find(|(_, options)| is_set(options)).map(|(source, _)| *source)
    }

    /// Returns the place of a function's own options: its attribute or code.
    pub(crate) fn own(&self) -> &'static str {
        self.own
    }

    /// Warns of options of a function that files set below its attribute, with a different value.
    pub(crate) fn advise(&self, function: &str) {
        for option in self.shadowed() {
            let advice = "a file sets this below the attribute, which says something else: \
                          `[retainit.override.functions]` stands above it";
            quietly(|| tracing::warn!(target: "retainit::advisor", function, option, "{advice}"));
        }
    }

    fn shadowed(&self) -> Vec<&'static str> {
        let of = |wanted: OptionSource| {
            self.layers.iter().find(|(source, _)| *source == wanted).map(|(_, options)| *options)
        };
        match (of(OptionSource::Own), of(OptionSource::File)) {
            (Some(own), Some(file)) => own.differences(&file),
            _ => Vec::new(),
        }
    }
}
