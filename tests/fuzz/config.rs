//! Reads files and variables of any text: an error that names the place, or settings that can be shown; never a panic.

use std::fs;
use std::path::PathBuf;

use retainit::{ErrorKind, Retainit};
use tempfile::TempDir;

use crate::mutate::mutate;
use crate::runner::{Random, run};

const TOML: &str = include_str!("../it/config/samples/pyproject.toml");
const YAML: &str = include_str!("../it/config/samples/retainit.yaml");
const JSON: &str = include_str!("../it/config/samples/retainit.json");
const ENV: &str = include_str!("../it/config/samples/retainit.env");

const RICH: &str = r#"
[retainit]
namespace = "shop"
default_backend = "near"
secret = "env:SECRET"
enforced = ["backends.near.ttl", "functions.\"shop::user\".verify"]

[retainit.backends.near]
type = "memory"
max_size = 10_000
max_bytes = "64MiB"
ttl = "1h30m"
jitter = 0.25
policy = "lru"

[retainit.backends.disk]
type = "disk"
codec = "json"
busy_timeout = "50ms"

[retainit.functions."shop::user"]
ttl = 60
verify = 0.01

[retainit.override.functions."shop::user"]
backend = "disk"
disabled = false

[retainit.events]
keys = "plain"

[retainit.profiles.test]
namespace = "test"
"#;

/// File names by which a text is read, and the texts to begin with.
const FILES: [(&str, &str); 5] =
    [("a.toml", RICH), ("b.toml", TOML), ("c.yaml", YAML), ("d.json", JSON), ("e.env", ENV)];

struct Configs(TempDir);

impl Configs {
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn iteration(&self, random: &mut Random) {
        let (name, text) = FILES[random.below(FILES.len())];
        let others = FILES.map(|(_, text)| text.as_bytes());
        let mut bytes = text.as_bytes().to_vec();
        mutate(&mut bytes, random, &others);
        let mut value = b"5m".to_vec();
        mutate(&mut value, random, &others);
        let value = String::from_utf8_lossy(&value).replace('\0', "");
        let variable = random.of(&[
            "RETAINIT_BACKENDS_NEAR_TTL",
            "RETAINIT_BACKENDS__NEAR__MAX_SIZE",
            "RETAINIT_NAMESPACE",
            "RETAINIT_BACKENDS_OTHER_TYPE",
            "RETAINIT_LOG_LEVEL",
            "SECRET",
        ]);
        let path = self.file(name, &bytes);
        let with_profile = random.one_in(4);
        let built = || {
            let builder = Retainit::builder().config_file(&path).variables([(variable, value.clone())]);
            if with_profile { builder.profile("test").build() } else { builder.build() }
        };
        match (built(), built()) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.effective(), other.effective());
                assert!(!one.effective().to_string().is_empty());
                one.reload().unwrap();
            }
            (Err(one), Err(other)) => {
                let known = [ErrorKind::Config, ErrorKind::UnknownBackend, ErrorKind::Duplicate];
                assert!(known.contains(&one.kind()), "{one:?}");
                assert_eq!(one.to_string(), other.to_string());
            }
            (one, other) => panic!("{one:?} and then {other:?}"),
        }
    }
}

// T-131
#[test]
fn configurations_of_any_text() {
    let configs = Configs(TempDir::new().unwrap());
    run(5_000, |random| configs.iteration(random));
}
