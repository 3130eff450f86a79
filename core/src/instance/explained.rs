//! Lists the options in force for a function, with the source of each.

use std::fmt;

use crate::config::CODE;
use crate::engine::Plan;
use crate::options::{OptionRow, OptionSource, TABLE};

/// One option of a function, with the source that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// Name of the option, as in a profile.
    pub name: &'static str,
    /// Value in force, as a profile would write it.
    pub value: String,
    /// Source of the value: `default`, `attribute`, `override around the call`, or the place in a file.
    pub source: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {:<10} {}", self.name, self.value, self.source)
    }
}

/// Lists every option of a plan.
pub(crate) fn options(plan: &Plan) -> Vec<Explained> {
    let resolved = &plan.options;
    let is_capped = resolved.max_ttl == Some(resolved.ttl);
    let explained = |row: &OptionRow| {
        if row.name == "ttl" && resolved.ttl_of {
            let most = resolved.max_ttl.map(|max| format!(", at most {max}")).unwrap_or_default();
            let source = source(plan, row.name, Some(OptionSource::Own));
            return Explained { name: row.name, value: format!("of the value{most}"), source };
        }
        let origin = match row.name {
            "ttl" if is_capped => Some(OptionSource::Enforced),
            _ => plan.layers.source(row.is_set),
        };
        Explained { name: row.name, value: (row.shown)(resolved), source: source(plan, row.name, origin) }
    };
    TABLE.iter().map(explained).collect()
}

/// Names the source of an option, with its place in a file if that is known.
fn source(plan: &Plan, name: &str, origin: Option<OptionSource>) -> String {
    let (id, store) = (plan.function.id.as_str(), &*plan.store.name);
    let place = |path: &[&str]| plan.instance.setting_source(path).unwrap_or_else(|| CODE.to_owned());
    match origin {
        None => "default".to_owned(),
        Some(OptionSource::Scoped) => "override around the call".to_owned(),
        Some(OptionSource::Own) => plan.layers.own().to_owned(),
        Some(OptionSource::Override) => format!("{}, above the attribute", place(&["override", "functions", id, name])),
        Some(OptionSource::File) => place(&["functions", id, name]),
        Some(OptionSource::Backend) => format!("{}, backend `{store}`", place(&["backends", store, name])),
        Some(OptionSource::Enforced) => {
            let of_function = plan.instance.is_enforced("functions", id).then_some(["functions", id, name]);
            // Options that a profile enforces for a backend are in force even while an override hides that backend.
            let hidden = plan.hidden.as_ref().map(|hidden| &*hidden.name);
            let of_backends = [Some(store), hidden].into_iter().flatten();
            let of_backends = of_backends.filter(|name| plan.instance.is_enforced("backends", name));
            let paths = of_function.into_iter().chain(of_backends.map(|backend| ["backends", backend, name]));
            let place = paths.filter_map(|path| plan.instance.setting_source(&path)).next();
            let place = place.unwrap_or_else(|| CODE.to_owned());
            format!("{place}, enforced")
        }
    }
}
