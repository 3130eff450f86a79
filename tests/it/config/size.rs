//! Reading takes time linear in what there is to read. Nothing is timed here: with work for every pair of two things,
//! these tests would take minutes.

use std::fmt::Write as _;

use retainit::Retainit;

use super::Folder;

const MANY: usize = 20_000;
/// Number of each of two things.
const PAIRS: usize = 6_000;

/// Makes so many lines, each of its number.
fn lines(many: usize, line: impl Fn(usize) -> String) -> String {
    (0..many).fold(String::new(), |mut all, n| {
        writeln!(all, "{}", line(n)).expect("text grows");
        all
    })
}

/// Backends whose type is not linked, so that nothing has to be built for them.
fn backends(many: usize) -> String {
    lines(many, |n| format!("[retainit.backends.b{n}]\ntype = \"redis\"\nurl = \"x{n}\""))
}

fn functions(many: usize) -> String {
    lines(many, |n| format!("[retainit.functions.\"f::{n}\"]\nttl = \"{}s\"", n + 1))
}

#[test]
fn a_file_of_many_functions() {
    let yaml = lines(MANY, |n| format!("    \"f::{n}\":\n      ttl: {}s", n + 1));
    let json =
        lines(MANY, |n| format!("{} \"f::{n}\": {{\n\"ttl\": \"{}s\" }}", if n == 0 { ' ' } else { ',' }, n + 1));
    let last = MANY * 2;
    for (name, text, line) in [
        ("many.toml", functions(MANY), last),
        ("many.yaml", format!("retainit:\n  functions:\n{yaml}"), last + 2),
        ("many.json", format!("{{\"retainit\": {{\"functions\": {{\n{json}}} }} }}"), last + 1),
    ] {
        let folder = Folder::empty();
        folder.write(name, &text);
        let instance = Retainit::builder().config_file(folder.path(name)).variables([("", ""); 0]).build();
        let instance = instance.expect("nothing is wrong");
        let effective = instance.effective();
        let found = effective.get(&format!("functions.\"f::{}\".ttl", MANY - 1));
        assert_eq!(found.value(), format!("{MANY}s"));
        assert!(found.source().ends_with(&format!("{name}:{line}")), "{}", found.source());
    }
}

#[test]
fn a_file_of_many_backends_and_references() {
    let named = lines(PAIRS, |n| format!("[retainit.functions.f{n}]\nbackend = \"b{n}\""));
    let folder = Folder::new(&(backends(PAIRS) + &named));
    let text = folder.builder().build().expect_err("their type is not linked").to_string();
    assert!(text.starts_with(&format!("{PAIRS} problems")), "{}", &text[..200]);
}

#[test]
fn a_file_of_many_mistakes() {
    let named = lines(PAIRS, |n| format!("[retainit.functions.f{n}]\nbackend = \"back{n}\"\nttll = 1"));
    let folder = Folder::new(&(backends(PAIRS) + &named));
    let text = folder.builder().build().expect_err("there are no such backends").to_string();
    assert!(text.starts_with(&format!("{} problems", PAIRS * 2)), "{}", &text[..200]);
    assert!(text.len() < PAIRS * 2_000, "lists are short: {}", text.len());
}

#[test]
fn many_enforced_keys() {
    for key in ["functions.f{}.ttl", "functions.g{}.ttl", "functions"] {
        let list = lines(PAIRS, |n| format!("{:?},", key.replace("{}", &n.to_string())));
        let own = lines(PAIRS, |n| format!("[retainit.functions.f{n}]\nttl = 60"));
        let folder = Folder::new(&format!("[retainit]\nenforced = [\n{list}]\n{own}"));
        folder.write("profiles/p.toml", &lines(PAIRS, |n| format!("[retainit.functions.f{n}]\nttl = 90")));
        match folder.builder().profile("p").build() {
            Ok(instance) => assert_eq!(instance.effective().get("functions.f7.ttl").value(), "60"),
            Err(error) => assert!(key.contains('g') && error.to_string().contains("is not set in this file"), "{key}"),
        }
    }
}

#[test]
fn many_profiles_beside_many_settings() {
    let profiles = lines(PAIRS / 4, |n| {
        format!("[profiles.p{n}.functions.f]\nttl = 60\n[profiles.p{n}.backends.b{n}]\nurl = \"y\"")
    });
    let profiles = profiles.replace("[profiles", "[retainit.profiles");
    let folder = Folder::new(&(backends(PAIRS) + &functions(PAIRS) + &profiles));
    let instance = folder.builder().build().expect("nothing is wrong");
    instance.reload().expect("nothing has changed");
}

#[test]
fn many_variables() {
    let declared = (0..PAIRS / 2).map(|n| (format!("RETAINIT_BACKENDS_V{n}_TYPE"), "redis".to_owned()));
    let fields = (0..PAIRS / 2).map(|n| (format!("RETAINIT_BACKENDS_V{n}_URL"), "redis://x".to_owned()));
    let unknown = (0..PAIRS / 2).map(|n| (format!("RETAINIT_BACKENDS_W{n}_URL"), "redis://x".to_owned()));
    let folder = Folder::new(&backends(PAIRS / 2));
    let all: Vec<_> = declared.chain(fields).collect();
    let built = folder.builder().variables(all.clone()).build().expect("nothing is wrong");
    assert_eq!(built.effective().get("backends.v7.type").value(), "redis");
    let error = folder.builder().variables(all.into_iter().chain(unknown)).build().expect_err("no such backends");
    assert!(error.to_string().len() < PAIRS * 2_000, "lists are short");
}

// The parsers that recurse never see what is nested deeper than they can bear.
#[test]
fn a_file_that_is_nested_without_end() {
    const DEEP: usize = 1 << 20;
    for (name, text) in [
        ("deep.yaml", format!("{}x", "- ".repeat(DEEP))),
        ("deep.yaml", format!("a: {}", "? ".repeat(DEEP))),
        ("deep.yaml", format!("a: {}", "[".repeat(DEEP))),
        ("deep.yaml", format!("a: {}", "{a: ".repeat(DEEP))),
        ("deep.yaml", (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("deep.toml", format!("a = {}", "[".repeat(DEEP))),
        ("deep.toml", format!("a = {}", "{a = ".repeat(DEEP))),
        ("deep.toml", format!("{}a = 1", "a.".repeat(DEEP))),
        ("deep.toml", format!("[{}a]", "a.".repeat(DEEP))),
        ("deep.json", format!("{{\"a\": {}", "[".repeat(DEEP))),
    ] {
        let folder = Folder::empty();
        folder.write(name, &text);
        let builder = Retainit::builder().config_file(folder.path(name)).variables([("", ""); 0]);
        let error = builder.build().expect_err(&text[..20]).to_string();
        assert!(error.contains(name) && error.len() < 1_000, "{}", error.len());
    }
}
