//! Configurations as people have them.

use std::path::{Path, PathBuf};

use retainit::{Effective, ErrorKind, EventKind, Retainit};

use super::Folder;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/samples").join(name)
}

fn built(name: &str, profile: Option<&str>) -> retainit::Result<Retainit> {
    let builder = Retainit::builder().config_file(sample(name)).variables([("", ""); 0]);
    match profile {
        Some(profile) => builder.profile(profile).build(),
        None => builder.build(),
    }
}

fn value(effective: &Effective, path: &str) -> String {
    effective.get(path).unwrap_or_else(|| panic!("{path} is not set")).value().to_owned()
}

// T-49, T-50, T-51
#[test]
fn yaml_json_and_toml_samples_resolve_as_they_are() {
    for name in ["retainit.yaml", "retainit.json", "pyproject.toml"] {
        let retainit = built(name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let effective = retainit.effective();
        assert_eq!(value(&effective, "backends.default.type"), "memory", "{name}");
        assert_eq!(value(&effective, "backends.default.ttl"), "3600", "{name}");
        let source = effective.get("backends.default.ttl").expect("it is set").source().to_owned();
        assert!(
            source.contains(name) && source.rsplit(':').next().is_some_and(|line| line.parse::<u32>().is_ok()),
            "{source}"
        );
        assert_eq!(value(&effective, "backends.persistent.type"), "redis", "{name}");
        assert_eq!(
            value(&effective, "backends.persistent.url"),
            "***",
            "{name}: what a plugin means by it is not known"
        );
        let cache = retainit.cache::<u8>("numbers").build().expect("the default is in memory");
        let cache = cache.blocking();
        assert_eq!(cache.get_or_load(&1, || 7), 7);
        assert_eq!(cache.get(&1).expect("open").value(), Some(7));
    }
}

// T-49, T-53
#[test]
fn the_yaml_sample_has_an_alias_a_null_and_a_level() {
    let effective = built("retainit.yaml", None).expect("it resolves").effective();
    assert_eq!(value(&effective, "backends.default.max_entries"), "10000");
    assert_eq!(effective.get("backends.default.max_size"), effective.get("backends.default.max_entries"));
    assert_eq!(effective.get("backends.persistent.password"), None, "null says nothing");
    assert_eq!(value(&effective, "logging.level"), "INFO");
}

// T-52, D-08
#[test]
fn profiles_in_the_file_choose_the_default_backend() {
    let development = built("retainit.yaml", Some("development")).expect("in memory");
    assert_eq!(value(&development.effective(), "default_backend"), "default");
    let production = built("retainit.yaml", Some("production")).expect("nothing uses redis yet");
    assert_eq!(value(&production.effective(), "default_backend"), "persistent");
    needs_redis(&production);
}

#[track_caller]
fn needs_redis(retainit: &Retainit) {
    let error = retainit.cache::<u8>("numbers").build().expect_err("redis is not linked");
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    assert!(error.to_string().contains("feature `redis`"), "{error}");
}

// T-54, T-55
#[test]
fn the_environment_sample_resolves_and_its_default_names_the_feature_it_needs() {
    let text = std::fs::read_to_string(sample("retainit.env")).expect("the sample");
    let variables = || text.lines().filter_map(|line| line.split_once('='));
    let of_file = built("retainit.env", None).expect("nothing uses redis yet");
    let of_variables = Retainit::builder().variables(variables()).build().expect("nothing uses redis yet");
    for retainit in [of_file, of_variables] {
        assert_eq!(value(&retainit.effective(), "default_backend"), "redis");
        needs_redis(&retainit);
        let near = retainit.cache::<u8>("numbers").backend("default").build().expect("it is in memory");
        assert_eq!(near.blocking().get_or_load(&1, || 7), 7);
    }
    let in_memory = variables().chain([("RETAINIT_DEFAULT_BACKEND", "default")]);
    let retainit = Retainit::builder().variables(in_memory).build().expect("the default is in memory");
    retainit.cache::<u8>("numbers").build().expect("it is in memory");
    let effective = retainit.effective();
    assert_eq!(value(&effective, "backends.default.ttl"), "3600");
    assert_eq!(effective.get("backends.default.ttl").expect("it is set").source(), "RETAINIT_BACKENDS_DEFAULT_TTL");
    assert_eq!(value(&effective, "logging.level"), "INFO");
    let shown = format!("{effective} {effective:?} {retainit:?}");
    assert!(!shown.contains("localhost") && !shown.contains("value: \"secret\""), "{shown}");
}

const TOML: &str = r#"
[retainit]
namespace = "shop"
default_backend = "near"

[retainit.backends.near]
type = "memory"
max_entries = 500
ttl = "5m"
strict = true

[retainit.functions."shop::user"]
ttl = "1m"
jitter = 0.5
"#;

const YAML: &str = r#"
retainit:
  namespace: shop
  default_backend: near
  backends:
    near: { type: memory, max_entries: 500, ttl: 5m, strict: true }
  functions:
    shop::user:
      ttl: 1m
      jitter: 0.5
"#;

const JSON: &str = r#"{ "retainit": {
  "namespace": "shop", "default_backend": "near",
  "backends": { "near": { "type": "memory", "max_entries": 500, "ttl": "5m", "strict": true } },
  "functions": { "shop::user": { "ttl": "1m", "jitter": 0.5 } } } }"#;

// D-03
#[test]
fn three_formats_say_the_same() {
    let folder = Folder::new(TOML);
    folder.write("other/retainit.yaml", YAML);
    folder.write("third/retainit.json", JSON);
    let values = |name: &str| {
        let builder = Retainit::builder().config_file(folder.path(name)).variables([("", ""); 0]);
        let effective = builder.build().unwrap_or_else(|error| panic!("{name}: {error}")).effective();
        effective.iter().map(|(path, setting)| (path, setting.value().to_owned())).collect::<Vec<_>>()
    };
    let toml = values("retainit.toml");
    assert!(toml.iter().any(|(path, value)| path == "functions.\"shop::user\".jitter" && value == "0.5"));
    assert_eq!(toml, values("other/retainit.yaml"));
    assert_eq!(toml, values("third/retainit.json"));
}

// T-110, T-111
#[test]
fn without_any_file_there_is_one_memory_backend_and_no_subscriber_receives_keys() {
    let retainit = Retainit::builder().variables([("", ""); 0]).build().expect("nothing is wrong");
    assert_eq!(retainit.backends(), ["memory"]);
    assert_eq!(retainit.stats().storage_type, "memory");
    let effective = retainit.effective();
    assert_eq!(value(&effective, "events.keys"), "hashed");
    assert_eq!(value(&effective, "backends.memory.type"), "memory");
    assert_eq!(value(&effective, "backends.memory.max_size"), "10000");
    assert!(effective.iter().all(|(_, setting)| setting.source() == "default"), "{effective}");
    let heard = retainit.events().subscribe(EventKind::CacheHit, |_: &retainit::Event| {});
    heard.unsubscribe();
}
