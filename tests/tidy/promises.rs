//! Ids of promises in comments can be looked up, and each promise that is listed is shown by a test.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, read, report, root};

const PAGE: &str = "docs/promises.md";
const LIBRARIES: &str = "PCRTAD";

/// Returns the ids in a text, such as `T-41`.
fn ids(text: &str) -> BTreeSet<String> {
    let is_id = |word: &&str| {
        let (library, number) = word.split_at_checked(2).unwrap_or_default();
        library.ends_with('-')
            && library.starts_with(|c| LIBRARIES.contains(c))
            && matches!(number.len(), 2 | 3)
            && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_id).map(str::to_owned).collect()
}

/// Returns the comment of a line that has nothing else.
fn comment(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("//")
}

/// Returns the name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.trim_start().split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| word.starts_with("pub") || word == "async");
    let rest = is_head.then_some(rest)?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

type Quoted = BTreeMap<String, BTreeSet<String>>;

fn quote(quoted: &mut Quoted, ids: BTreeSet<String>, place: &str) {
    for id in ids {
        quoted.entry(id).or_default().insert(place.to_owned());
    }
}

/// Maps each id that a comment quotes to its functions, or one at the head of a file to the file.
fn quoted() -> Quoted {
    let mut quoted = Quoted::new();
    for path in files(&[""]).into_iter().filter(|path| path.starts_with("scripts/") || path.starts_with(".github/")) {
        let comments = read(&path).lines().filter(|line| line.starts_with('#')).flat_map(ids).collect();
        quote(&mut quoted, comments, &path);
    }
    for path in files(&[".rs"]) {
        let (text, mut waiting) = (read(&path), BTreeSet::new());
        for line in text.lines() {
            if let Some(comment) = comment(line) {
                let found = ids(comment);
                match comment.starts_with('!') {
                    true => quote(&mut quoted, found, &path),
                    false => waiting.extend(found),
                }
            } else if let Some(name) = function(line) {
                quote(&mut quoted, std::mem::take(&mut waiting), &format!("{path} {name}"));
            }
        }
    }
    quoted
}

/// Returns a place as the page shows it, without the path of the many tests in `tests/it`.
fn shown(places: &BTreeSet<String>) -> String {
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for place in places {
        let (file, name) = place.split_once(' ').unwrap_or((place, ""));
        by_file.entry(file).or_default().extend(Some(name).filter(|name| !name.is_empty()));
    }
    let one = |(file, names): (&str, Vec<&str>)| {
        let names = names.iter().map(|name| format!(" `{name}`")).collect::<Vec<_>>().join(",");
        format!("{file}{}{names}", if names.is_empty() { "" } else { ":" })
    };
    by_file.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn promises_are_listed_with_the_tests_that_show_them() {
    let (page, quoted) = (read(PAGE), quoted());
    let (mut problems, mut written, mut listed) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in page.lines() {
        let cells: Vec<&str> = line.strip_prefix("| ").map_or(Vec::new(), |row| row.rsplitn(3, '|').collect());
        let row = match cells.as_slice() {
            [_, _, begin] => begin.split_once(" | ").filter(|(id, _)| ids(id).contains(*id)),
            _ => None,
        };
        let Some((id, promise)) = row else {
            written.push(line.to_owned());
            continue;
        };
        listed.insert(id.to_owned());
        match quoted.get(id) {
            None => {
                problems.push(format!("{PAGE}: {id} is shown by no test: quote it where it is, or take the row away"))
            }
            Some(places) => written.push(format!("| {id} | {} | {} |", promise.trim(), shown(places))),
        }
    }
    for (id, places) in quoted.iter().filter(|(id, _)| !listed.contains(*id)) {
        problems.push(format!("{}: {id} is not in {PAGE}: add its row there", shown(places)));
    }
    let written = written.join("\n") + "\n";
    if problems.is_empty() && written != page {
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(root().join(PAGE), &written).expect("the page can be written");
        } else {
            problems.push(format!("{PAGE} is not up to date: BLESS=1 cargo test --test tidy writes it"));
        }
    }
    report(problems);
}
