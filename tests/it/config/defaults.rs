//! Tests the backend of functions that name none.

use retainit::{ErrorKind, Retainit, retain, with_instance_sync};

use super::Folder;
use crate::common::Runs;

static RUNS: Runs = Runs::new();

#[retain(id = "config.defaults.price")]
fn price(id: u64) -> u64 {
    RUNS.add();
    id * 3
}

#[retain(id = "config.defaults.named", backend = "memory")]
fn named(id: u64) -> u64 {
    id * 3
}

fn built(text: &str) -> Retainit {
    Folder::new(text).builder().build().expect("it is an error only of what uses it")
}

/// Checks that calls, handles and `check` report a default that cannot be used.
#[track_caller]
fn refused(retainit: &Retainit, kind: ErrorKind, why: &str) {
    let error = retainit.cache::<u8>("numbers").build().expect_err("there is no such default");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(why), "{error}");
    let explained = with_instance_sync(retainit, || price::cache().explain(&1).expect("explained").to_string());
    assert!(explained.contains("uncached") && explained.contains(why), "{explained}");
    let error = retainit.check().expect_err("functions use it").to_string();
    assert!(error.contains(why) && error.contains("defaults::price"), "{error}");
}

const REDIS: &str = "the type `redis` is not linked into this program: turn on the feature `redis` of `retainit`";
const NEAR: &str = "[retainit.backends.near]\ntype = \"memory\"\n";

// Another backend never takes the place of a default that is not linked.
#[test]
fn a_backend_whose_type_is_not_linked_counts() {
    let of = |name: &str| format!("[retainit.backends.{name}]\ntype = \"redis\"\nurl = \"redis://localhost\"\n");
    let called_default = built(&format!("{}{NEAR}", of("default")));
    refused(&called_default, ErrorKind::UnknownBackend, REDIS);
    RUNS.take();
    with_instance_sync(&called_default, || assert_eq!((price(1), price(1)), (3, 3)));
    assert_eq!(RUNS.take(), 2, "calls run uncached");
    let two = built(&format!("{}{NEAR}", of("far")));
    refused(&two, ErrorKind::Config, "several backends and no default");
    refused(&two, ErrorKind::Config, "there are: far, near");
    refused(&built(&of("far")), ErrorKind::UnknownBackend, REDIS);
    let set = built(&format!("[retainit]\ndefault_backend = \"far\"\n{}{NEAR}", of("far")));
    refused(&set, ErrorKind::UnknownBackend, REDIS);
    let near = set.cache::<u8>("numbers").backend("near").build().expect("it is linked");
    assert_eq!(near.blocking().get_or_load(&1, || 7), 7);
}

// The name of a backend goes before the name of a type.
#[test]
fn a_backend_called_like_a_type_is_what_the_file_declares() {
    let retainit = built(&format!("{NEAR}[retainit.backends.memory]\ntype = \"redis\"\n"));
    let error = retainit.cache::<u8>("numbers").backend("memory").build().expect_err("redis is not linked");
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    assert!(error.to_string().contains(REDIS), "{error}");
    with_instance_sync(&retainit, || assert_eq!(named(2), 6));
    let explained = with_instance_sync(&retainit, || named::cache().explain(&1).expect("explained").to_string());
    assert!(explained.contains("uncached") && explained.contains(REDIS), "{explained}");
    let error = retainit.check().expect_err("a function names it").to_string();
    assert!(error.contains("defaults::named") && error.contains(REDIS), "{error}");
    assert_eq!(retainit.backends(), ["near"]);
}

#[test]
fn types_that_are_used_as_names_are_among_the_settings() {
    let folder = Folder::new(NEAR);
    let retainit = folder.builder().build().expect("nothing is wrong");
    assert!(retainit.effective().get("backends.memory.type").is_none());
    retainit.cache::<u8>("numbers").backend("memory").build().expect("its configuration is all default");
    let effective = retainit.effective();
    for (path, value) in [("type", "memory"), ("max_entries", "10000"), ("ttl", "never")] {
        let setting = effective.get(&format!("backends.memory.{path}"));
        assert_eq!((setting.is_some(), setting.value(), setting.source()), (true, value, "default"), "{path}");
    }
    retainit.reload().expect("it is nothing that a file says");
}
