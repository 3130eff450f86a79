//! Tests the advisor's warnings, in the log and in `health()`, and the list of functions.

use std::fs;
use std::sync::{Arc, Mutex};

use retainit::{Builder, Cache, Retainit, retain};
use retainit_disk::DiskConfig;
use tempfile::TempDir;
use tracing::span;

#[retain(id = "advice.user", ttl = "1h")]
fn user(id: u64) -> u64 {
    id
}

#[retain(id = "advice.generic", version = 3)]
fn generic<T: retainit::TypeTag + serde::Serialize + Clone + Send + Sync + 'static>(value: T) -> T {
    value
}

struct Shop;

impl Shop {
    #[retain(assoc)]
    fn offered(id: u64) -> u64 {
        id
    }
}

#[retain(id = "advice.astray", backend = "nowhere")]
fn astray(id: u64) -> u64 {
    id
}

#[derive(Clone)]
struct Opaque;

#[retain(id = "advice.in_memory_only")]
fn opaque(id: u64) -> Opaque {
    assert!(id > 0);
    Opaque
}

/// Takes the advisor's records of a thread.
#[derive(Clone, Default)]
struct Advice(Arc<Mutex<Vec<String>>>);

impl tracing::field::Visit for Advice {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{}={value:?}", field.name()));
    }
}

impl tracing::Subscriber for Advice {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "retainit::advisor"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Returns the result of a closure and the advisor's warnings during it.
fn advised<T>(run: impl FnOnce() -> T) -> (T, String) {
    let advice = Advice::default();
    let done = tracing::subscriber::with_default(advice.clone(), run);
    let said = advice.0.lock().unwrap().join("\n");
    (done, said)
}

fn of_file(text: &str) -> (TempDir, Builder) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("retainit.toml");
    fs::write(&path, text).unwrap();
    let builder = Retainit::builder().config_file(path).variables::<&str, &str>([]);
    (folder, builder)
}

fn notes(instance: &Retainit) -> Vec<String> {
    let health = instance.blocking().health().unwrap();
    assert!(health.is_healthy(), "{health}");
    health.notes
}

#[test]
fn ids_that_no_function_has_are_reported_with_their_place_and_the_nearest() {
    let (_folder, builder) = of_file(
        "[retainit.functions.\"advice.user\"]\nttl = \"1m\"\n[retainit.functions.\"advice.usr\"]\njitter = 0.5\nttl = \
         \"1m\"\n[retainit.override.functions.\"far.away\"]\nttl = \"1m\"\n[retainit.functions.\"advice.cache\"]\nttl = \
         \"1m\"\n",
    );
    let instance = builder.build().unwrap();
    let ((), said) = advised(|| drop(instance.check()));
    for (place, text) in [
        ("retainit.toml:4: ", "called `advice.usr`; did you mean `advice.user`?"),
        ("retainit.toml:7: ", "called `far.away` (yet)"),
        ("retainit.toml:9: ", "called `advice.cache` (yet)"),
    ] {
        for line in [said.lines().collect::<Vec<_>>(), notes(&instance).iter().map(String::as_str).collect()].concat() {
            assert_eq!(line.contains(place), line.contains(text), "{line}");
        }
        assert!(said.contains(text), "{said}");
    }
    assert_eq!((said.lines().count(), notes(&instance).len()), (3, 3));
    // A cache of the name may come later.
    let _cache: Cache<u64> = instance.cache("advice.cache").build().unwrap();
    assert_eq!(notes(&instance).len(), 2);
}

#[test]
fn functions_that_are_known_by_their_calls_only_are_no_false_alarm() {
    let (_folder, builder) = of_file(
        "[retainit.functions.\"advice.generic\"]\nttl = \"1m\"\n[retainit.functions.\"advice.generic<u8>\"]\nttl = \
         \"1m\"\n[retainit.functions.\"it::advice::Shop::offered\"]\nttl = \"1m\"\n",
    );
    let instance = builder.build().unwrap();
    assert_eq!(notes(&instance), [] as [String; 0]);
    retainit::with_instance_sync(&instance, || assert_eq!((generic(1_u8), Shop::offered(2)), (1, 2)));
    assert_eq!(notes(&instance), [] as [String; 0]);
}

#[test]
fn thousands_of_unknown_ids_are_reported_in_bounded_time_and_room() {
    let text: String = (0..1_000).map(|id| format!("[retainit.functions.\"advice.usr{id}\"]\nttl = 60\n")).collect();
    let (_folder, builder) = of_file(&text);
    let notes = notes(&builder.build().unwrap());
    assert_eq!((notes.len(), notes.iter().filter(|note| note.contains("did you mean")).count()), (65, 8));
    assert_eq!(notes.last().unwrap(), "936 ids more that no function of this program has");
}

#[test]
fn the_list_of_functions_says_where_they_are_and_what_holds() {
    let (_folder, builder) = of_file(
        "[retainit.backends.main]\ntype = \"memory\"\n[retainit.override.functions.\"advice.user\"]\nttl = \"7m\"\n",
    );
    let instance = builder.build().unwrap();
    assert_eq!(retainit::with_instance_sync(&instance, || user(1)), 1);
    let list = retainit::with_instance_sync(&instance, retainit::functions);
    let of = |id: &str| list.iter().find(|function| function.id == id).unwrap_or_else(|| panic!("{id} in\n{list}"));
    let user = of("advice.user");
    assert!(user.file.ends_with("advice.rs") && user.line == 11, "{user:?}");
    assert_eq!((user.version, user.backend.as_str(), &user.uncached), (0, "main", &None));
    let ttl = user.options.iter().find(|option| option.name == "ttl").unwrap();
    assert!(ttl.value == "7m" && ttl.source.contains("retainit.toml:4"), "{ttl}");
    assert_eq!((of("advice.generic").version, of("advice.astray").backend.as_str()), (3, "none"));
    let table = list.to_string();
    assert!(
        table.starts_with("function ") && table.lines().next().is_some_and(|head| head.contains(" place ")),
        "{table}"
    );
    let line = table.lines().find(|line| line.starts_with("advice.user@0 ")).unwrap();
    assert!(line.contains("advice.rs:11") && line.contains("ttl=7m") && !line.contains("jitter"), "{line}");
    retainit::with_instance_sync(&instance, || assert_eq!((generic(1_u8), astray(1)), (1, 1)));
    let list = instance.functions();
    assert!(list.iter().any(|function| function.id == "advice.generic<u8>" && function.version == 3), "{list}");
    assert!(!list.iter().any(|function| function.id == "advice.generic"), "its instantiations stand for it");
    let astray = list.iter().find(|function| function.id == "advice.astray").unwrap();
    assert!(astray.uncached.as_ref().is_some_and(|why| why.contains("no backend is called `nowhere`")));
    assert!(list.windows(2).all(|two| two[0].id <= two[1].id));
}

#[test]
fn a_busy_timeout_above_its_bound_is_reported_with_the_one_that_holds() {
    let folder = tempfile::tempdir().unwrap();
    let disk = || DiskConfig::new().base_path(folder.path().join("cache"));
    let build = |disk| advised(|| Retainit::builder().register_backend("main", disk).build().unwrap());
    let (instance, said) = build(disk().busy_timeout("10s"));
    let text = "`busy_timeout` is 10s, and may be four fifths of `op_timeout`: 200ms holds";
    assert!(said.contains(text) && said.contains("main"), "{said}");
    assert!(matches!(notes(&instance).as_slice(), [one] if one.contains(text)));
    // What nobody set is adapted in silence.
    let short = Retainit::builder().op_timeout(std::time::Duration::from_millis(50)).register_backend("main", disk());
    let (instance, said) = advised(|| short.build().unwrap());
    assert_eq!((said.as_str(), notes(&instance).len()), ("", 0));
}

#[test]
fn an_unusable_base_path_is_an_error_of_install_and_of_a_reload() {
    let (folder, builder) = of_file("[retainit.backends.main]\ntype = \"memory\"\n");
    let instance = builder.build().unwrap();
    fs::write(folder.path().join("file"), "no folder").unwrap();
    let path = folder.path().join("file/below");
    let declared = format!(
        "[retainit]\ndefault_backend = \"main\"\n[retainit.backends.main]\ntype = \"memory\"\n\
         [retainit.backends.disk]\ntype = \"disk\"\nbase_path = {path:?}\n"
    );
    let file = folder.path().join("retainit.toml");
    fs::write(&file, &declared).unwrap();
    let error = instance.reload().unwrap_err().to_string();
    assert!(
        error.contains("retainit.toml:7: backends.disk.base_path: ") && error.contains("cannot be used"),
        "{error}"
    );
    assert_eq!(instance.backends(), ["main"]);
    // `build` looks at no file but its own.
    let built = Retainit::builder().config_file(&file).variables::<&str, &str>([]).build().unwrap();
    let error = built.install().unwrap_err().to_string();
    assert!(error.contains("retainit.toml:7: backends.disk.base_path: "), "{error}");
    let in_code = Retainit::builder().register_backend("disk", DiskConfig::new().base_path(&path)).build().unwrap();
    let error = in_code.install().unwrap_err().to_string();
    assert!(error.contains("code: backends.disk.base_path: "), "{error}");
}

#[test]
fn variables_that_kubernetes_sets_are_passed_over_with_one_note() {
    let links = [
        ("RETAINIT_SERVICE_HOST", "10.0.0.1"),
        ("RETAINIT_SERVICE_PORT", "8080"),
        ("RETAINIT_SERVICE_PORT_HTTP", "8080"),
        ("RETAINIT_PORT", "tcp://10.0.0.1:8080"),
        ("RETAINIT_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("RETAINIT_PORT_8080_TCP_PROTO", "tcp"),
        ("RETAINIT_PORT_8080_TCP_PORT", "8080"),
        ("RETAINIT_PORT_8080_TCP_ADDR", "10.0.0.1"),
        // A service called `retainit-backends`.
        ("RETAINIT_BACKENDS_SERVICE_HOST", "10.0.0.2"),
        ("RETAINIT_BACKENDS_SERVICE_PORT", "80"),
        ("RETAINIT_BACKENDS_PORT", "tcp://10.0.0.2:80"),
        ("RETAINIT_BACKENDS_PORT_80_TCP_ADDR", "10.0.0.2"),
    ];
    let build = |variables: &[(&'static str, &'static str)]| {
        advised(|| Retainit::builder().variables(variables.iter().copied()).build())
    };
    let (built, said) = build(&links);
    built.unwrap();
    assert_eq!(said.matches("passed over").count(), 1, "{said}");
    links.iter().for_each(|(name, _)| assert!(said.contains(name), "{name}: {said}"));
    // What has not their form is somebody's, and a typing error if it is nothing else.
    for (name, value) in [
        ("RETAINIT_PORT", "8080"),
        ("RETAINIT_SERVICE_HOSTS", "10.0.0.1"),
        ("RETAINIT_SERVICE_PORT", "web"),
        ("RETAINIT_BACKENDS_PORT", "tcp://10.0.0.2:80"),
    ] {
        let (built, said) = build(&[(name, value)]);
        assert!(built.unwrap_err().to_string().contains(name) && said.is_empty(), "{name}: {said}");
    }
    // A field that there is is read, whatever it is called.
    let own = [("RETAINIT_BACKENDS_SERVICE_HOST_TYPE", "memory"), ("RETAINIT_BACKENDS_SERVICE_HOST_TTL", "5m")];
    let (built, said) = build(&[links.as_slice(), own.as_slice()].concat());
    assert_eq!(built.unwrap().effective().get("backends.service_host.ttl").value(), "5m");
    assert_eq!(said.matches("passed over").count(), 1, "{said}");
}

#[test]
fn a_key_that_is_not_there_is_explained_by_what_was_counted() {
    let (_folder, builder) = of_file("[retainit.backends.main]\ntype = \"memory\"\n");
    let instance = builder.build().unwrap();
    let explained = || retainit::with_instance_sync(&instance, || user::cache().explain(&1).unwrap().to_string());
    let counted = |text: &str| format!("  so far   {text}, 0 evictions, 0 failed operations, 0 uncached calls\n");
    let text = explained();
    assert!(text.starts_with("miss: is not there: not stored yet, removed or evicted\n"), "{text}");
    assert!(text.contains(&counted("0 loads of any key by this process")), "{text}");
    assert_eq!(retainit::with_instance_sync(&instance, || user(2)), 2);
    assert!(explained().contains(&counted("1 loads of any key by this process")), "{}", explained());
    assert_eq!(retainit::with_instance_sync(&instance, || user(1)), 1);
    assert!(!explained().contains("so far"), "{}", explained());
}

#[test]
fn a_problem_of_a_function_has_its_place_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskConfig::new().base_path(folder.path().join("cache"));
    let instance = Retainit::builder().register_backend("main", disk).build().unwrap();
    let error = instance.check().unwrap_err();
    let unfit: Vec<_> = error.problems().iter().map(ToString::to_string).filter(|it| it.contains("main`: ")).collect();
    assert!(unfit.iter().any(|it| it.contains("advice.in_memory_only")), "{error}");
    for problem in unfit {
        assert_eq!(problem.matches("tests/it/").count(), 1, "{problem}");
    }
    let Opaque = retainit::with_instance_sync(&instance, || opaque(1));
    let list = instance.functions().to_string();
    let line = list.lines().find(|line| line.starts_with("advice.in_memory_only@0 ")).unwrap();
    assert!(line.contains("uncached: ") && line.matches("advice.rs").count() == 1, "{line}");
}
