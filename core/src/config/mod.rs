//! Configuration: main file, profiles, environment and code, laid over each other field by field.
//!
//! | file | what it knows |
//! |---|---|
//! | `tree.rs` | TOML, YAML and JSON as one tree with lines |
//! | `layer.rs` | which files there are |
//! | `env.rs` | what a variable's name means |
//! | `schema.rs` | what may be set, and what is wrong with what was |
//! | `enforce.rs` | what lower layers hold against higher ones |
//! | `merge.rs` | layers over each other, by figment |
//! | `names.rs` | names of backends and serializers that lead nowhere |
//! | `resolve.rs` | the typed settings of an instance |
//! | `effective.rs` | every setting with its source |
//! | `reference.rs` | the reference page, and a main file with every default |

mod effective;
mod enforce;
mod env;
mod layer;
mod merge;
mod names;
mod preset;
mod problems;
mod reference;
mod resolve;
mod schema;
mod sections;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

pub(crate) use effective::{CODE, DEFAULT};
pub use effective::{Effective, Found, Setting};
pub(crate) use layer::Wanted;
pub(crate) use preset::Preset;
pub(crate) use resolve::{Code, Configured, Declared, FileLevel, Ranks};
pub(crate) use schema::is_own_key;
pub use sections::{EventKeys, SingleFlight};
pub(crate) use sections::{EventsSection, Main};

use crate::{Registry, Result};
use layer::{Files, Layer, Said, Variables, text_of};
use problems::Problems;
use resolve::Resolver;
use schema::Schema;
use tree::{Format, Tree};

/// Where settings are to be taken from; asked again by a reload.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub(crate) wanted: Wanted,
    /// Whether the environment is read at all.
    pub(crate) environment: bool,
    /// Variables in place of the process's.
    pub(crate) variables: Option<BTreeMap<String, String>>,
    /// Settings that come with the program.
    pub(crate) preset: Option<Preset>,
}

/// Variables and presets may hold secrets.
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
    /// What a program gets that configured nothing: the main file of the working directory or of `RETAINIT_CONFIG`,
    /// the profile of `RETAINIT_PROFILE`, the environment.
    pub(crate) fn implicit() -> Sources {
        let wanted = Wanted { search: true, ..Wanted::default() };
        Sources { wanted, environment: true, ..Sources::default() }
    }

    fn variables(&self) -> Variables {
        if !self.environment {
            return Variables::new();
        }
        let said = |text: Option<String>| Said { text, line: None };
        match &self.variables {
            Some(given) => given.iter().map(|(name, text)| (name.clone(), said(Some(text.clone())))).collect(),
            None => std::env::vars_os()
                .map(|(name, value)| {
                    // What is written in place of a name that is not UTF-8 is no name that anybody asks for.
                    let text = name.to_str().and_then(|_| value.into_string().ok());
                    (name.to_string_lossy().into_owned(), said(text))
                })
                .collect(),
        }
    }
}

/// Reads all sources and lays them over each other.
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with every problem there is.
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
    let mut schema = Schema::new(registry, code_backends, &variables, files.folder);
    let mut layers = files.layers;
    let mut unheard = Problems::default();
    schema.learn_types(&layers, &mut unheard);
    let from_env = env::layer(&environment, &variables, &schema, &mut problems);
    let in_code = code.main.env_is_first().filter(|_| !enforce::is_enforced(&layers, &["env_first"]));
    let env_first = in_code.unwrap_or_else(|| env_first(&layers, &from_env));
    if env_first {
        layers.insert(0, from_env)
    } else {
        layers.push(from_env)
    }
    if let Some(Preset { name, text }) = &sources.preset {
        let mut preset = layer::parse(format!("preset {name}"), Format::Toml, text, &mut problems);
        // A preset asks for no more than is linked.
        preset.iter_mut().for_each(|layer| layer.table.retain(|name, _| schema.is_possible(name)));
        layers.extend(preset);
    }
    schema.learn_types(&layers, &mut problems);
    files.others.iter().for_each(|other| schema.check_alone(other, &layers, &mut problems));
    let resolver = Resolver::new(&schema, code, &layers, &mut problems)?;
    let configured = resolver.resolve();
    problems.check()?;
    Ok(configured)
}

/// What the layers say about whether the environment stands above the files.
fn env_first(layers: &[Layer], environment: &Layer) -> bool {
    let said = |layer: &Layer| match &layer.table.get("env_first")?.tree {
        Tree::Leaf(value) => value.as_bool().or_else(|| value.as_str()?.parse().ok()),
        Tree::Table(_) => None,
    };
    let all: Vec<Layer> = layers.iter().chain([environment]).cloned().collect();
    enforce::holder(&all, &["env_first"]).and_then(|number| said(&all[number])).unwrap_or(false)
}
