//! Checks that everything documents name exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::{files, read, report, root};

/// Returns the text between `open` and `close`, line by line, outside blocks of code.
fn between(text: &str, open: &str, close: char) -> Vec<String> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let parts = line.split(open).skip(1).filter_map(|rest| rest.split_once(close));
            found.extend(parts.map(|(part, _)| part.to_owned()));
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for path in files(&[".md"]) {
        let folder = Path::new(&path).parent().expect("a file lies in a folder");
        for link in between(&read(&path), "](", ')') {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !root().join(folder).join(file).exists() {
                problems.push(format!("{path}: there is no {link}"));
            }
        }
    }
    report(problems);
}

/// The links that rustdoc puts in place of those to files.
const GUIDE_LINKS: &str = "plugins/links.md";

/// Returns the definitions of links in a text: name and destination.
fn definitions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).filter(|(_, to)| !to.contains(' '))
}

// Guides are pages of rustdoc too, where no file of the repository is.
#[test]
fn links_of_guides_lead_somewhere_in_files_and_in_rustdoc() {
    let in_rustdoc = read(GUIDE_LINKS);
    let known: BTreeSet<&str> = definitions(&in_rustdoc).map(|(name, _)| name).collect();
    let is_guide =
        |path: &String| read("plugins/guides.rs").contains(&format!("\"{}\"", path.trim_start_matches("docs/")));
    let (mut problems, mut used) = (Vec::new(), BTreeSet::new());
    for path in files(&[".md"]).into_iter().filter(|path| path == "README.md" || is_guide(path)) {
        let text = read(&path);
        let inline =
            between(&text, "](", ')').into_iter().filter(|link| !link.contains("://") && !link.starts_with('#'));
        problems.extend(
            inline.map(|link| format!("{path}: write [text][name], with the file {link} at the end of the page")),
        );
        for (name, to) in definitions(&text).filter(|(_, to)| !to.contains("://")) {
            let file = Path::new(&path)
                .parent()
                .expect("a file is in a folder")
                .join(to.split('#').next().unwrap_or_default());
            if !root().join(file).exists() {
                problems.push(format!("{path}: there is no {to}"));
            }
            if !known.contains(name) {
                problems.push(format!("{path}: {GUIDE_LINKS} does not define [{name}]"));
            }
            used.insert(name.to_owned());
        }
    }
    let idle = known.into_iter().filter(|name| !used.contains(*name));
    problems.extend(idle.map(|name| format!("{GUIDE_LINKS}: no guide uses [{name}]")));
    report(problems);
}

// T-139
#[test]
fn the_architecture_says_where_which_tests_are() {
    let architecture = read("ARCHITECTURE.md");
    let is_test = |path: &String| {
        let rest = path.strip_prefix("tests/").unwrap_or_default();
        !rest.is_empty() && (!rest.contains('/') || rest.ends_with("/main.rs"))
    };
    let tests: Vec<String> = files(&[".rs"]).into_iter().filter(is_test).collect();
    assert!(tests.len() > 10, "{tests:?}");
    let unnamed = tests
        .iter()
        .map(|path| path.trim_end_matches("/main.rs"))
        .filter(|path| !architecture.contains(&format!("`{path}`")));
    report(unnamed.map(|path| format!("ARCHITECTURE.md: the table of tests has no `{path}`")).collect());
}

// T-145
#[test]
fn recipes_that_documents_name_are_there_and_run_benches_that_are_there() {
    let recipes = read("justfile");
    let has_recipe = |name: &str| {
        recipes.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ':'])))
    };
    let benches = read("benches/Cargo.toml");
    let has_bench = |name: &str| benches.contains(&format!("[[bench]]\nname = \"{name}\"\n"));
    let mut problems = Vec::new();
    let mut named = Vec::new();
    for path in files(&[".md"]) {
        for command in between(&read(&path), "`just ", '`') {
            let mut words = command.split(' ').map(str::to_owned);
            let recipe = words.next().unwrap_or_default();
            if !has_recipe(&recipe) {
                problems.push(format!("{path}: the justfile has no `{recipe}`"));
            }
            let bench = words.next().filter(|_| recipe == "bench" || recipe == "profile");
            if let Some(bench) = bench.filter(|bench| !has_bench(bench)) {
                problems.push(format!("{path}: `just {command}`: there is no bench `{bench}`"));
            }
            named.push(recipe);
        }
    }
    let of_recipes = recipes.lines().filter_map(|line| line.split_once("cargo bench --bench ")).map(|(_, rest)| rest);
    for bench in of_recipes.filter(|rest| !rest.starts_with("{{")) {
        if !has_bench(bench) {
            problems.push(format!("justfile: there is no bench `{bench}`"));
        }
    }
    report(problems);
    for recipe in ["profile", "hit-report", "bench", "new-backend"] {
        assert!(named.iter().any(|name| name == recipe), "no document names `just {recipe}`");
    }
}
