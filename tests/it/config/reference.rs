//! Tests the documents of the configuration against the declarations: the reference page, the main file of the
//! repository, the profiles beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use retainit::{Effective, Event, EventKind, Registry, Retainit, retain, with_instance_sync};

use super::Folder;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn registry() -> Registry {
    Retainit::builder().build().expect("nothing is wrong").registry()
}

/// Fails if a file is not what the declarations make of it; with `BLESS=1` in the environment, writes it.
fn expect_file(path: &str, expected: &str) {
    let found = read(path);
    if found == expected {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        return fs::write(root(path), expected).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let line = found.lines().zip(expected.lines()).take_while(|(found, expected)| found == expected).count() + 1;
    panic!(
        "{path}:{line}: differs from the declarations: `BLESS=1 cargo test --test it config::reference` writes the file"
    );
}

const BEGIN: &str = "<!-- generated from the declarations -->\n";
const END: &str = "<!-- /generated -->\n";

#[test]
fn the_reference_page_is_what_the_declarations_say() {
    let page = read("docs/configuration.md");
    let (head, rest) = page.split_once(BEGIN).expect("the page says where the generated part begins");
    let (_, tail) = rest.split_once(END).expect("the page says where the generated part ends");
    expect_file("docs/configuration.md", &format!("{head}{BEGIN}\n{}{END}{tail}", registry().reference()));
}

#[test]
fn the_main_file_is_what_the_declarations_say() {
    expect_file("retainit.toml", &registry().main_file());
}

/// Returns the main file with options uncommented, or options and examples.
fn uncommented(with_examples: bool) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(option) if option.starts_with(|c: char| !c.is_whitespace()) => option.to_owned(),
        Some(example) if with_examples && example.starts_with("   ") => example.trim().to_owned(),
        _ => line.to_owned(),
    };
    read("retainit.toml").lines().map(|text| line(text) + "\n").collect()
}

fn values(effective: &Effective) -> Vec<(String, String)> {
    effective.iter().map(|(path, setting)| (path, setting.value().to_owned())).collect()
}

fn value(effective: &Effective, path: &str) -> String {
    effective.get(path).unwrap_or_else(|| panic!("{path} is not set")).value().to_owned()
}

fn shipped() -> retainit::Builder {
    Retainit::builder().config_file(root("retainit.toml")).variables([("", ""); 0])
}

#[test]
fn as_shipped_the_main_file_changes_nothing() {
    let effective = shipped().build().expect("nothing is wrong").effective();
    let said: Vec<_> = effective.iter().filter(|(_, setting)| setting.source() != "default").collect();
    assert!(said.is_empty(), "{said:?}");
    let without = Retainit::builder().build().expect("nothing is wrong").effective();
    assert_eq!(values(&effective), values(&without));
}

/// Takes the place of the function in the main file.
#[retain(id = "config.reference.user")]
fn user(id: u64) -> u64 {
    id
}

/// Returns every option of the function, as it is resolved.
fn options(retainit: &Retainit) -> Vec<(&'static str, String)> {
    assert_eq!(with_instance_sync(retainit, || user(1)), 1);
    let explained = with_instance_sync(retainit, || user::cache().explain(&1)).expect("explained");
    assert!(explained.is_hit(), "{explained}");
    explained.options().iter().map(|option| (option.name, option.value.clone())).collect()
}

// T-20
#[test]
fn every_option_of_the_main_file_is_at_its_default() {
    let plain =
        Folder::new("[retainit.backends.disk]\ntype = \"disk\"\n[retainit.backends.default]\ntype = \"memory\"\n");
    let plain = plain.builder().build().expect("nothing is wrong");
    let folder = Folder::new(&uncommented(false).replace("shop::user", "config.reference.user"));
    let all = folder.builder().build().expect("every line can be used");
    let (before, after) = (plain.effective(), all.effective());
    for (path, expected) in values(&before) {
        // A secret that was set is not shown, even if it is the default.
        let expected = if path == "secret" { "***".to_owned() } else { expected };
        assert_eq!(value(&after, &path), expected, "{path}");
    }
    let is_of_function = |path: &str| path.starts_with("functions.") || path.starts_with("override.functions.");
    let more: Vec<_> = values(&after).into_iter().filter(|(path, _)| before.get(path).is_none()).collect();
    assert!(more.len() > 10 && more.iter().all(|(path, _)| is_of_function(path)), "{more:?}");
    assert_eq!(options(&all), options(&plain), "what the file says of the function is what holds without it");
    let nothing = Retainit::builder().build().expect("nothing is wrong");
    assert_eq!(options(&all), options(&nothing), "and what holds without any file");
    let audit = all.registry().list().into_iter().filter(|plugin| plugin.kind == "subscriber");
    for name in audit.map(|plugin| plugin.name) {
        let said = after.iter().find(|(path, it)| path.starts_with(&format!("{name}.")) && it.source() != "default");
        assert!(said.is_none(), "{name} is off by default: {said:?}");
    }
    assert_eq!(value(&after, "backends.disk.base_path"), ".cache/retainit");
}

#[test]
fn with_its_examples_too_the_main_file_says_every_option_there_is() {
    let folder = Folder::new("");
    let below = folder.path("retainit-").display().to_string();
    let text = uncommented(true).replace("\"retainit-", &format!("\"{below}"));
    folder.write("retainit.toml", &text.replace("shop::user", "config.reference.user"));
    let retainit = folder.builder().build().expect("every line can be used");
    let effective = retainit.effective();
    // A file of `logging` goes with JSON only.
    for (path, setting) in effective.iter().filter(|(path, _)| path != "logging.path") {
        assert!(setting.source().contains("retainit.toml:"), "{path} is not in the file: {}", setting.source());
    }
    assert_eq!(value(&effective, "default_backend"), "default");
    assert_eq!(options(&retainit), options(&Retainit::builder().build().expect("nothing is wrong")));
    assert!(folder.path("retainit-audit.jsonl").exists(), "the example turns the audit trail on");
    retainit.blocking().close().expect("closable");
}

const PROFILES: [&str; 3] = ["development", "production", "test"];

fn in_profile(name: &str) -> Retainit {
    shipped().profile(name).build().unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn profiles_build_beside_the_main_file() {
    for name in PROFILES {
        in_profile(name).blocking().close().expect("closable");
    }
    let mut there: Vec<_> =
        fs::read_dir(root("profiles")).expect("profiles").flatten().map(|e| e.file_name()).collect();
    there.sort();
    assert_eq!(there, PROFILES.map(|name| format!("{name}.toml").into()) as [std::ffi::OsString; 3]);
}

/// Returns the key of a miss, as subscribers receive it.
fn key_in_events(retainit: &Retainit) -> String {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keys = Arc::clone(&heard);
    retainit.events().subscribe(EventKind::CacheMiss, move |event: &Event| {
        keys.lock().expect("no handler panics").extend(event.key().map(str::to_owned));
    });
    let cache = retainit.cache::<u8>("keys").build().expect("in memory");
    assert_eq!(cache.blocking().get_or_load("ann", || 1), 1);
    retainit.blocking().close().expect("closable");
    heard.lock().expect("no handler panics").first().expect("one miss").clone()
}

// T-112
#[test]
fn development_shows_keys_and_production_does_not() {
    let (development, production) = (in_profile("development"), in_profile("production"));
    let differ = |path: &str| [&development, &production].map(|retainit| value(&retainit.effective(), path));
    assert_eq!(differ("events.keys"), ["plain", "hashed"]);
    assert_eq!(differ("logging.level"), ["debug", "warn"]);
    assert_eq!(differ("logging.format"), ["tracing", "json"]);
    assert!(key_in_events(&development).contains("ann"));
    assert!(!key_in_events(&production).contains("ann"));
    assert_eq!(value(&in_profile("test").effective(), "namespace"), "test");
}
