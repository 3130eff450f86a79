//! Tests that an enforced option of a file takes precedence over all sources above it.

use retainit::{MemoryConfig, Overrides, Retainit, retain, with_instance_sync, with_sync};

use super::Folder;

#[retain(id = "config.enforced.plain")]
fn plain(id: u64) -> u64 {
    id
}

#[retain(id = "config.enforced.named", backend = "other")]
fn named(id: u64) -> u64 {
    id
}

const MAIN: &str = "[retainit.backends.default]\ntype = \"memory\"\n[retainit.backends.other]\ntype = \"memory\"\n[retainit.backends.safe]\ntype = \"memory\"\n";

/// Builds an instance whose lower source, the main file, has this text beside its backends.
fn lower(text: &str) -> Retainit {
    Folder::new(&format!("{text}{MAIN}")).builder().build().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn option(retainit: &Retainit, name: &str) -> String {
    let explained = with_instance_sync(retainit, || plain::cache().explain(&1).expect("explained"));
    explained.options().iter().find(|option| option.name == name).expect("there is that option").value.clone()
}

#[test]
fn a_functions_backend_holds_against_attribute_override_and_file() {
    let backend_of = |id: &str, section: &str, more: &str| {
        let retainit = lower(&format!(
            "[retainit]\nenforced = ['{section}.\"{id}\".backend']\n[retainit.{section}.\"{id}\"]\nbackend = \"safe\"\n{more}"
        ));
        with_instance_sync(&retainit, || {
            with_sync(Overrides::new().backend("other"), || {
                assert_eq!((plain(1), named(1)), (1, 1));
                match id.ends_with("plain") {
                    true => plain::cache().explain(&1).expect("explained"),
                    false => named::cache().explain(&1).expect("explained"),
                }
            })
        })
    };
    let above = "[retainit.override.functions.\"config.enforced.plain\"]\nbackend = \"other\"\n";
    for (id, section, more) in [
        ("config.enforced.plain", "functions", ""),
        ("config.enforced.plain", "functions", above),
        ("config.enforced.named", "functions", ""),
        ("config.enforced.named", "override.functions", ""),
    ] {
        let explained = backend_of(id, section, more);
        assert!(explained.backend().starts_with("safe"), "{id} in {section} with {more:?}: {explained}");
        assert!(explained.is_hit(), "the call has used it too: {explained}");
    }
}

#[test]
fn an_enforced_override_holds_against_overrides_in_code() {
    let retainit = lower(
        "[retainit]\nenforced = ['override.functions.\"config.enforced.plain\".ttl', 'override.functions.\"config.enforced.plain\".jitter']\n\
         [retainit.override.functions.\"config.enforced.plain\"]\nttl = \"5s\"\njitter = 0.25\n",
    );
    let scoped = |overrides: Overrides, name: &str| with_sync(overrides, || option(&retainit, name));
    assert_eq!(scoped(Overrides::new().ttl("1h"), "ttl"), "5s");
    assert_eq!(scoped(Overrides::new().ttl("2s"), "ttl"), "2s", "shorter is no weakening");
    assert_eq!(scoped(Overrides::new().jitter(0.0), "jitter"), "0.25");
}

#[test]
fn a_section_is_enforced_with_all_that_it_says() {
    let folder = Folder::new(
        "[retainit]\nenforced = [\"backends.near\", \"events\"]\n[retainit.backends.near]\ntype = \"memory\"\nttl = \"5s\"\nmax_entries = 5\n[retainit.events]\nkeys = \"hashed\"\n",
    );
    let config = || MemoryConfig::new().ttl("1h").max_entries(99).policy("lru");
    folder.write(
        "profiles/loose.toml",
        "[retainit.events]\nkeys = \"plain\"\n[retainit.backends.near]\ntype = \"disk\"\nbase_path = \"x\"\n",
    );
    let in_code = folder.builder().register_backend("near", config()).build().expect("built").effective();
    let above = folder.builder().profile("loose").build().expect("built").effective();
    let of = |effective: &retainit::Effective, path: &str| effective.get(path).value().to_owned();
    assert_eq!(
        ["ttl", "max_entries", "policy"].map(|field| of(&in_code, &format!("backends.near.{field}"))),
        ["5s", "5", "lru"]
    );
    assert_eq!(
        ["backends.near.type", "backends.near.max_entries", "events.keys"].map(|path| of(&above, path)),
        ["memory", "5", "hashed"]
    );
}

#[test]
fn aliases_are_their_fields() {
    for (listed, said) in [("prefix", "prefix"), ("namespace", "key_prefix"), ("keyspace", "namespace")] {
        let folder = Folder::new(&format!("[retainit]\nenforced = [\"{listed}\"]\n{said} = \"safe\"\n"));
        folder.write("profiles/other.toml", "[retainit]\nkeyspace = \"loose\"\n");
        let retainit = folder.builder().profile("other").namespace("loose").build();
        let retainit = retainit.unwrap_or_else(|error| panic!("{listed} for {said}: {error}"));
        assert_eq!(retainit.effective().get("namespace").value(), "safe", "{listed} for {said}");
    }
}

#[test]
fn null_takes_nothing_enforced_back() {
    let folder = Folder::new(
        "[retainit]\nenforced = [\"namespace\", \"backends.near.ttl\"]\nnamespace = \"safe\"\n[retainit.backends.near]\ntype = \"memory\"\nttl = \"5s\"\nmax_idle = \"1h\"\n",
    );
    folder.write(
        "profiles/loose.yaml",
        "retainit:\n  namespace: null\n  backends: { near: { ttl: null, max_idle: null } }\n",
    );
    let effective = folder.builder().profile("loose").build().expect("built").effective();
    let values = ["namespace", "backends.near.ttl", "backends.near.max_idle"].map(|path| effective.get(path).value());
    assert_eq!(values, ["safe", "5s", "never"]);
    folder.write("profiles/loose.yaml", "retainit: { backends: { near: null } }\n");
    let effective = folder.builder().profile("loose").build().expect("built").effective();
    assert_eq!(effective.get("backends.near.ttl").value(), "5s");
}

#[test]
fn whether_the_environment_takes_precedence_over_may_be_enforced() {
    let folder = Folder::new("[retainit]\nenforced = [\"env_first\"]\nenv_first = false\nnamespace = \"file\"\n");
    folder.write("profiles/loose.toml", "[retainit]\nenv_first = true\n");
    let builder = folder.builder().variables([("RETAINIT_NAMESPACE", "variable")]).profile("loose").env_first(true);
    assert_eq!(builder.build().expect("built").effective().get("namespace").value(), "file");
}

#[test]
fn an_enforced_secret_holds_against_one_from_code() {
    let folder = Folder::new("[retainit]\nenforced = [\"secret\"]\nsecret = \"of the file\"\n");
    let key = |builder: retainit::Builder| {
        let cache = builder.build().expect("built").cache::<u8>("people").hash_key().build().expect("in memory");
        cache.blocking().explain(&1).expect("explained").key().to_owned()
    };
    let in_file = key(Retainit::builder().secret("of the file"));
    assert_eq!(key(folder.builder().secret("of the code")), in_file);
    assert_ne!(key(Retainit::builder().secret("of the code")), in_file);
}
