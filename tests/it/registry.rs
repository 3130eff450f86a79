//! Plugins: linked, handed to a builder, claimed twice.

use retainit::{DiskConfig, ErrorKind, MemoryConfig, Retainit};
use retainit_plugin::{Part, Registration};
use tempfile::TempDir;

use crate::common::patient;
use crate::serializers::Turned;

const SHELF: Registration = Registration::new("shelf", "a program", Part::Backend(|| Box::new(MemoryConfig::new())));

// A-28 (linked): linked plugins are there, with their origin.
#[test]
fn linked_plugins_are_listed_by_kind_and_name() {
    let retainit = Retainit::builder().build().unwrap();
    let listed: Vec<String> = retainit.registry().list().iter().map(ToString::to_string).collect();
    for plugin in [
        "backend disk (retainit-disk)",
        "backend memory (retainit-memory)",
        "serializer json (retainit-codecs)",
        "subscriber audit (retainit-subscribers)",
        "subscriber logging (retainit-subscribers)",
    ] {
        assert!(listed.iter().any(|listed| listed == plugin), "{plugin} is missing in {listed:?}");
    }
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(listed, sorted);
    assert_eq!(retainit.registry().to_string().lines().collect::<Vec<_>>(), listed);
}

#[test]
fn a_builder_takes_plugins_that_are_not_linked() {
    let retainit = Retainit::builder().plugin(SHELF).build().unwrap();
    assert!(retainit.registry().list().iter().any(|plugin| plugin.name == "shelf" && plugin.origin == "a program"));
    let cache = retainit.cache::<u8>("books").backend("shelf").build().unwrap();
    cache.blocking().set(&1, 7).unwrap();
    assert_eq!(cache.blocking().get(&1).unwrap().value(), Some(7));
    assert!(retainit.backends().contains(&"shelf".to_owned()));
    let missing = Retainit::builder().build().unwrap().cache::<u8>("books").backend("shelf").build().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::UnknownBackend);
}

#[test]
fn a_builders_plugin_is_a_type_in_files_too() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("retainit.toml");
    std::fs::write(&path, "[retainit.backends.near]\ntype = \"shelf\"\nmax_entries = 5\n").unwrap();
    let builder = || Retainit::builder().config_file(&path).variables([("", ""); 0]);
    let retainit = builder().plugin(SHELF).build().unwrap();
    assert_eq!(retainit.effective().get("backends.near.max_entries").unwrap().value(), "5");
    let error = builder().build().unwrap().cache::<u8>("books").build().unwrap_err().to_string();
    assert!(error.contains("`shelf` is not linked") && error.contains("use foo as _"), "{error}");
}

#[test]
fn two_plugins_of_one_name_are_refused() {
    let twice = Retainit::builder().plugin(SHELF).plugin(SHELF).build().unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Duplicate);
    let memory = Registration::new("memory", "a program", SHELF.part);
    let error = Retainit::builder().plugin(memory).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    let text = error.to_string();
    assert!(text.contains("retainit-memory") && text.contains("a program"), "{text}");
}

#[test]
fn one_type_of_backend_serves_programs_that_configure_none() {
    let error = Retainit::builder().plugin(SHELF.used_unconfigured()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    let text = error.to_string();
    assert!(text.contains("backend memory (retainit-memory)") && text.contains("backend shelf (a program)"), "{text}");
}

#[test]
fn a_subscriber_has_a_second_name_in_variables() {
    let ear = Part::Subscriber(|| Box::new(retainit::LoggingConfig::new()));
    let ear = Registration::new("ear", "a program", ear).variables("EARS");
    let levels = ["RETAINIT_EARS_LEVEL", "RETAINIT_EAR_LEVEL"].map(|variable| {
        let retainit = Retainit::builder().plugin(ear).variables([(variable, "off")]).build().unwrap();
        let level = retainit.effective();
        (level.get("ear.level").value().to_owned(), level.get("ear.level").source().to_owned())
    });
    let off = |variable: &str| ("off".to_owned(), variable.to_owned());
    assert_eq!(levels, [off("RETAINIT_EARS_LEVEL"), off("RETAINIT_EAR_LEVEL")]);
}

// An error lists the problems it contains, with place and field apart from the text.
#[test]
fn problems_of_a_configuration_are_distinct() {
    let variables = [("RETAINIT_OP_TIMEOUT", "soon"), ("RETAINIT_NAMESPCE", "x")];
    let error = Retainit::builder().variables(variables).build().unwrap_err();
    let told: Vec<_> = error.problems().iter().map(|problem| (problem.place(), problem.field())).collect();
    assert_eq!(told, [(Some("RETAINIT_NAMESPCE"), None), (Some("RETAINIT_OP_TIMEOUT"), Some("op_timeout"))]);
    let one = Retainit::builder().variables([variables[0]]).build().unwrap_err();
    assert_eq!((one.place(), one.field(), one.problems().len()), (Some("RETAINIT_OP_TIMEOUT"), Some("op_timeout"), 1));
}

// Names that mean something without any plugin, in options and as keys of profiles.
#[test]
fn a_plugin_does_not_take_a_name_with_a_meaning_of_its_own() {
    for name in ["msgpack", "string", "bytes", "auto", "pickle", "a b", ""] {
        let error = Retainit::builder().register_serializer(name, Turned).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Duplicate, "{name}");
        assert!(error.to_string().contains(&format!("serializer from `registered in code` cannot be called {name:?}")));
    }
    let ear = Part::Subscriber(|| Box::new(retainit::AuditConfig::new()));
    for name in ["backends", "functions", "namespace", "key_prefix", "profiles"] {
        let error = Retainit::builder().plugin(Registration::new(name, "a program", ear)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Duplicate, "{name}");
        assert!(error.to_string().contains("subscriber from `a program`"), "{error}");
    }
    Retainit::builder().plugin(Registration::new("ear", "a program", ear)).build().unwrap();
}

#[test]
fn names_of_backends_have_no_blanks() {
    for name in ["", "a b", "a\n"] {
        let error = Retainit::builder().register_backend(name, MemoryConfig::new()).build().unwrap_err();
        assert!(error.to_string().contains(&format!("cannot be called {name:?}")), "{error}");
        let retainit = Retainit::builder().build().unwrap();
        let error = retainit.register_backend(name, MemoryConfig::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(retainit.backends(), ["memory"]);
    }
}

// T-56: `init(backend, redis_url, ttl)` of the simple style is a builder with one backend.
#[test]
fn one_backend_and_a_ttl_is_a_whole_configuration() {
    let folder = TempDir::new().unwrap();
    let memory = patient().register_backend("default", MemoryConfig::new().ttl(300));
    let disk = patient().register_backend("default", DiskConfig::new().base_path(folder.path()).ttl(300));
    for (builder, kind) in [(memory, "memory"), (disk, "disk")] {
        let retainit = builder.build().unwrap();
        let cache = retainit.cache::<String>("users").build().unwrap();
        assert_eq!(cache.blocking().get_or_load(&1, || "ann".to_owned()), "ann");
        assert_eq!(cache.blocking().get(&1).unwrap().value().as_deref(), Some("ann"));
        assert_eq!(retainit.stats().storage_type, kind);
        assert!(cache.blocking().explain(&1).unwrap().to_string().contains("ttl            5m"));
    }
}

#[test]
fn a_backend_that_comes_at_run_time_is_among_the_settings() {
    let retainit = Retainit::builder().build().unwrap();
    retainit.register_backend("late", MemoryConfig::new().max_entries(8)).unwrap();
    let effective = retainit.effective();
    assert_eq!(
        (effective.get("backends.late.max_entries").value(), effective.get("backends.late.max_size").source()),
        ("8", "code")
    );
    assert_eq!(effective.get("backends.late.ttl").source(), "default");
}
