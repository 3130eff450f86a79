//! Every pair of sources, for a backend's field and for a function's option.

use retainit::{Builder, MemoryConfig, Overrides, Retainit, retain, with_instance_sync, with_sync};

use super::Folder;

/// The sources of a backend's ttl, highest first.
const SOURCES: [&str; 5] = ["code", "profile file", "profile in the main file", "main file", "environment"];

/// Returns the time that a source sets, another one for each.
fn said(source: usize) -> String {
    format!("{}m", source + 1)
}

struct Said<'a>(&'a [usize]);

impl Said<'_> {
    fn line(&self, source: usize, line: &str) -> String {
        if self.0.contains(&source) { line.replace("TTL", &said(source)) } else { String::new() }
    }

    fn folder(&self, head: &str) -> Folder {
        let folder = Folder::new(&format!(
            "{head}[retainit.backends.near]\ntype = \"memory\"\n{}[retainit.profiles.test.backends.near]\n{}",
            self.line(3, "ttl = \"TTL\"\n"),
            self.line(2, "ttl = \"TTL\"\n"),
        ));
        folder.write("profiles/test.toml", &format!("[retainit.backends.near]\n{}", self.line(1, "ttl = \"TTL\"\n")));
        folder
    }

    fn builder(&self, folder: &Folder) -> Builder {
        let mut builder = folder.builder().profile("test");
        if self.0.contains(&4) {
            builder = builder.variables([("RETAINIT_BACKENDS_NEAR_TTL", said(4))]);
        }
        match self.0.contains(&0) {
            true => builder.register_backend("near", MemoryConfig::new().ttl(said(0))),
            false => builder,
        }
    }

    fn holds(&self, head: &str) -> (String, String) {
        let folder = self.folder(head);
        let retainit = self.builder(&folder).build().expect("nothing is wrong");
        let effective = retainit.effective();
        let ttl = effective.get("backends.near.ttl").expect("a field of memory");
        (ttl.value().to_owned(), ttl.source().to_owned())
    }
}

// T-48
#[test]
fn of_every_pair_the_higher_source_holds() {
    for (higher, name) in SOURCES.iter().enumerate() {
        for (lower, other) in SOURCES.iter().enumerate().skip(higher + 1) {
            let (value, source) = Said(&[higher, lower]).holds("");
            assert_eq!(value, said(higher), "{name} over {other}: {source}");
        }
        let (value, source) = Said(&[higher]).holds("");
        assert_eq!(value, said(higher), "{name} over the default: {source}");
    }
    assert_eq!(Said(&[]).holds(""), ("never".to_owned(), "default".to_owned()));
}

// T-48
#[test]
fn with_env_first_the_environment_takes_precedence_over_the_files() {
    for (source, name) in SOURCES.iter().enumerate().take(4) {
        let (value, _) = Said(&[source, 4]).holds("[retainit]\nenv_first = true\n");
        let expected = if source == 0 { said(0) } else { said(4) };
        assert_eq!(value, expected, "{name} and the environment");
    }
    let folder = Said(&[3, 4]).folder("");
    let retainit = Said(&[3, 4]).builder(&folder).env_first(true).build().expect("nothing is wrong");
    assert_eq!(retainit.effective().get("backends.near.ttl").expect("set").value(), said(4));
}

#[retain(id = "config.precedence.plain", backend = "near")]
fn plain(id: u64) -> u64 {
    id
}

#[retain(id = "config.precedence.attribute", backend = "near", ttl = "20m")]
fn with_attribute(id: u64) -> u64 {
    id
}

/// Returns the ttl of a function, and its source, as `explain` shows it.
fn explained(retainit: &Retainit, attribute: bool, scoped: bool) -> (String, String) {
    with_instance_sync(retainit, || {
        assert_eq!((plain(1), with_attribute(1)), (1, 1));
        let explain = || match attribute {
            true => with_attribute::cache().explain(&1).expect("explained"),
            false => plain::cache().explain(&1).expect("explained"),
        };
        let explain = if scoped { with_sync(Overrides::new().ttl("40m"), explain) } else { explain() };
        let ttl = explain.options().iter().find(|option| option.name == "ttl").expect("every function has a ttl");
        (ttl.value.clone(), ttl.source.clone())
    })
}

/// The layers of a function's ttl, highest first, with their settings.
const LEVELS: [(&str, &str, &str); 5] = [
    ("scoped override", "40m", "override around the call"),
    ("override in a file", "30m", "above the attribute"),
    ("attribute", "20m", "attribute"),
    ("function in a file", "10m", "retainit.toml"),
    ("backend", "5m", "backend `near`"),
];

// T-31, T-48
#[test]
fn of_every_pair_of_levels_of_a_function_the_higher_holds() {
    for (higher, (name, expected, place)) in LEVELS.iter().enumerate() {
        for (lower, (other, ..)) in LEVELS.iter().enumerate().skip(higher) {
            let on = |level: usize| level == higher || level == lower;
            let id = if on(2) { "config.precedence.attribute" } else { "config.precedence.plain" };
            let line = |level: usize, text: String| if on(level) { text } else { String::new() };
            let folder = Folder::new(&format!(
                "[retainit.backends.near]\ntype = \"memory\"\n{}{}{}",
                line(4, "ttl = \"5m\"\n".into()),
                line(3, format!("[retainit.functions.\"{id}\"]\nttl = \"10m\"\n")),
                line(1, format!("[retainit.override.functions.\"{id}\"]\nttl = \"30m\"\n")),
            ));
            let retainit = folder.builder().build().expect("nothing is wrong");
            let (value, source) = explained(&retainit, on(2), on(0));
            assert_eq!(value, *expected, "{name} over {other}");
            assert!(source.contains(place), "{name}: {source}");
        }
    }
}

#[test]
fn what_is_enforced_is_not_weakened_by_anything_above() {
    let folder = Folder::new(
        "[retainit]\nenforced = [\"backends.near.ttl\"]\n[retainit.backends.near]\ntype = \"memory\"\nttl = \"15m\"\n",
    );
    folder.write("profiles/test.toml", "[retainit.backends.near]\nttl = \"50m\"\n");
    let weaker = folder
        .builder()
        .profile("test")
        .register_backend("near", MemoryConfig::new().ttl("60m"))
        .build()
        .expect("built");
    assert_eq!(weaker.effective().get("backends.near.ttl").expect("set").value(), "15m");
    for scoped in [false, true] {
        let (value, source) = explained(&weaker, true, scoped);
        assert_eq!(value, "15m", "the attribute says 20 minutes, the override 40");
        assert!(source.contains("enforced"), "{source}");
    }
    folder.write("profiles/test.toml", "[retainit.backends.near]\nttl = \"1m\"\n");
    let stricter = folder.builder().profile("test").build().expect("built");
    assert_eq!(stricter.effective().get("backends.near.ttl").expect("set").value(), "1m", "stricter is no weakening");
}

#[test]
fn an_enforced_ttl_bounds_what_a_single_call_asks_for() {
    let clock = retainit_testkit::ManualClock::new();
    let folder = Folder::new(
        "[retainit]\nenforced = [\"backends.near.ttl\"]\n[retainit.backends.near]\ntype = \"memory\"\nttl = \"15m\"\n",
    );
    let retainit = folder.builder().clock(clock.clone()).build().expect("built");
    let cache = retainit.cache::<u8>("users").ttl("never").build().expect("built");
    let cache = cache.blocking();
    cache.set_with(&1, 1, retainit::CallOptions::new().ttl("1d")).expect("set");
    clock.advance(std::time::Duration::from_secs(16 * 60));
    assert_eq!(cache.get(&1).expect("open").value(), None);
}

// T-54
#[test]
fn every_alias_is_its_field() {
    for (alias, field, value) in [("max_size", "max_entries", "77"), ("idle", "max_idle", "5m")] {
        let folder = Folder::new(
            &format!("[retainit.backends.near]\ntype = \"memory\"\n{alias} = {value:?}\n").replace("\"77\"", "77"),
        );
        let effective = folder.builder().build().expect("nothing is wrong").effective();
        assert_eq!(effective.get(&format!("backends.near.{field}")).expect("set").value(), value, "{alias}");
        let variable = format!("RETAINIT_BACKENDS_NEAR_{}", alias.to_uppercase());
        let folder = Folder::new("[retainit.backends.near]\ntype = \"memory\"\n");
        let effective = folder.builder().variables([(variable, value)]).build().expect("nothing is wrong").effective();
        assert_eq!(effective.get(&format!("backends.near.{field}")).expect("set").value(), value, "{alias}");
    }
    for alias in ["keyspace", "prefix", "key_prefix"] {
        let folder = Folder::new(&format!("[retainit]\n{alias} = \"shop\"\n"));
        assert_eq!(folder.builder().build().expect("built").effective().get("namespace").expect("set").value(), "shop");
    }
    for alias in ["max_size", "codec"] {
        let value = if alias == "codec" { "\"msgpack\"" } else { "9" };
        let folder = Folder::new(&format!("[retainit.backends.disk]\ntype = \"disk\"\n{alias} = {value}\n"));
        folder.builder().build().unwrap_or_else(|error| panic!("{alias}: {error}"));
    }
}

// T-54
#[test]
fn variables_are_read_by_the_backends_and_fields_there_are() {
    let folder =
        Folder::new("[retainit.backends.main_cache]\ntype = \"memory\"\n[retainit.backends.main]\ntype = \"memory\"\n");
    for (variable, path) in [
        ("RETAINIT_BACKENDS_MAIN_CACHE_MAX_SIZE", "backends.main_cache.max_entries"),
        ("RETAINIT_BACKENDS__MAIN_CACHE__MAX_SIZE", "backends.main_cache.max_entries"),
        ("RETAINIT__BACKENDS__MAIN__MAX_ENTRIES", "backends.main.max_entries"),
        ("RETAINIT_BACKENDS_MAIN_MAX_ENTRIES", "backends.main.max_entries"),
    ] {
        let builder = folder.builder().default_backend("main").variables([(variable, "1_234")]);
        let effective = builder.build().unwrap_or_else(|error| panic!("{variable}: {error}")).effective();
        let setting = effective.get(path).expect("set");
        assert_eq!((setting.value(), setting.source()), ("1234", variable));
    }
    let declared = Retainit::builder()
        .variables([("RETAINIT_BACKENDS_FAR_AWAY_TYPE", "memory"), ("RETAINIT_BACKENDS_FAR_AWAY_TTL", "60")]);
    let declared = declared.build().expect("a type alone declares a backend");
    assert_eq!(declared.backends(), ["far_away"]);
}

/// Explains a function whose ttl is set in the main file, when its backend is configured by a higher source.
fn function_under(backend: impl FnOnce(&Folder) -> Builder) -> String {
    let folder = Folder::new(
        "[retainit.backends.near]\ntype = \"memory\"\n[retainit.functions.\"config.precedence.plain\"]\nttl = \"10m\"\n",
    );
    explained(&backend(&folder).build().expect("nothing is wrong"), false, false).0
}

// T-48: sources take precedence over each other as wholes.
#[test]
fn a_backends_ttl_from_a_higher_source_takes_precedence_over_a_functions_from_a_lower_one() {
    let in_code = |folder: &Folder| folder.builder().register_backend("near", MemoryConfig::new().ttl("50s"));
    assert_eq!(function_under(in_code), "50s");
    let in_profile = |folder: &Folder| {
        folder.write("profiles/test.toml", "[retainit.backends.near]\nttl = \"40s\"\n");
        folder.builder().profile("test")
    };
    assert_eq!(function_under(in_profile), "40s");
    let in_environment = |folder: &Folder| folder.builder().variables([("RETAINIT_BACKENDS_NEAR_TTL", "30s")]);
    assert_eq!(function_under(in_environment), "10m");
}

#[test]
fn an_override_to_another_backend_does_not_escape_what_is_enforced() {
    let folder = Folder::new(
        "[retainit]\nenforced = [\"backends.near.ttl\"]\n[retainit.backends.near]\ntype = \"memory\"\nttl = \"15m\"\n",
    );
    let retainit = folder.builder().register_backend("other", MemoryConfig::new()).build().expect("built");
    let explain = || with_attribute::cache().explain(&1).expect("explained");
    let explain = with_instance_sync(&retainit, || with_sync(Overrides::new().backend("other"), explain));
    assert!(explain.backend().starts_with("other") && explain.to_string().contains("ttl            15m"), "{explain}");
    let ttl = explain.options().iter().find(|option| option.name == "ttl").expect("every option is there");
    assert!(ttl.source.ends_with("retainit.toml:5, enforced"), "what is hidden decides: {ttl}");
}
