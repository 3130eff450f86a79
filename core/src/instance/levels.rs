//! The levels at which options are said, highest first, and which of them decided.

use retainit_plugin::Ttl;

use super::Level;
use crate::Retainit;
use crate::config::Ranks;
use crate::engine::Store;
use crate::options::{Options, Resolved};
use crate::runtime::quietly;

/// Who said something about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A profile that nothing may weaken.
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

/// What every level says.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    said: Vec<(Origin, Options)>,
    own: &'static str,
    /// No entry is fresh for longer, whoever says so.
    max_ttl: Option<Ttl>,
}

impl Levels {
    /// The levels of a function outside its backend.
    pub(super) fn new(instance: &Retainit, id: &str, scoped: Options, own: Level<'_>) -> Levels {
        let configured = instance.configured();
        let file = |levels: &std::collections::BTreeMap<String, crate::config::FileLevel>| {
            levels.get(id).map_or(Options::NONE, |level| level.options)
        };
        let (above, below) = (file(&configured.overrides), file(&configured.functions));
        let mut levels = Levels {
            said: vec![
                (Origin::Scoped, scoped),
                (Origin::Override, above),
                (Origin::Own, own.options),
                (Origin::File, below),
            ],
            own: own.place,
            max_ttl: None,
        };
        levels.enforce(configured.enforced_functions.get(id));
        levels
    }

    /// Adds what the backend says.
    ///
    /// Files stand above each other as wholes: what a profile, or code, says of the backend stands above what the main
    /// file says of the function.
    pub(super) fn on(&mut self, instance: &Retainit, id: &str, store: &Store) {
        let configured = instance.configured();
        let of_function = configured.functions.get(id).map(|level| &level.ranks);
        let declared = configured.backends.iter().find(|backend| backend.name == store.name);
        let of_backend = declared.map(|backend| &backend.ranks);
        let is_below = |field: &str| {
            let rank = |ranks: Option<&Ranks>| ranks.and_then(|ranks| ranks.get(field)).copied();
            // What a backend has without a rank was said in code.
            rank(of_backend).is_none_or(|backend| rank(of_function).is_some_and(|function| backend < function))
        };
        if let Some((_, file)) = self.said.iter_mut().find(|(origin, _)| *origin == Origin::File) {
            file.yield_to(&store.options, is_below);
        }
        self.said.push((Origin::Backend, store.options));
        self.enforce(configured.enforced_backends.get(&*store.name));
    }

    /// Adds what is enforced of a backend that an override hides.
    pub(super) fn hide(&mut self, instance: &Retainit, store: &Store) {
        self.enforce(instance.configured().enforced_backends.get(&*store.name));
    }

    fn enforce(&mut self, enforced: Option<&Options>) {
        let Some(enforced) = enforced else { return };
        self.max_ttl = match (self.max_ttl, enforced.ttl) {
            (Some(one), Some(other)) => Some(one.cap(other)),
            (one, other) => one.or(other),
        };
        self.said.insert(0, (Origin::Enforced, Options { ttl: None, ..*enforced }));
    }

    fn all(&self) -> Options {
        self.said.iter().fold(Options::NONE, |above, (_, below)| above.over(below))
    }

    /// Whether some level switches the cache off.
    pub(super) fn is_disabled(&self) -> bool {
        self.all().disabled == Some(true)
    }

    /// The ttl that an override around the call sets: it stands above what the call itself asks for.
    pub(crate) fn scoped_ttl(&self) -> Option<Ttl> {
        self.said.iter().find(|(origin, _)| *origin == Origin::Scoped)?.1.ttl
    }

    /// What holds in the end.
    pub(crate) fn resolve(&self, remote: bool) -> Resolved {
        let resolved = self.all().resolve(remote);
        Resolved {
            ttl: self.max_ttl.map_or(resolved.ttl, |max| resolved.ttl.cap(max)),
            max_ttl: self.max_ttl,
            ..resolved
        }
    }

    /// Who decided an option; `None` for a default.
    pub(crate) fn origin(&self, is_said: impl Fn(&Options) -> bool) -> Option<Origin> {
        self.said.iter().find(|(_, options)| is_said(options)).map(|(origin, _)| *origin)
    }

    /// Where a function's own options are: in its attribute or in code.
    pub(crate) fn own(&self) -> &'static str {
        self.own
    }

    /// Tells of options of a function that files set below its attribute, which says something else.
    pub(super) fn advise(&self, function: &str) {
        for option in self.shadowed() {
            let advice = "a file sets this below the attribute, which says something else: \
                          `[retainit.override.functions]` stands above it";
            quietly(|| tracing::warn!(target: "retainit::advisor", function, option, "{advice}"));
        }
    }

    fn shadowed(&self) -> Vec<&'static str> {
        let of = |wanted: Origin| self.said.iter().find(|(origin, _)| *origin == wanted).map(|(_, options)| *options);
        match (of(Origin::Own), of(Origin::File)) {
            (Some(own), Some(file)) => own.differences(&file),
            _ => Vec::new(),
        }
    }
}
