use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use retainit_plugin::{BackendConfig, Error, HIDDEN, Value};

use super::location::Location;
use super::problems::{join, split};
use super::schema::shown_default;

/// Every setting of an instance with its value and its source. `Display` lists them.
///
/// Secrets, and all fields of backends whose type is not linked, are shown as `***`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    settings: BTreeMap<Vec<String>, EffectiveSetting>,
    aliases: BTreeMap<Vec<String>, Vec<String>>,
}

/// One setting, as [`Effective::get`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    value: String,
    source: Location,
    hidden: Hidden,
}

/// The value shown as `***`, compared so that a reload notices a changed secret.
#[derive(Clone, Default, PartialEq, Eq)]
struct Hidden(Option<Value>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { HIDDEN } else { "nothing" })
    }
}

impl EffectiveSetting {
    /// Returns the value as a profile would write it, empty where there is none.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the source of the value: `retainit.toml:12`, a variable's name, `code` or `default`.
    pub fn source(&self) -> &str {
        self.source.as_str()
    }
}

/// Result of [`Effective::get`]: an [`EffectiveSetting`], or nothing at that path. It derefs to the `Option` it holds,
/// and its methods answer for both cases.
///
/// ```
/// # fn example(retainit: &retainit_core::Retainit) {
/// let effective = retainit.effective();
/// println!("{} from {}", effective.get("namespace").value(), effective.get("namespace").source());
/// assert!(effective.get("colour").is_none());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSetting<'a>(Option<&'a EffectiveSetting>);

impl<'a> FoundSetting<'a> {
    /// Returns the setting's value; empty where there is none.
    pub fn value(&self) -> &'a str {
        self.0.map_or("", |setting| &setting.value)
    }

    /// Returns the source of the setting; `default` where no source sets it.
    pub fn source(&self) -> &'a str {
        self.0.map_or(DEFAULT, |setting| setting.source.as_str())
    }
}

impl<'a> Deref for FoundSetting<'a> {
    type Target = Option<&'a EffectiveSetting>;

    fn deref(&self) -> &Option<&'a EffectiveSetting> {
        &self.0
    }
}

impl<'a> PartialEq<Option<&'a EffectiveSetting>> for FoundSetting<'a> {
    fn eq(&self, other: &Option<&'a EffectiveSetting>) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for EffectiveSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.source)
    }
}

impl Effective {
    /// Returns the setting at a path such as `backends.default.ttl` or `functions."users.get".ttl`, without the
    /// `retainit` in front.
    pub fn get(&self, path: &str) -> FoundSetting<'_> {
        let path = split(path);
        FoundSetting(self.settings.get(self.aliases.get(&path).unwrap_or(&path)))
    }

    /// Iterates over all settings by path.
    pub fn iter(&self) -> impl Iterator<Item = (String, &EffectiveSetting)> {
        self.settings.iter().map(|(path, setting)| (join(path), setting))
    }

    pub(super) fn put(&mut self, path: Vec<String>, value: impl Into<String>, source: impl Into<Location>) {
        self.settings
            .insert(path, EffectiveSetting { value: value.into(), source: source.into(), hidden: Hidden::default() });
    }

    /// Adds a setting whose value is never shown.
    pub(super) fn put_hidden(&mut self, path: Vec<String>, value: &Value, source: impl Into<Location>) {
        let hidden = Hidden(Some(value.clone()));
        self.settings.insert(path, EffectiveSetting { value: HIDDEN.to_owned(), source: source.into(), hidden });
    }

    pub(super) fn alias(&mut self, alias: Vec<String>, path: Vec<String>) {
        self.aliases.insert(alias, path);
    }

    /// Adds a backend that exists only in the program, with its fields and their source.
    pub(crate) fn add_backend(&mut self, name: &str, config: &dyn BackendConfig, source: &str) {
        let at = |field: &str| ["backends", name, field].map(str::to_owned).to_vec();
        self.put(at("type"), config.type_name(), source);
        for field in config.fields() {
            field.aliases.iter().for_each(|alias| self.alias(at(alias), at(field.name)));
            match config.shown(field.name) {
                Some(value) => self.put(at(field.name), value, source),
                None => self.put(at(field.name), shown_default(field), DEFAULT),
            }
        }
    }

    /// Returns the paths whose values differ, including those that are never shown.
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

    /// Writes a path as a profile would.
    pub(crate) fn shown(path: &[String]) -> String {
        join(path)
    }

    /// Returns the source of the setting at a path.
    pub(super) fn place_of(&self, path: &[String]) -> Option<&Location> {
        self.settings.get(path).map(|setting| &setting.source)
    }

    /// Returns the source of a setting unless that is the default.
    pub(super) fn place(&self, path: &[&str]) -> Option<&Location> {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        self.place_of(&path).filter(|place| place.as_str() != DEFAULT)
    }

    /// Returns the source of a setting, as text, unless that is the default.
    pub(crate) fn source(&self, path: &[&str]) -> Option<&str> {
        self.place(path).map(Location::as_str)
    }

    /// Adds the source and the whole path of a field to an error about a section; `Err` with the same error if it names
    /// no field, or a field that no source sets.
    pub(crate) fn placed(&self, error: Error, section: &[&str]) -> Result<Error, Error> {
        let path = error.field().map(|field| [section, &[field]].concat());
        let placed = path.as_ref().and_then(|path| Some((self.source(path)?.to_owned(), join(path))));
        match placed {
            Some((place, path)) => Ok(error.with_place(place).with_field(path)),
            None => Err(error),
        }
    }
}

/// The source of a setting that is at its default.
pub(crate) const DEFAULT: &str = "default";
/// The source of a setting that the program sets.
pub(crate) const CODE: &str = "code";

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.iter().map(|(path, setting)| path.len() + setting.value.len()).max().unwrap_or(0);
        for (path, setting) in self.iter() {
            let used = path.len() + setting.value.len();
            writeln!(f, "{path} = {}{:pad$}  # {}", setting.value, "", setting.source(), pad = wide - used)?;
        }
        Ok(())
    }
}
