//! A profile is changed at night, and the running program follows.

use retainit::{ErrorKind, EventKind, Retainit, retain, with_instance_sync};

use super::Folder;

#[retain(id = "config.reload.price")]
fn price(id: u64) -> u64 {
    id * 3
}

fn ttl(retainit: &Retainit) -> String {
    assert_eq!(with_instance_sync(retainit, || price(1)), 3);
    with_instance_sync(retainit, || price::cache().explain(&1).expect("explained").to_string())
}

const MAIN: &str = "[retainit.backends.near]\ntype = \"memory\"\nmax_entries = 100\n";

#[test]
fn functions_follow_what_the_files_say_now_and_entries_stay() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().build().expect("nothing is wrong");
    let cache = retainit.cache::<u8>("users").build().expect("in memory");
    let cache = cache.blocking();
    cache.set(&1, 7).expect("set");
    assert!(ttl(&retainit).contains("ttl            never"));
    folder.write("retainit.toml", &format!("{MAIN}ttl = \"5m\"\n[retainit.functions.\"config.reload.price\"]\nttl = \"1m\"\n[retainit.override.functions.users]\nttl = \"2m\"\n"));
    retainit.reload().expect("all of it may change");
    let explained = ttl(&retainit);
    assert!(explained.contains("ttl            1m") && explained.contains("retainit.toml:6"), "{explained}");
    assert_eq!(cache.get(&1).expect("open").value(), Some(7), "the entry stays");
    let explained = cache.explain(&1).expect("explained").to_string();
    assert!(explained.contains("2m") && explained.contains("above the attribute"), "{explained}");
    assert_eq!(retainit.effective().get("backends.near.ttl").map(|ttl| ttl.value().to_owned()).as_deref(), Some("5m"));
}

#[test]
fn backends_come_and_go() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().default_backend("near").build().expect("nothing is wrong");
    folder.write("retainit.toml", &format!("{MAIN}[retainit.backends.other]\ntype = \"memory\"\n"));
    retainit.reload().expect("a backend more");
    assert_eq!(retainit.backends(), ["near", "other"]);
    folder.write("retainit.toml", MAIN);
    retainit.reload().expect("a backend less");
    assert_eq!(retainit.backends(), ["near"]);
}

#[test]
fn what_cannot_change_says_so_and_nothing_does() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().build().expect("nothing is wrong");
    let before = retainit.effective();
    folder.write("retainit.toml", "[retainit]\nnamespace = \"other\"\n[retainit.backends.near]\ntype = \"memory\"\nmax_entries = 200\nttl = \"5m\"\n");
    let error = retainit.reload().expect_err("it needs a restart");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(
        text.contains("namespace") && text.contains("backends.near.max_entries") && text.contains("restart"),
        "{text}"
    );
    assert!(!text.contains("near.ttl"), "{text}");
    assert_eq!(retainit.effective(), before);
}

#[test]
fn a_broken_file_changes_nothing() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().build().expect("nothing is wrong");
    folder.write("retainit.toml", "[retainit\n");
    retainit.reload().expect_err("it is broken");
    assert_eq!(retainit.backends(), ["near"]);
    let users = retainit.cache::<u8>("users").build().expect("in memory");
    let users = users.blocking();
    assert_eq!(users.get_or_load(&1, || 1), 1);
}

#[test]
fn a_reload_is_an_event() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().build().expect("nothing is wrong");
    let (sender, receiver) = std::sync::mpsc::channel();
    retainit.events().subscribe(EventKind::ConfigChange, move |event: &retainit::Event| {
        sender.send(event.operation().map(str::to_owned)).expect("somebody waits");
    });
    retainit.reload().expect("nothing changed");
    assert_eq!(receiver.recv().expect("an event").as_deref(), Some("reload"));
}
