//! The parts of the engine's crate build on each other one way only.

use std::collections::BTreeMap;

use super::{files, read, report};

/// The folders and files of `core/src`, each of which may import those above it in this list, with what belongs there.
const LAYERS: [(&str, &str); 21] = [
    ("stats", "counters"),
    ("breaker", "the state machine of circuit breakers"),
    ("meta", "what is shown of entries"),
    ("key", "keys and patterns"),
    ("runtime", "threads, timers, waiting"),
    ("options", "options and their layers"),
    ("value", "codecs, return types, fingerprints"),
    ("event", "the bus and its queues"),
    ("engine", "what a call and an invalidation do; it is given an `EngineContext` and knows no instance"),
    ("site", "statics and descriptors of functions"),
    ("registry", "the plugins there are"),
    ("config", "files, profiles, environment"),
    ("instance", "an instance and its table of functions"),
    ("overrides", "what is in force around a call"),
    ("global", "the default instance"),
    ("call", "the generic part of a call"),
    ("explain", "why a lookup hits or misses"),
    ("cache", "named caches and operations by key"),
    ("handle", "handles of functions"),
    ("requirements", "what the attributes ask of types"),
    ("rt", "re-exports for generated code"),
];

/// Maps the names that the crate root re-exports to the parts that own them: an import by such a name is an import of
/// its owner.
fn owners() -> BTreeMap<String, String> {
    let root = read("core/src/lib.rs");
    let mut owners = BTreeMap::new();
    for import in root.split("pub use ").skip(1).filter_map(|rest| rest.split_once(';')).map(|(import, _)| import) {
        let Some((part, names)) = import.split_once("::") else { continue };
        for name in names.split([',', '{', '}']).map(str::trim).filter(|name| name.starts_with(char::is_uppercase)) {
            owners.insert(name.to_owned(), part.to_owned());
        }
    }
    owners
}

/// Returns the names behind each `crate::` of a file that is no comment, no test and no macro for other crates.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before == '$' || before.is_alphanumeric()) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        names.extend(list.split(',').map(|name| name.trim().split("::").next().unwrap_or_default().to_owned()));
    }
    names
}

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|(name, _)| *name == part)
}

// C-36
#[test]
fn parts_of_the_engine_import_one_way() {
    let (owners, mut problems) = (owners(), Vec::new());
    for file in files(&[".rs"]) {
        let Some(inside) = file.strip_prefix("core/src/") else { continue };
        let part = inside.split(['/', '.']).next().unwrap_or_default();
        if part == "lib" || inside.contains("tests") {
            continue;
        }
        let Some(own) = layer(part) else {
            problems.push(format!("{file}: `{part}` has no layer: give it one in tests/tidy/layers.rs"));
            continue;
        };
        for name in imports(&read(&file)) {
            let name = owners.get(&name).unwrap_or(&name);
            if name == "retainit_plugin" && part != "rt" {
                problems
                    .push(format!("{file} imports a name of the contracts through the root: say `retainit_plugin::`"));
            }
            let Some(other) = layer(name).filter(|other| *other > own) else { continue };
            problems.push(format!(
                "{file} imports from `{name}` ({}), which builds on `{part}` ({}): move what both need below `{part}`, or \
                 what needs `{name}` up to it",
                LAYERS[other].1, LAYERS[own].1
            ));
        }
    }
    report(problems);
}

#[test]
fn imports_are_found() {
    let text =
        "use crate::engine::Plan;\n// crate::rt\nuse crate::{Error, key};\n$crate::rt::x\n#[cfg(test)]\nmod tests {}";
    assert_eq!(imports(text), ["engine", "Error", "key"]);
}
