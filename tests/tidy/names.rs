//! One meaning for each name, and documentation that can be understood alone.

use std::collections::BTreeMap;

use super::{files, read, report};

/// The contracts and the engine: their types are read together.
const CORE: [&str; 2] = ["core/src/", "core/plugin/src/"];

fn is_core(file: &str) -> bool {
    CORE.iter().any(|folder| file.starts_with(folder)) && !file.contains("/tests")
}

/// Returns the name of the type that a line defines. Associated types are named by their trait, so an indented `type`
/// is none.
fn defined(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub") || *word == "unsafe");
    let kind = words.next()?;
    let is_type = matches!(kind, "struct" | "enum" | "trait" | "union") || (kind == "type" && !line.starts_with(' '));
    let name = words.next().filter(|_| is_type)?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
    Some(&name[..end]).filter(|name| name.starts_with(char::is_uppercase))
}

#[test]
fn a_type_name_means_one_thing_in_core() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files(&[".rs"]).into_iter().filter(|file| is_core(file)) {
        let text = read(&file);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if let Some(name) = defined(line) {
                found.entry(name.to_owned()).or_default().push(format!("{file}:{}", number + 1));
            }
        }
    }
    let twice = found.into_iter().filter(|(_, places)| places.len() > 1);
    report(
        twice
            .map(|(name, places)| {
                format!(
                    "{}: `{name}` has more than one meaning; docs/glossary.md has the words in use",
                    places.join(" and ")
                )
            })
            .collect(),
    );
}

#[test]
fn definitions_are_found() {
    assert_eq!(defined("pub(crate) struct Plan<'a> {"), Some("Plan"));
    assert_eq!(defined("    pub enum How {"), Some("How"));
    assert_eq!(defined("pub type Boxed<T> = Box<T>;"), Some("Boxed"));
    assert_eq!(defined("    type Value = T;"), None);
    assert_eq!(defined("pub fn structure() {"), None);
}

/// Beginnings that say nothing without their neighbour, or hide what the item does.
const BANNED: [&str; 10] =
    ["What ", "Whether ", "How ", "Who ", "Where ", "Which ", "The same", "As there", "As above", "Something "];

/// The first line of each documentation comment, with its number.
fn openings(text: &str) -> Vec<(usize, &str)> {
    let doc = |line: &str| ["/// ", "//! "].iter().any(|mark| line.starts_with(mark));
    let (mut found, mut inside) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if doc(line) && !inside {
            found.push((number + 1, &line[4..]));
        }
        inside = line.starts_with("///") || line.starts_with("//!");
    }
    found
}

#[test]
fn documentation_begins_with_what_an_item_does() {
    let mut problems = Vec::new();
    for file in files(&[".rs"]) {
        let text = read(&file);
        for (line, opening) in openings(&text) {
            if let Some(banned) = BANNED.iter().find(|banned| opening.starts_with(**banned)) {
                problems.push(format!(
                    "{file}:{line}: documentation begins with {:?}: say what the item does or is, with a verb and its object",
                    banned.trim()
                ));
            }
        }
    }
    report(problems);
}

#[test]
fn openings_are_found() {
    let text = "/// Counts.\n/// What else\nfn a() {}\n    //! Whether\n\n/// Who";
    assert_eq!(openings(text), [(1, "Counts."), (4, "Whether"), (6, "Who")]);
}

// T-144
#[test]
fn examples_use_the_crate_that_users_have() {
    let mut problems = Vec::new();
    for file in files(&[".rs"]).into_iter().filter(|file| !file.starts_with("core/testkit/")) {
        for (number, line) in read(&file).lines().enumerate() {
            let text =
                ["/// use retainit_", "//! use retainit_"].iter().find(|text| line.trim_start().starts_with(*text));
            if text.is_some() {
                problems.push(format!(
                    "{file}:{}: write `use retainit::…`: it is the crate that users depend on",
                    number + 1
                ));
            }
        }
    }
    report(problems);
}
