//! What is wrong with a configuration: all of it, each with its place, its key and a remedy.

use crate::{Error, ErrorKind, Result};

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    all: Vec<(String, String)>,
    /// Whether code names a backend that is not there, which is a kind of its own.
    unknown_backend: bool,
}

impl Problems {
    /// A problem of the key at `path`, found at `place`: `retainit.toml:12`.
    pub(super) fn add(&mut self, place: &str, path: &[&str], text: impl AsRef<str>) {
        let key = if path.is_empty() { String::new() } else { format!("{}: ", join(path)) };
        self.all.push((place.to_owned(), format!("{key}{}", text.as_ref())));
    }

    /// The same, of a name in code that leads to no backend.
    pub(super) fn add_unknown_backend(&mut self, place: &str, path: &[&str], text: impl AsRef<str>) {
        self.unknown_backend = true;
        self.add(place, path, text);
    }

    /// One error for all problems: source by source as they were found, and by line; each is told once.
    pub(super) fn check(mut self) -> Result<()> {
        let file = |place: &str| place.rsplit_once(':').map_or(place, |(file, _)| file).to_owned();
        let line = |place: &str| place.rsplit_once(':').and_then(|(_, line)| line.parse::<usize>().ok());
        let files: Vec<String> = self.all.iter().map(|(place, _)| file(place)).collect();
        self.all.sort_by_cached_key(|(place, _)| (files.iter().position(|known| *known == file(place)), line(place)));
        let mut texts: Vec<String> = self.all.iter().map(|(place, text)| format!("{place}: {text}")).collect();
        texts.dedup();
        match texts.as_slice() {
            [] => Ok(()),
            [one] if self.unknown_backend => Err(Error::new(ErrorKind::UnknownBackend, one.clone())),
            [one] => Err(Error::new(ErrorKind::Config, one.clone())),
            many => {
                let list = many.iter().map(|text| format!("- {text}")).collect::<Vec<_>>().join("\n");
                Err(Error::new(ErrorKind::Config, format!("{} problems in the configuration:\n{list}", many.len())))
            }
        }
    }
}

/// A path as a profile would write it: names that are no bare keys are quoted.
pub(super) fn join<S: AsRef<str>>(path: &[S]) -> String {
    let quoted = |name: &str| {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
    };
    path.iter().map(|name| quoted(name.as_ref())).collect::<Vec<_>>().join(".")
}

/// Takes a path apart again: `functions."users.get".ttl`.
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

/// The known name that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let close = |known: &'a str| {
        let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
        (distance <= (name.len().max(known.len()) / 3).max(1)).then_some((distance, known))
    };
    known.into_iter().filter_map(close).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// `; did you mean …?` behind a list of what there is; empty where nothing is near.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"))
}

/// `unknown key; did you mean …?`, or what there is.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("unknown {what}; did you mean `{nearest}`?"),
        None if known.is_empty() => format!("unknown {what}; there is none"),
        None => format!("unknown {what}; there are: {}", known.join(", ")),
    }
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
    fn all_problems_are_one_error_and_each_is_told_once() {
        let mut problems = Problems::default();
        problems.add("a.toml:1", &["x"], "wrong");
        problems.add("a.toml:1", &["x"], "wrong");
        problems.add("a.toml", &[], "unreadable");
        let text = problems.check().expect_err("two problems").to_string();
        assert_eq!(text, "2 problems in the configuration:\n- a.toml: unreadable\n- a.toml:1: x: wrong");
    }
}
