use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use retainit_plugin::{BackendConfig, HIDDEN, Value};

use super::problems::{join, split};
use super::resolve::written;
use super::schema::default_value;

/// Every setting of an instance, with what it is and where that was said. `Display` lists them.
///
/// Secrets, and all fields of backends whose type is not linked, are shown as `***`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    settings: BTreeMap<Vec<String>, Setting>,
    aliases: BTreeMap<Vec<String>, Vec<String>>,
}

/// One setting, as [`Effective::get`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    value: String,
    source: String,
    hidden: Hidden,
}

/// What stands behind `***`, so that a change of it is noticed.
#[derive(Clone, Default, PartialEq, Eq)]
struct Hidden(Option<Value>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { HIDDEN } else { "nothing" })
    }
}

impl Setting {
    /// Its value as a profile would write it, empty where there is none.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Where it was said: `retainit.toml:12`, a variable's name, `code` or `default`.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// What [`Effective::get`] found: a [`Setting`], or nothing at that path. It is used as the `Option` it holds, or asked
/// directly.
///
/// ```
/// # fn example(retainit: &retainit_core::Retainit) {
/// let effective = retainit.effective();
/// println!("{} from {}", effective.get("namespace").value(), effective.get("namespace").source());
/// assert!(effective.get("colour").is_none());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a>(Option<&'a Setting>);

impl<'a> Found<'a> {
    /// The setting's value; empty where there is none.
    pub fn value(&self) -> &'a str {
        self.0.map_or("", |setting| &setting.value)
    }

    /// Where it was said; `default` where nobody did.
    pub fn source(&self) -> &'a str {
        self.0.map_or(DEFAULT, |setting| &setting.source)
    }
}

impl<'a> Deref for Found<'a> {
    type Target = Option<&'a Setting>;

    fn deref(&self) -> &Option<&'a Setting> {
        &self.0
    }
}

impl<'a> PartialEq<Option<&'a Setting>> for Found<'a> {
    fn eq(&self, other: &Option<&'a Setting>) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.source)
    }
}

impl Effective {
    /// The setting at a path such as `backends.default.ttl` or `functions."users.get".ttl`, without the `retainit` in
    /// front.
    pub fn get(&self, path: &str) -> Found<'_> {
        let path = split(path);
        Found(self.settings.get(self.aliases.get(&path).unwrap_or(&path)))
    }

    /// All settings by path.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Setting)> {
        self.settings.iter().map(|(path, setting)| (join(path), setting))
    }

    pub(super) fn put(&mut self, path: Vec<String>, value: impl Into<String>, source: impl Into<String>) {
        self.settings.insert(path, Setting { value: value.into(), source: source.into(), hidden: Hidden::default() });
    }

    /// Notes a value that is never shown.
    pub(super) fn put_hidden(&mut self, path: Vec<String>, value: &Value, source: impl Into<String>) {
        let hidden = Hidden(Some(value.clone()));
        self.settings.insert(path, Setting { value: HIDDEN.to_owned(), source: source.into(), hidden });
    }

    pub(super) fn alias(&mut self, alias: Vec<String>, path: Vec<String>) {
        self.aliases.insert(alias, path);
    }

    /// Adds a backend that is not in the configuration, and where what it says of itself was said.
    pub(crate) fn add_backend(&mut self, name: &str, config: &dyn BackendConfig, source: &str) {
        let at = |field: &str| ["backends", name, field].map(str::to_owned).to_vec();
        self.put(at("type"), config.type_name(), source);
        for field in config.fields() {
            field.aliases.iter().for_each(|alias| self.alias(at(alias), at(field.name)));
            match config.shown(field.name) {
                Some(value) => self.put(at(field.name), value, source),
                None => self.put(at(field.name), written(&default_value(field)), DEFAULT),
            }
        }
    }

    /// The paths whose values differ, those that are never shown too.
    pub(crate) fn changes(&self, other: &Effective) -> Vec<Vec<String>> {
        fn value<'a>(all: &'a Effective, path: &[String]) -> Option<(&'a str, &'a Hidden)> {
            all.settings.get(path).map(|setting| (setting.value.as_str(), &setting.hidden))
        }
        let mut paths: Vec<_> = self.settings.keys().chain(other.settings.keys()).cloned().collect();
        paths.sort();
        paths.dedup();
        paths.retain(|path| value(self, path) != value(other, path));
        paths
    }

    /// A path as a profile would write it.
    pub(crate) fn shown(path: &[String]) -> String {
        join(path)
    }

    /// Where a setting was said.
    pub(super) fn place_of(&self, path: &[String]) -> Option<&str> {
        self.settings.get(path).map(|setting| setting.source.as_str())
    }

    /// The source of a setting that somebody said.
    pub(crate) fn source(&self, path: &[&str]) -> Option<&str> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.settings.get(&path).map(|setting| setting.source.as_str()).filter(|source| *source != DEFAULT)
    }
}

/// The source of what nobody said.
pub(crate) const DEFAULT: &str = "default";
/// The source of what the program said.
pub(crate) const CODE: &str = "code";

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.iter().map(|(path, setting)| path.len() + setting.value.len()).max().unwrap_or(0);
        for (path, setting) in self.iter() {
            let used = path.len() + setting.value.len();
            writeln!(f, "{path} = {}{:pad$}  # {}", setting.value, "", setting.source, pad = wide - used)?;
        }
        Ok(())
    }
}
