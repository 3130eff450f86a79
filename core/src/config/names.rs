//! Names that lead nowhere: of backends and of serializers.

use super::effective::CODE;
use super::problems::{did_you_mean, unknown};
use super::resolve::{Configured, Resolver};
use crate::options::{AUTO, serializer_of};

impl Resolver<'_> {
    /// Looks at every name that files, the environment and code say.
    pub(super) fn check_names(&mut self, configured: &Configured) {
        let types = self.registry.names("backend");
        let known: Vec<&str> =
            configured.backends.iter().map(|backend| &*backend.name).chain(types.iter().map(String::as_str)).collect();
        for (path, leaf) in &self.leaves {
            let at: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(name) = leaf.value.as_str() else { continue };
            let problem = match at.as_slice() {
                // Whether anything uses the default is not known yet: its type need not be linked.
                ["default_backend"] => unknown_backend(name, &known),
                ["functions", _, "backend"] | ["override", "functions", _, "backend"] => {
                    let declared = configured.backends.iter().find(|backend| *backend.name == *name);
                    let declared = declared.filter(|backend| backend.config.is_none());
                    declared.map(|backend| backend.not_linked()).or_else(|| unknown_backend(name, &known))
                }
                [.., "serializer"] if name != AUTO => self.unusable_serializer(name),
                _ => None,
            };
            if let Some(text) = problem {
                self.problems.add(&leaf.place, &at, text);
            }
        }
        self.check_default_of_code(configured, &known);
    }

    fn unusable_serializer(&self, name: &str) -> Option<String> {
        let error = serializer_of(name).and_then(|name| self.registry.named_format(name)).err()?;
        let listed = self.registry.list();
        let names = listed.iter().filter(|plugin| plugin.kind == "serializer").map(|plugin| plugin.name.as_str());
        Some(format!("{error}{}", did_you_mean(name, names)))
    }

    /// The default backend, where code says it and nothing that is enforced stands above.
    fn check_default_of_code(&mut self, configured: &Configured, known: &[&str]) {
        let place = self.effective.get("default_backend");
        let Some(name) = configured.main.default_backend_name().filter(|_| place.source() == CODE) else { return };
        if !known.contains(&name) {
            let (known, hint) = (known.join(", "), did_you_mean(name, known.iter().copied()));
            let text = format!("no backend is called `{name}`; there are: {known}{hint}");
            self.problems.add_unknown_backend(CODE, &["default_backend"], text);
        }
    }
}

fn unknown_backend(name: &str, known: &[&str]) -> Option<String> {
    (!known.contains(&name)).then(|| unknown(&format!("backend `{name}`"), name, known.iter().copied()))
}
