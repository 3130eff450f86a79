//! Configuration: main file, profiles, environment and code, merged field by field.
//!
//! | file | content |
//! |---|---|
//! | `tree.rs` | a file as a tree with lines; reads TOML |
//! | `yaml.rs` | reads YAML and JSON |
//! | `layer.rs` | the files and their order |
//! | `env.rs` | the meaning of a variable's name |
//! | `kubernetes.rs` | variables that are no settings |
//! | `location.rs` | the place of a setting |
//! | `schema.rs` | the keys and values that are allowed |
//! | `enforce.rs` | `enforced` and `null` |
//! | `merge.rs` | the merge of layers, by figment |
//! | `names.rs` | names of backends and serializers that do not exist |
//! | `resolve.rs` | the typed settings of an instance |
//! | `effective.rs` | every setting with its source |
//! | `reference.rs` | the reference page, and a main file with every default |

mod effective;
mod enforce;
mod env;
mod kubernetes;
mod layer;
mod location;
mod merge;
mod names;
mod preset;
mod problems;
mod reference;
mod resolve;
mod schema;
mod sections;
mod tree;
#[cfg(feature = "yaml")]
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use retainit_plugin::Result;

pub(crate) use effective::{CODE, DEFAULT};
pub use effective::{Effective, EffectiveSetting, FoundSetting};
pub(crate) use layer::FileSelection;
pub use preset::Preset;
pub(crate) use problems::nearest;
pub(crate) use resolve::{Code, Configured, Declared, FileLevel, Ranks};
pub(crate) use schema::is_own_key;
pub use sections::{EventKeys, Security, SingleFlight};
pub(crate) use sections::{EventsSection, Main};

use crate::Registry;
use enforce::Stack;
use layer::{EnvValue, Files, Layer, Variables, text_of};
use problems::Problems;
use resolve::Resolver;
use schema::Schema;
use tree::Tree;

/// Sources of the settings; a reload reads them again.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub(crate) wanted: FileSelection,
    /// Reads the environment if true.
    pub(crate) environment: bool,
    /// Variables to use instead of the process's.
    pub(crate) variables: Option<BTreeMap<String, String>>,
    /// Settings that come with the program.
    pub(crate) preset: Option<Preset>,
}

/// Shows no variables and no text of a preset, which may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("wanted", &self.wanted)
            .field("environment", &self.environment)
            .field("preset", &self.preset.as_ref().map(|preset| preset.name))
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// Returns the sources of a program that configures nothing: the main file of the working directory or of
    /// `RETAINIT_CONFIG`, the profile of `RETAINIT_PROFILE`, the environment.
    pub(crate) fn implicit() -> Sources {
        let wanted = FileSelection { search: true, ..FileSelection::default() };
        Sources { wanted, environment: true, ..Sources::default() }
    }

    fn variables(&self) -> Variables {
        if !self.environment {
            return Variables::new();
        }
        let as_value = |text: Option<String>| EnvValue { text, line: None };
        match &self.variables {
            Some(given) => given.iter().map(|(name, text)| (name.clone(), as_value(Some(text.clone())))).collect(),
            None => std::env::vars_os()
                .map(|(name, value)| {
                    // The lossy name is no setting's name, so its value must not be read under it: the variable stays
                    // without a text and is reported as such.
                    let text = name.to_str().and_then(|_| value.into_string().ok());
                    (name.to_string_lossy().into_owned(), as_value(text))
                })
                .collect(),
        }
    }
}

/// Reads all sources and merges them.
///
/// # Errors
///
/// [`ErrorKind::Config`](retainit_plugin::ErrorKind::Config) with all problems at once.
pub(crate) fn load(sources: &Sources, code: &Code<'_>, registry: &Registry) -> Result<Configured> {
    let mut problems = Problems::default();
    let mut variables = sources.variables();
    let mut wanted = sources.wanted.clone();
    if wanted.file.is_none() && wanted.search {
        wanted.file = text_of(&variables, env::CONFIG).map(Into::into);
    }
    let files = Files::read(&wanted, text_of(&variables, env::PROFILE), &mut problems);
    let mut environment = "environment".to_owned();
    if let Some((name, theirs)) = files.variables {
        environment = name;
        variables.extend(theirs);
    }
    let code_backends = code.backends.iter().map(|(name, config)| (&**name, &**config)).collect();
    // The types of backends have to be known to read the environment, and the environment may itself declare or replace
    // types. So the types are learned twice: from the files first, and below from all layers. Problems of the first
    // pass would be reported again by the second, and are dropped.
    let mut schema = Schema::new(registry, code_backends, &variables, files.folder);
    let mut layers = files.layers;
    let mut reported_again = Problems::default();
    schema.learn_types(&Stack::new(&layers), &mut reported_again);
    let from_env = env::layer(&environment, &variables, &schema, &mut problems);
    // `env_first` decides where the environment goes, so it is read before the merge: code takes precedence unless a
    // file enforces its value.
    let in_code = code.main.env_is_first().filter(|_| !Stack::new(&layers).is_enforced(&["env_first"]));
    let env_first = in_code.unwrap_or_else(|| env_first(&layers, &from_env));
    if env_first {
        layers.insert(0, from_env)
    } else {
        layers.push(from_env)
    }
    if let Some(preset) = &sources.preset {
        layers.extend(preset.layers(&schema, &mut problems));
    }
    // From here the order of the layers is final.
    let stack = Stack::new(&layers);
    schema.learn_types(&stack, &mut problems);
    files.others.iter().for_each(|other| schema.check_alone(other, &stack, &mut problems));
    let resolver = Resolver::new(&schema, code, &layers, &mut problems)?;
    let configured = resolver.resolve();
    // Problems are only checked now, so that one run reports all of them.
    problems.check()?;
    Ok(configured)
}

/// Returns the effective `env_first` of the layers, the environment included.
fn env_first(layers: &[Layer], environment: &Layer) -> bool {
    let read = |layer: &Layer| match &layer.table.get("env_first")?.tree {
        Tree::Leaf(value) => value.as_bool().or_else(|| value.as_str()?.parse().ok()),
        Tree::Table(_) => None,
    };
    let all = Stack::new(layers.iter().chain([environment]));
    all.holder(&["env_first"]).and_then(|number| read(all.layers().nth(number)?)).unwrap_or(false)
}
