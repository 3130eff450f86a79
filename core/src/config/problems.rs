//! Problems of a configuration: all of them, each with its place, its key and a remedy.

use std::cell::Cell;
use std::collections::HashMap;

use retainit_plugin::{Error, ErrorKind, Result};

use super::location::Location;

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Problems {
    all: Vec<FoundProblem>,
    /// True if code names a backend that does not exist, which has an error kind of its own.
    unknown_backend: bool,
    compared: Compared,
}

#[derive(Debug, PartialEq)]
struct FoundProblem {
    place: Location,
    /// Key path; empty for a problem of no key.
    path: String,
    text: String,
}

/// Counter of names compared with long lists to find a suggestion. A file may consist of mistakes, each compared with
/// every known name: only the first mistakes get a suggestion then.
#[derive(Debug, Default)]
pub(super) struct Compared(Cell<usize>);

/// Length up to which comparing with a list is not counted.
const SHORT_LIST: usize = 64;
const MAX_COMPARED: usize = 1 << 16;
/// Longer names get no suggestion.
const LONGEST_NAME: usize = 256;

impl Compared {
    /// Finds the known name that was probably meant.
    pub(super) fn nearest<'a>(&self, name: &str, known: &[&'a str]) -> Option<&'a str> {
        if known.len() > SHORT_LIST {
            if self.0.get() > MAX_COMPARED {
                return None;
            }
            self.0.set(self.0.get().saturating_add(known.len()));
        }
        nearest(name, known.iter().copied())
    }

    /// Writes `; did you mean …?`; empty where no name is near.
    pub(super) fn did_you_mean(&self, name: &str, known: &[&str]) -> String {
        self.nearest(name, known).map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
    }

    /// Writes `unknown key; did you mean …?`, or the list of known names.
    pub(super) fn unknown(&self, what: &str, name: &str, known: &[&str]) -> String {
        match self.nearest(name, known) {
            Some(nearest) => format!("unknown {what}; did you mean `{nearest}`?"),
            None => format!("unknown {what}; {}", there_are(known.iter().copied())),
        }
    }
}

/// Writes `there are: …`, or `there is none`; a long list is cut.
pub(super) fn there_are<'a>(names: impl ExactSizeIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> String {
    match names.len() {
        0 => "there is none".to_owned(),
        _ => format!("there are: {}", listed(names)),
    }
}

/// Joins names by commas; a long list is cut.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> String {
    let more = names.len().saturating_sub(SHORT_LIST);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let first: Vec<&str> = names.take(SHORT_LIST).map(AsRef::as_ref).collect();
    format!("{}{more}", first.join(", "))
}

impl Problems {
    /// Adds a problem of the key at `path`, found at a place.
    pub(super) fn add(&mut self, place: impl Into<Location>, path: &[&str], text: impl Into<String>) {
        self.all.push(FoundProblem { place: place.into(), path: join(path), text: text.into() });
    }

    /// Adds a problem of a name in code for which there is no backend.
    pub(super) fn add_unknown_backend(&mut self, place: impl Into<Location>, path: &[&str], text: impl Into<String>) {
        self.unknown_backend = true;
        self.add(place, path, text);
    }

    /// Returns the counter for suggestions.
    pub(super) fn compared(&self) -> &Compared {
        &self.compared
    }

    /// Turns all problems into one error: source by source as they were found, by line, without repetitions.
    pub(super) fn check(mut self) -> Result<()> {
        let mut sources = HashMap::new();
        for found in &self.all {
            let next = sources.len();
            sources.entry(found.place.source().to_owned()).or_insert(next);
        }
        self.all.sort_by_cached_key(|found| (sources.get(found.place.source()).copied(), found.place.number()));
        self.all.dedup();
        let kind = match self.all.len() {
            1 if self.unknown_backend => ErrorKind::UnknownBackend,
            _ => ErrorKind::Config,
        };
        let error = |FoundProblem { place, path, text }: FoundProblem| {
            let error = Error::new(kind, text).with_place(place.as_str());
            if path.is_empty() { error } else { error.with_field(path) }
        };
        let errors = self.all.into_iter().map(error).collect();
        Error::several("problems in the configuration", errors).map_or(Ok(()), Err)
    }
}

/// Writes a path as a profile would: names that are no bare keys are quoted.
pub(super) fn join<S: AsRef<str>>(path: &[S]) -> String {
    let quoted = |name: &str| {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
    };
    path.iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(".")
}

/// Splits a path such as `functions."users.get".ttl` into its names.
pub(super) fn split(path: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => parts.last_mut().expect("there is a first part").push(c),
        }
    }
    parts
}

/// Finds the known name that was probably meant, by edit distance.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let (lower, length) = (name.to_lowercase(), name.chars().count());
    let close = |known: &'a str| {
        // The distance is at least the difference in length, so most names are ruled out without computing it.
        let least = || known.chars().count().abs_diff(length);
        if known.len() > LONGEST_NAME || least() > (name.len().max(known.len()) / 3).max(1) {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
        (distance <= (name.len().max(known.len()) / 3).max(1)).then_some((distance, known))
    };
    known.into_iter().filter_map(close).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_in_a_profile() {
        let path = ["functions", "shop::user", "ttl"];
        assert_eq!(join(&path), "functions.\"shop::user\".ttl");
        assert_eq!(split("functions.\"users.get\".ttl"), ["functions", "users.get", "ttl"]);
    }

    #[test]
    fn the_nearest_name() {
        assert_eq!(nearest("max_entires", ["max_entries", "max_bytes"]), Some("max_entries"));
        assert_eq!(nearest("TTL", ["ttl"]), Some("ttl"));
        assert_eq!(nearest("colour", ["ttl", "max_entries"]), None);
    }

    #[test]
    fn all_problems_are_one_error_and_each_is_reported_once() {
        let mut problems = Problems::default();
        problems.add(Location::line("a.toml", 1), &["x"], "wrong");
        problems.add(Location::line("a.toml", 1), &["x"], "wrong");
        problems.add("a.toml", &[], "unreadable");
        let text = problems.check().expect_err("two problems").to_string();
        assert_eq!(text, "2 problems in the configuration:\n- a.toml: unreadable\n- a.toml:1: x: wrong");
    }
}
