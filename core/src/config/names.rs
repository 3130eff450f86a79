//! Check of names that refer to backends and serializers.

use std::collections::{BTreeMap, BTreeSet};

use super::effective::CODE;
use super::problems::{Compared, there_are};
use super::resolve::{Configured, Declared, Resolver};
use crate::options::{AUTO, serializer_of};

impl Resolver<'_> {
    /// Checks every name of a backend or serializer that files, the environment and code set.
    pub(super) fn check_names(&mut self, configured: &Configured) {
        let types = self.registry.names("backend");
        let declared: BTreeMap<&str, &Declared> = configured.backends.iter().map(|all| (&*all.name, all)).collect();
        let known: Vec<&str> = declared.keys().copied().chain(types.iter().map(String::as_str)).collect();
        let names: BTreeSet<&str> = known.iter().copied().collect();
        let compared = self.problems.compared();
        let unknown_backend = |name: &str| unknown_backend(name, &names, &known, compared);
        let mut found = Vec::new();
        for (path, leaf) in &self.leaves {
            let at: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(name) = leaf.value.as_str() else { continue };
            let problem = match at.as_slice() {
                // A default that nothing uses is allowed to be of a type that is not linked, and uses are not known
                // yet.
                ["default_backend"] => unknown_backend(name),
                ["functions", _, "backend"] | ["override", "functions", _, "backend"] => {
                    let unlinked = declared.get(name).filter(|backend| backend.config.is_none());
                    unlinked.map(|backend| backend.not_linked()).or_else(|| unknown_backend(name))
                }
                [.., "serializer"] if name != AUTO => self.unusable_serializer(name),
                _ => None,
            };
            found.extend(problem.map(|text| (leaf.place.clone(), path.clone(), text)));
        }
        for (place, path, text) in found {
            self.problems.add(&place, &path.iter().map(String::as_str).collect::<Vec<_>>(), text);
        }
        self.check_default_of_code(configured, &known);
    }

    fn unusable_serializer(&self, name: &str) -> Option<String> {
        let error = serializer_of(name).and_then(|name| self.registry.named_format(name)).err()?;
        let listed = self.registry.list();
        let names = listed.iter().filter(|plugin| plugin.kind == "serializer").map(|plugin| plugin.name.as_str());
        Some(format!("{error:#}{}", self.problems.compared().did_you_mean(name, &names.collect::<Vec<_>>())))
    }

    /// Checks the default backend if code sets it and no enforced value replaces it.
    fn check_default_of_code(&mut self, configured: &Configured, known: &[&str]) {
        let place = self.effective.get("default_backend");
        let Some(name) = configured.main.default_backend_name().filter(|_| place.source() == CODE) else { return };
        if !known.contains(&name) {
            let hint = self.problems.compared().did_you_mean(name, known);
            let text = format!("no backend is called `{name}`; {}{hint}", there_are(known.iter().copied()));
            self.problems.add_unknown_backend(CODE, &["default_backend"], text);
        }
    }
}

fn unknown_backend(name: &str, names: &BTreeSet<&str>, known: &[&str], compared: &Compared) -> Option<String> {
    (!names.contains(name)).then(|| compared.unknown(&format!("backend `{name}`"), name, known))
}
