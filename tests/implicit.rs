//! Tests programs that configure nothing: they use the files of their working directory and their environment. Each
//! case is a process of its own: this binary, started again in a folder for one role.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use retainit::{Retainit, retain};
use tempfile::TempDir;

const ROLE: &str = "IMPLICIT_TEST_ROLE";

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(id = "implicit.user")]
fn user(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id
}

/// Prints the configuration that the process uses.
fn tell(retainit: &Retainit) {
    let types = retainit.stats().storage_type;
    println!("> backends {} of {types}", retainit.backends().join("+"));
    let effective = retainit.effective();
    for path in ["default_backend", "namespace", "backends.default.ttl", "events.keys", "logging.level"] {
        if let Some(setting) = effective.get(path).filter(|setting| setting.source() != "default") {
            println!("> {path} = {} from {}", setting.value(), setting.source());
        }
    }
}

fn call_twice() {
    let answers = (user(1), user(1));
    println!("> answers {answers:?} runs {}", RUNS.load(Ordering::SeqCst));
}

/// Plays a role in a process of its own; without one there is nothing to do.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let made = match role.as_str() {
        "call" => {
            call_twice();
            Ok(retainit::current())
        }
        "call_and_ask" => {
            call_twice();
            let health = retainit::current().blocking().health();
            println!("> healthy {}", health.is_ok_and(|health| health.is_healthy()));
            println!("> errors {}", retainit::stats().errors);
            retainit::current().reload().map(|()| retainit::current())
        }
        "init" => retainit::init(),
        "init_dev" => retainit::init_dev(),
        "init_test" => retainit::init_test(),
        "init_prod" => retainit::init_prod(format!("file://{}", std::env::current_dir().expect("a folder").display())),
        "init_prod_blank" => {
            let folder = std::env::current_dir().expect("a folder");
            retainit::init_prod(format!("file://{}/a%20folder%25", folder.display()))
        }
        "init_prod_half" => retainit::init_prod("file:///a%2"),
        "init_prod_redis" => retainit::init_prod("redis://:hush@localhost:6379"),
        "init_prod_nonsense" => retainit::init_prod("ftp://hush"),
        "load_config" => retainit::load_config("other.toml"),
        "load_from_env" => retainit::load_from_env(),
        "ttl_zero" => {
            let told = Advice::default();
            tracing::subscriber::set_global_default(told.clone()).expect("nobody else listens");
            for _ in 0..2 {
                let config = retainit::MemoryConfig::new().ttl(0);
                let code = Retainit::builder().register_backend("code", config).build().expect("nothing is wrong");
                code.cache::<u8>("users").ttl(0).build().expect("in memory");
            }
            let made = retainit::init();
            told.0.lock().expect("no thread panics").iter().for_each(|text| println!("> {text}"));
            made
        }
        "install_over_implicit" => {
            call_twice();
            let own = Retainit::builder().namespace("own").build().expect("nothing is wrong");
            own.install().expect("an implicit instance gives way");
            call_twice();
            Ok(retainit::current())
        }
        other => panic!("no role {other}"),
    };
    match made {
        Ok(retainit) => tell(&retainit),
        Err(error) => println!("> error {}: {}", error.kind(), error.to_string().replace('\n', " ")),
    }
    if !role.starts_with("call") && role != "install_over_implicit" {
        call_twice();
    }
}

/// Collects the advisor's warnings.
#[derive(Clone, Default)]
struct Advice(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl tracing::Subscriber for Advice {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "retainit::advisor"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text("advice".to_owned());
        event.record(&mut text);
        self.0.lock().expect("no thread panics").push(text.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Scene {
    folder: TempDir,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Scene {
        let folder = TempDir::new().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Scene { folder, variables: BTreeMap::new() }
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Scene {
        self.variables.insert(name, value);
        self
    }

    /// Runs a process in a role and returns its output.
    fn run(&self, role: &str) -> String {
        self.run_with(role, ROLE.as_ref(), role.as_ref())
    }

    /// Runs a process in a role with one more variable, and returns its output.
    fn run_with(&self, role: &str, name: &OsStr, value: &OsStr) -> String {
        let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RETAINIT_")) {
            command.env_remove(name);
        }
        command.args(["--exact", "role", "--nocapture"]).current_dir(self.folder.path()).env(ROLE, role);
        command.envs(&self.variables).env(name, value);
        let Output { status, stdout, stderr } = command.output().expect("this binary can be started");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{role}: {stdout}{stderr}");
        assert!(!stdout.contains("hush") && !stderr.contains("hush"), "{role}: {stdout}{stderr}");
        stdout.lines().filter_map(|line| Some(line.split_once("> ")?.1.to_owned() + "\n")).collect()
    }
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} is missing in\n{said}"));
}

const CACHED: &str = "answers (1, 1) runs 1";
const UNCACHED: &str = "answers (1, 1) runs 2";
const MEMORY: &str =
    "[retainit]\nnamespace = \"from-file\"\n[retainit.backends.default]\ntype = \"memory\"\nttl = 60\n";

// T-111, P-44
#[test]
fn without_anything_one_memory_backend() {
    says(&Scene::new(&[]).run("call"), &[CACHED, "backends memory of memory"]);
}

#[test]
fn under_a_broken_configuration_nothing_claims_to_work() {
    let broken = Scene::new(&[("retainit.toml", "[retainit\n")]).run("call_and_ask");
    says(&broken, &[UNCACHED, "healthy false", "error config: call `init()`", "retainit.toml:1"]);
    says(&broken, &["errors 1"]);
    let unlinked = Scene::new(&[("retainit.toml", "[retainit.backends.far]\ntype = \"redis\"\n")]);
    says(&unlinked.run("call_and_ask"), &[UNCACHED, "errors 1"]);
    says(&unlinked.run("init"), &["error unknown_backend", "feature `redis`", "implicit::user"]);
    says(&Scene::new(&[]).run("call_and_ask"), &[CACHED, "errors 0", "healthy true", "backends memory of memory"]);
}

// T-49, T-50, T-51
#[test]
fn the_main_file_of_the_working_directory_is_found() {
    let yaml = "retainit: { namespace: from-file }\n";
    let json = "{ \"retainit\": { \"namespace\": \"from-file\" } }";
    for (name, text) in [("retainit.toml", MEMORY), ("retainit.yaml", yaml), ("retainit.json", json)] {
        says(&Scene::new(&[(name, text)]).run("call"), &[CACHED, "namespace = from-file", name]);
        says(&Scene::new(&[(name, text)]).run("init"), &[CACHED, "namespace = from-file"]);
    }
}

#[test]
fn two_main_files_are_an_error_that_init_returns_and_calls_survive() {
    let scene = Scene::new(&[("retainit.toml", MEMORY), ("retainit.json", "{}")]);
    says(&scene.run("init"), &["error config", "two main files", UNCACHED]);
    says(&scene.run("call"), &[UNCACHED]);
}

#[test]
fn a_variable_names_the_file_and_another_the_profile() {
    let profile = "[retainit.backends.default]\nttl = 5\n";
    let scene = Scene::new(&[("conf/main.toml", MEMORY), ("conf/profiles/night.toml", profile)]);
    let scene = scene.variable("RETAINIT_CONFIG", "conf/main.toml").variable("RETAINIT_PROFILE", "night");
    let said = scene.run("call");
    says(&said, &[CACHED, "namespace = from-file", "backends.default.ttl = 5 from conf/profiles/night.toml:2"]);
}

// T-52
#[test]
fn a_profile_that_is_not_there_lists_those_there_are() {
    let scene =
        Scene::new(&[("retainit.toml", MEMORY), ("profiles/night.toml", "")]).variable("RETAINIT_PROFILE", "nihgt");
    says(&scene.run("init"), &["error config", "did you mean `night`", UNCACHED]);
}

#[test]
fn a_broken_file_never_fails_a_call() {
    let scene = Scene::new(&[("retainit.toml", "[retainit]\nnamespce = 1\n")]);
    says(&scene.run("call"), &[UNCACHED]);
    says(&scene.run("init"), &["error config", "retainit.toml:2", "namespace", UNCACHED]);
}

#[test]
fn a_ttl_of_zero_is_advised_against_once_wherever_it_is_said() {
    let file = "[retainit.backends.default]\ntype = \"memory\"\nttl = \"0s\"\n";
    let scene = Scene::new(&[("retainit.toml", file)]).variable("RETAINIT_BACKENDS_DEFAULT_MAX_IDLE", "0");
    let scene = scene.variable("RETAINIT_BACKENDS_OTHER_TYPE", "memory").variable("RETAINIT_BACKENDS_OTHER_TTL", "0");
    let said = scene.run("ttl_zero");
    let advice: Vec<_> = said.lines().filter(|line| line.starts_with("advice") && line.contains("never")).collect();
    assert_eq!(advice.len(), 3, "{said}");
    for place in ["place=\"code\"", "place=\"retainit.toml:3\"", "place=\"RETAINIT_BACKENDS_OTHER_TTL\""] {
        assert_eq!(advice.iter().filter(|line| line.contains(place)).count(), 1, "{place}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let odd = OsStr::from_bytes(b"a\xff");
    let said = |name: &str| Scene::new(&[("retainit.toml", MEMORY)]).run_with("init", name.as_ref(), odd);
    for name in ["RETAINIT_NAMESPACE", "RETAINIT_PROFILE", "RETAINIT_CONFIG"] {
        says(&said(name), &["error config", &format!("{name}: the name or the value is not valid UTF-8"), UNCACHED]);
    }
    says(&said("FOREIGN"), &[CACHED, "namespace = from-file"]);
    let named = Scene::new(&[]).run_with("init", OsStr::from_bytes(b"RETAINIT_\xff"), "x".as_ref());
    says(&named, &["error config", "is not valid UTF-8"]);
    let referred = Scene::new(&[("retainit.toml", "[retainit]\nsecret = \"env:FOREIGN\"\n")]);
    let referred = referred.run_with("init", "FOREIGN".as_ref(), odd);
    says(&referred, &["retainit.toml:2: secret: the environment variable FOREIGN is not valid UTF-8"]);
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_of_init_and_no_call_fails() {
    let disk = "[retainit.backends.default]\ntype = \"disk\"\nbase_path = \"file/cache\"\n";
    let scene = Scene::new(&[("retainit.toml", disk), ("file", "")]);
    says(&scene.run("init"), &["error config", "retainit.toml:3: backends.default.base_path: ", UNCACHED]);
    says(&scene.run("call"), &[UNCACHED]);
}

#[test]
fn what_kubernetes_sets_for_a_service_of_that_name_is_no_setting() {
    let scene = Scene::new(&[("retainit.toml", MEMORY)]).variable("RETAINIT_SERVICE_HOST", "10.0.0.1");
    let scene = scene.variable("RETAINIT_PORT", "tcp://10.0.0.1:80").variable("RETAINIT_PORT_80_TCP_PORT", "80");
    says(&scene.run("init"), &[CACHED, "namespace = from-file"]);
    says(&scene.run("call"), &[CACHED]);
}

// T-54, T-55
#[test]
fn variables_alone_configure_it() {
    let scene = Scene::new(&[]).variable("RETAINIT_BACKENDS_DEFAULT_TYPE", "memory");
    let scene = scene.variable("RETAINIT_BACKENDS_DEFAULT_TTL", "300").variable("RETAINIT_LOG_LEVEL", "WARN");
    let expected = [CACHED, "backends.default.ttl = 300 from RETAINIT_BACKENDS_DEFAULT_TTL", "logging.level = WARN"];
    for role in ["call", "init", "load_from_env"] {
        says(&scene.run(role), &expected);
    }
}

// T-58
#[test]
fn load_config_reads_the_file_it_is_given_and_load_from_env_none() {
    let scene = Scene::new(&[("retainit.toml", "broken"), ("other.toml", MEMORY)]);
    says(&scene.run("load_config"), &[CACHED, "namespace = from-file from other.toml:2"]);
    let said = scene.run("load_from_env");
    assert!(said.contains(CACHED) && !said.contains("namespace"), "{said}");
}

// T-57, T-112
#[test]
fn three_presets_differ_in_what_they_show_and_where_they_keep() {
    // A busy machine may need longer than the limit to open a folder.
    let scene = Scene::new(&[]).variable("RETAINIT_OP_TIMEOUT", "20s");
    says(&scene.run("init_dev"), &[CACHED, "events.keys = plain from preset development", "logging.level = debug"]);
    says(&scene.run("init_test"), &[CACHED, "namespace = test from preset test"]);
    says(&scene.run("init_prod"), &[CACHED, "of disk", "default_backend = production", "events.keys = hashed"]);
    assert!(scene.folder.path().join("v1").is_dir(), "the folder of the URL");
    says(&scene.run("init_prod_blank"), &[CACHED, "of disk"]);
    assert!(scene.folder.path().join("a folder%/v1").is_dir(), "what is escaped in the URL");
    says(&scene.run("init_prod_half"), &["error config", "two hexadecimal digits"]);
    says(&scene.run("init_prod_redis"), &["error config", "feature `redis`"]);
    says(&scene.run("init_prod_nonsense"), &["error config", "file:///folder"]);
    let filed = Scene::new(&[("retainit.toml", "[retainit.events]\nkeys = \"hashed\"\n")]);
    says(&filed.run("init_dev"), &["events.keys = hashed from retainit.toml:2"]);
    let said = Scene::new(&[("retainit.toml", "broken")]).run("init_test");
    says(&said, &[CACHED]);
}

#[test]
fn an_instance_made_by_hand_takes_the_place_of_the_implicit_one() {
    let scene = Scene::new(&[("retainit.toml", MEMORY)]);
    says(&scene.run("install_over_implicit"), &["runs 1", "runs 2", "namespace = own from code"]);
}
