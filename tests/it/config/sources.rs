//! Tests that higher sources unset options of lower ones, and `.env` files as a source.

use retainit::{Builder, Retainit};

use super::Folder;

fn built(builder: Builder) -> Retainit {
    builder.build().unwrap_or_else(|error| panic!("{error}"))
}

fn values<const N: usize>(retainit: &Retainit, paths: [&str; N]) -> [String; N] {
    let effective = retainit.effective();
    paths.map(|path| effective.get(path).value().to_owned())
}

// T-52
#[test]
fn a_profile_that_changes_a_backends_type_leaves_the_fields_of_the_other_type_behind() {
    let folder = Folder::new(
        "[retainit.backends.default]\ntype = \"memory\"\nmax_idle = \"3s\"\nmax_entries = 77\nttl = \"1h\"\n",
    );
    folder.write("profiles/disk.toml", "[retainit.backends.default]\ntype = \"disk\"\n");
    let disk = built(folder.builder().profile("disk").variables([("RETAINIT_BACKENDS_DEFAULT_STRICT", "true")]));
    assert_eq!(
        values(
            &disk,
            ["type", "ttl", "max_entries"].map(|it| format!("backends.default.{it}")).each_ref().map(|it| it.as_str())
        ),
        ["disk", "1h", "77"]
    );
    assert!(disk.effective().get("backends.default.max_idle").is_none(), "a disk has no such field");
    assert_eq!(values(&built(folder.builder()), ["backends.default.max_idle"]), ["3s"]);
    folder.write("profiles/null.yaml", "retainit: { backends: { default: { type: disk, max_idle: null } } }\n");
    assert_eq!(values(&built(folder.builder().profile("null")), ["backends.default.type"]), ["disk"]);
    folder.write("profiles/disk.toml", "[retainit.backends.default]\ntype = \"disk\"\nmax_idle = \"3s\"\n");
    let own = folder.builder().profile("disk").build().expect_err("its own field").to_string();
    assert!(own.contains("disk.toml:3: backends.default.max_idle: unknown key"), "{own}");
}

#[test]
fn a_type_that_is_not_linked_leaves_nothing_behind_either() {
    let folder = Folder::new("[retainit.backends.default]\ntype = \"redis\"\nurl = \"redis://hush\"\nttl = \"1h\"\n");
    folder.write("profiles/near.toml", "[retainit.backends.default]\ntype = \"memory\"\n");
    let variables = [("RETAINIT_BACKENDS_DEFAULT_POOL", "5")];
    let near = built(folder.builder().profile("near").variables(variables));
    assert_eq!(values(&near, ["backends.default.type", "backends.default.ttl"]), ["memory", "1h"]);
    assert!(!near.effective().to_string().contains("***\n") && near.effective().get("backends.default.url").is_none());
    folder.write("profiles/far.toml", "[retainit.backends.near]\ntype = \"redis\"\nurl = \"redis://hush\"\n");
    folder.write("retainit.toml", "[retainit.backends.near]\ntype = \"memory\"\nmax_idle = \"1h\"\nstrict = true\n");
    let far = built(folder.builder().profile("far")).effective();
    assert!(far.get("backends.near.strict").is_none() && far.get("backends.near.max_idle").is_some(), "{far}");
}

#[test]
fn null_takes_back_what_a_lower_source_says() {
    let folder = Folder::new(
        "[retainit]\nnamespace = \"shop\"\n[retainit.backends.near]\ntype = \"memory\"\nmax_entries = 5\nttl = \"1h\"\n\
         [retainit.logging]\nlevel = \"warn\"\n[retainit.functions.user]\nttl = \"1m\"\n",
    );
    let paths = ["namespace", "backends.near.max_entries", "logging.level", "functions.user.ttl"];
    assert_eq!(values(&built(folder.builder()), paths), ["shop", "5", "warn", "1m"]);
    let yaml = "retainit:\n  namespace: ~\n  backends: { near: { max_size: null } }\n  logging: null\n  functions: { user: { ttl: null } }\n";
    let json = r#"{ "retainit": { "keyspace": null, "backends": { "near": { "max_entries": null } },
        "logging": { "level": null }, "functions": { "user": null } } }"#;
    for (name, text) in [("yaml", yaml), ("json", json)] {
        folder.write(&format!("profiles/{name}.{name}"), text);
        let retainit = built(folder.builder().profile(name));
        assert_eq!(values(&retainit, paths), ["default", "10000", "info", ""], "{name}");
        assert_eq!(values(&retainit, ["backends.near.ttl"]), ["1h"], "{name}");
    }
}

#[test]
fn a_backend_that_is_null_is_not_there() {
    let folder =
        Folder::new("[retainit.backends.near]\ntype = \"memory\"\n[retainit.backends.far]\ntype = \"memory\"\n");
    folder.write("profiles/small.yaml", "retainit: { backends: { far: null } }\n");
    assert_eq!(built(folder.builder().profile("small")).backends(), ["near"]);
}

// T-54
#[test]
fn a_value_from_an_env_file_has_its_file_and_line() {
    let folder = Folder::new("");
    folder.write("main.env", "# of the shop\nRETAINIT_NAMESPACE='shop'\nexport RETAINIT_OP_TIMEOUT=\"2s\"\n");
    let variables = [("RETAINIT_NAMESPACE", "other"), ("RETAINIT_DECODE_TIMEOUT", "3s")];
    let builder = || Retainit::builder().config_file(folder.path("main.env")).variables(variables);
    let effective = built(builder()).effective();
    let (namespace, timeout) = (effective.get("namespace"), effective.get("decode_timeout"));
    assert!(namespace.value() == "shop" && namespace.source().ends_with("main.env:2"), "{effective}");
    assert_eq!((timeout.value(), timeout.source()), ("3s", "RETAINIT_DECODE_TIMEOUT"));
}

#[test]
fn an_env_file_chooses_the_profile_unless_code_does() {
    let folder = Folder::new("");
    folder.write("main.env", "RETAINIT_PROFILE=night\nRETAINIT_NAMESPACE=file\n");
    folder.write("profiles/night.toml", "[retainit]\nnamespace = \"night\"\n");
    folder.write("profiles/day.toml", "[retainit]\nnamespace = \"day\"\n");
    let builder = || Retainit::builder().config_file(folder.path("main.env")).variables([("RETAINIT_PROFILE", "day")]);
    assert_eq!(values(&built(builder()), ["namespace"]), ["night"], "the file stands above the process's variables");
    assert_eq!(values(&built(builder().profile("day")), ["namespace"]), ["day"]);
    folder.write("main.env", "RETAINIT_PROFILE=\n");
    assert_eq!(values(&built(builder()), ["namespace"]), ["day"], "an empty variable is as good as none");
}

#[test]
fn a_subscribers_options_may_come_from_several_sources() {
    let folder = Folder::new("[retainit.audit]\n[retainit.logging]\nformat = \"json\"\nlevel = \"off\"\n");
    assert_eq!(values(&built(folder.builder()), ["audit.path"]), [""], "an empty section turns nothing on");
    let path = folder.path("log.jsonl");
    folder.write("profiles/file.toml", &format!("[retainit.logging]\npath = {path:?}\n"));
    built(folder.builder().profile("file")).blocking().close().expect("closable");
    assert!(path.exists());
}

#[test]
fn a_file_that_cannot_be_written_is_reported_with_its_place() {
    let folder = Folder::new("[retainit.logging]\nformat = \"json\"\npath = \"/nowhere/at/all\"\n");
    let error = folder.builder().build().expect_err("there is no such folder").to_string();
    assert!(error.contains("retainit.toml:3: logging.path: /nowhere/at/all cannot be written"), "{error}");
    folder.write("retainit.toml", "[retainit.audit]\nmax_wait = \"1s\"\npath = \"/nowhere/at/all\"\n");
    let error = folder.builder().build().expect_err("there is no such folder").to_string();
    assert!(error.contains("retainit.toml:3: audit.path: /nowhere/at/all cannot be written"), "{error}");
}
