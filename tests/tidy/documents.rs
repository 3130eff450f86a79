//! What documents name is there.

use std::path::Path;

use super::{files, read, report, root};

/// What stands between `open` and `close`, line by line, outside blocks of code.
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
