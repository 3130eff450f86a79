//! A profile is changed at night, and the running program follows.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use retainit::{Error, ErrorKind, EventKind, MemoryConfig, Retainit, retain, with_instance_sync};
use retainit_plugin::{BackendConfig, Part, ReadValue, Registration, Serializer, ValueType, erased_serde};
use retainit_testkit::ByteConfig;

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
fn a_changed_secret_is_reported_by_its_key_and_not_shown() {
    let with =
        |secret: &str| format!("[retainit]\nsecret = \"{secret}\"\n{MAIN}[retainit.backends.far]\ntype = \"redis\"\n");
    let folder = Folder::new(&with("file:key"));
    folder.write("key", "hush one\n");
    let retainit = folder.builder().default_backend("near").build().expect("nothing is wrong");
    let refused = |why: &str| {
        let error = retainit.reload().expect_err(why).to_string();
        assert!(!error.contains("hush") && error.contains("restart"), "{error}");
        error
    };
    retainit.reload().expect("nothing has changed");
    folder.write("key", "hush two\n");
    assert!(refused("the file holds another one").ends_with(": secret"));
    folder.write("retainit.toml", &with("hush one"));
    retainit.reload().expect("it is the same, written down elsewhere");
    folder.write("retainit.toml", &with("hush two"));
    assert!(refused("the text is another one").ends_with(": secret"));
    folder.write("retainit.toml", &format!("{}url = \"hush\"\n", with("hush one")));
    assert!(refused("what is opaque is secret").ends_with(": backends.far.url"));
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

fn default_of(retainit: &Retainit) -> String {
    let cache = retainit.cache::<u8>("numbers").build().expect("there is a default");
    cache.blocking().explain(&1).expect("explained").backend().to_owned()
}

#[test]
fn without_backends_the_default_stays_in_memory() {
    let retainit = Retainit::builder().build().expect("nothing is wrong");
    let cache = retainit.cache::<u8>("numbers").build().expect("in memory");
    cache.blocking().set(&1, 7).expect("set");
    retainit.reload().expect("nothing changed");
    assert_eq!(cache.blocking().get(&1).expect("open").value(), Some(7), "the entry stays");
    assert_eq!((default_of(&retainit).as_str(), retainit.backends()), ("memory (memory)", vec!["memory".to_owned()]));
}

#[test]
fn the_default_is_chosen_again() {
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().build().expect("nothing is wrong");
    assert_eq!(default_of(&retainit), "near (memory)");
    folder.write("retainit.toml", "");
    retainit.reload().expect("the last backend goes");
    assert_eq!((default_of(&retainit).as_str(), retainit.backends()), ("memory (memory)", vec!["memory".to_owned()]));
    folder.write("retainit.toml", &format!("{MAIN}[retainit.backends.default]\ntype = \"memory\"\n"));
    retainit.reload().expect("two come");
    assert_eq!(default_of(&retainit), "default (memory)");
    folder.write("retainit.toml", &format!("{MAIN}[retainit.backends.other]\ntype = \"memory\"\n"));
    retainit.reload().expect("whoever uses the default is told");
    let error = retainit.cache::<u8>("numbers").build().expect_err("there is no default").to_string();
    assert!(error.contains("several backends and no default") && error.ends_with("there are: near, other"), "{error}");
}

#[test]
fn a_reload_may_take_a_name_from_a_type() {
    let folder = Folder::new("");
    let retainit = folder.builder().build().expect("nothing is wrong");
    assert_eq!(default_of(&retainit), "memory (memory)");
    folder.write("retainit.toml", "[retainit.backends.memory]\ntype = \"redis\"\n");
    retainit.reload().expect("whoever uses it is told");
    let error = retainit.cache::<u8>("numbers").build().expect_err("it is not linked").to_string();
    assert!(error.contains("feature `redis`"), "{error}");
    assert_eq!(retainit.backends(), Vec::<String>::new());
}

#[test]
fn a_file_and_code_do_not_share_a_name_at_run_time() {
    let folder = Folder::new("[retainit.backends.far]\ntype = \"redis\"\n");
    let retainit = folder.builder().build().expect("nothing is wrong");
    let error = retainit.register_backend("far", MemoryConfig::new()).expect_err("a file declares it");
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    retainit.register_backend("late", MemoryConfig::new()).expect("the name is free");
    folder.write("retainit.toml", "[retainit.backends.late]\ntype = \"memory\"\n");
    let error = retainit.reload().expect_err("code has it");
    assert!(error.kind() == ErrorKind::Duplicate && error.to_string().contains("backends.late"), "{error}");
    assert_eq!(retainit.effective().get("backends.far.type").value(), "redis", "nothing has changed");
}

// Entries leave with their backend; what receives them may reload again, or add a backend.
#[test]
fn a_listener_of_removals_may_change_backends_during_a_reload() {
    let both = format!("[retainit]\ndefault_backend = \"near\"\n{MAIN}[retainit.backends.other]\ntype = \"memory\"\n");
    let folder = Folder::new(&both);
    let retainit = folder.builder().build().expect("nothing is wrong");
    let (inner, (sender, left)) = (retainit.clone(), channel());
    let cache = retainit.cache::<u64>("numbers").backend("other").on_removal(move |_, number, _| {
        inner.reload().expect("nothing has changed since");
        inner.register_backend("late", MemoryConfig::new()).expect("the name is free");
        sender.send(*number).expect("the test waits");
    });
    let cache = cache.build().expect("in memory");
    cache.blocking().set(&1, 7).expect("set");
    folder.write("retainit.toml", &format!("[retainit]\ndefault_backend = \"near\"\n{MAIN}"));
    let reload = {
        let retainit = retainit.clone();
        thread::spawn(move || retainit.reload())
    };
    assert_eq!(left.recv_timeout(Duration::from_secs(20)), Ok(7), "it must not wait for itself");
    reload.join().expect("nobody panics").expect("a backend less");
    assert_eq!(retainit.backends(), ["late", "near"]);
}

static NESTED: Mutex<Option<(Retainit, Sender<Error>)>> = Mutex::new(None);

// A backend is built by code of others under the lock of all changes.
#[test]
fn what_builds_a_backend_cannot_reload() {
    fn nests() -> Box<dyn BackendConfig> {
        if let Some((retainit, refused)) = NESTED.lock().expect("nobody panics").take() {
            refused.send(retainit.reload().expect_err("a reload is under way")).expect("the test waits");
            let error = retainit.register_backend("late", MemoryConfig::new()).expect_err("a reload is under way");
            refused.send(error).expect("the test waits");
        }
        Box::new(MemoryConfig::new())
    }
    const NESTS: Registration = Registration::new("nests", "a test", Part::Backend(nests));
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().plugin(NESTS).build().expect("nothing is wrong");
    folder.write("retainit.toml", &format!("[retainit]\ndefault_backend = \"nests\"\n{MAIN}"));
    let (refused, errors) = channel();
    *NESTED.lock().expect("nobody panics") = Some((retainit.clone(), refused));
    let reload = thread::spawn(move || retainit.reload().map(|()| retainit));
    for _ in 0..2 {
        let error = errors.recv_timeout(Duration::from_secs(20)).expect("it must not wait for itself");
        assert!(error.to_string().contains("a change runs this code"), "{error}");
    }
    let retainit = reload.join().expect("nobody panics").expect("a backend more");
    assert_eq!(retainit.backends(), ["near", "nests"]);
    retainit.register_backend("late", MemoryConfig::new()).expect("the change is over");
}

/// Lets a reload in one thread report its progress, and wait until another thread has overtaken it.
type Gate = Mutex<Option<(Sender<()>, Receiver<()>)>>;

static FILES_READ: Gate = Mutex::new(None);
static BUILDING: Gate = Mutex::new(None);

/// Makes the first caller wait.
fn pass(gate: &Gate) -> Box<dyn BackendConfig> {
    let first = gate.lock().expect("nobody panics").take();
    if let Some((arrived, overtaken)) = first {
        arrived.send(()).expect("the test waits");
        // Nothing comes where others wait for this reload.
        let _in_vain = overtaken.recv_timeout(Duration::from_millis(200));
    }
    Box::new(MemoryConfig::new())
}

/// Reloads, and does something else as soon as the reload is at the gate.
fn overtake(gate: &Gate, retainit: &Retainit, other: impl FnOnce()) {
    let ((arrived, has_arrived), (overtaken, overtakes)) = (channel(), channel());
    *gate.lock().expect("nobody panics") = Some((arrived, overtakes));
    thread::scope(|scope| {
        let first = scope.spawn(|| retainit.reload());
        has_arrived.recv().expect("the reload comes to the gate");
        other();
        // The reload may be done.
        let _nobody_waits = overtaken.send(());
        first.join().expect("it ends").expect("it was sound");
    });
}

#[test]
fn a_backend_that_comes_during_a_reload_stays() {
    // A type that is used as a name is made when the files have been read.
    const SLOW: Registration = Registration::new("slow", "a test", Part::Backend(|| pass(&BUILDING)));
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().plugin(SLOW).build().expect("nothing is wrong");
    folder.write("retainit.toml", &format!("[retainit]\ndefault_backend = \"slow\"\n{MAIN}"));
    overtake(&BUILDING, &retainit, || {
        retainit.register_backend("late", MemoryConfig::new()).expect("the name is free");
    });
    assert_eq!(retainit.backends(), ["late", "near", "slow"]);
    assert_eq!(retainit.effective().get("backends.late.type").source(), "code");
}

#[test]
fn of_two_reloads_the_later_one_holds() {
    // The files have been read when a declared type is asked for.
    const SLOW: Registration = Registration::new("slow", "a test", Part::Backend(|| pass(&FILES_READ)));
    let folder = Folder::new(MAIN);
    let retainit = folder.builder().plugin(SLOW).build().expect("nothing is wrong");
    folder.write("retainit.toml", &format!("{MAIN}ttl = \"1m\"\n[retainit.backends.other]\ntype = \"slow\"\n"));
    overtake(&FILES_READ, &retainit, || {
        folder.write("retainit.toml", &format!("{MAIN}ttl = \"2m\"\n"));
        retainit.reload().expect("it waits for the first");
    });
    assert_eq!(retainit.effective().get("backends.near.ttl").value(), "2m");
    assert_eq!(retainit.backends(), ["near"]);
}

/// A serializer that changes the file and has it read whenever it is asked whether it can, some times.
#[derive(Clone, Default)]
struct Reloading(Arc<Mutex<Option<(Folder, Retainit, u64)>>>);

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloading")
    }
}

impl Serializer for Reloading {
    fn name(&self) -> &'static str {
        "reloading"
    }

    fn can_serialize(&self, _: ValueType) -> bool {
        let taken = self.0.lock().expect("no thread panics").take();
        if let Some((folder, retainit, minutes)) = taken {
            folder
                .write("retainit.toml", &format!("{MAIN}[retainit.override.functions.users]\nttl = \"{minutes}m\"\n"));
            retainit.reload().expect("a ttl may change");
            if minutes < 4 {
                *self.0.lock().expect("no thread panics") = Some((folder, retainit, minutes + 1));
            }
        }
        true
    }

    fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> retainit::Result<()> {
        let bytes =
            serde_json::to_vec(value).map_err(|e| Error::new(ErrorKind::Codec, "not written").with_source(e))?;
        out.extend(bytes);
        Ok(())
    }

    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> retainit::Result<()> {
        let mut input = serde_json::Deserializer::from_slice(input);
        read(&mut <dyn erased_serde::Deserializer>::erase(&mut input))
            .map_err(|e| Error::new(ErrorKind::Codec, "not read").with_source(e))
    }
}

#[test]
fn a_cache_that_is_made_during_a_reload_has_what_the_files_say_last() {
    let (folder, reloading) = (Folder::new(MAIN), Reloading::default());
    let builder = folder.builder().register_serializer("reloading", reloading.clone());
    let builder = builder.register_backend("bytes", ByteConfig::new()).default_backend("bytes");
    let retainit = builder.build().expect("nothing is wrong");
    *reloading.0.lock().expect("no thread panics") = Some((folder, retainit.clone(), 1));
    let cache = retainit.cache::<u64>("users").serializer("reloading").build().expect("a cache");
    let explained = cache.blocking().explain(&1).expect("explained").to_string();
    assert!(explained.contains("ttl            4m"), "{explained}");
}
