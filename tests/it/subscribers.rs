//! Subscribers from a configuration, and a monitor of one's own.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::{AuditConfig, Event, EventKind, LoggingConfig, MemoryConfig, Retainit, audit, retain};
use retainit_testkit::{ByteConfig, Op};
use serde_json::Value;

use crate::common::soon;
use crate::config::Folder;

#[path = "../../examples/cache_monitor.rs"]
mod cache_monitor;

/// Returns the lines of a file, each of which has to be a JSON object.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn texts<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap_or("-")).collect()
}

// T-13, T-14, D-06, D-10
#[test]
fn a_monitor_of_ones_own() {
    cache_monitor::main().unwrap();
    let retainit = Retainit::builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
    let calls = || retainit::with_instance_sync(&retainit, || [1, 1, 1, 0].map(cache_monitor::price));
    calls().iter().for_each(|price| drop(price.clone()));
    let monitor = cache_monitor::CacheMonitor::start(&retainit);
    calls().iter().for_each(|price| drop(price.clone()));
    monitor.stop();
    calls().iter().for_each(|price| drop(price.clone()));
    let totals = monitor.of("monitor::price");
    assert_eq!((totals.hits, totals.misses, totals.runs, totals.failures), (3, 1, 1, 1));
    assert_eq!(totals.hit_rate(), 0.75);
    assert!(monitor.to_string().starts_with("monitor::price: 75 % hits, 1 runs of "));
}

// On a disk that is really full: calls go on, `close()` reports how many records are lost. When there is room again,
// what the queue kept is written.
#[cfg(target_os = "linux")]
#[test]
fn an_audit_trail_says_what_a_full_disk_has_cost() {
    // In a process of its own, whose files may have a few hundred KiB.
    if std::env::var_os("AUDIT_TEST_FULL").is_none() {
        let child = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" --exact --nocapture \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg("subscribers::an_audit_trail_says_what_a_full_disk_has_cost")
            .env("AUDIT_TEST_FULL", "1")
            // Coverage of half a file could not be read.
            .env("LLVM_PROFILE_FILE", "/dev/null")
            .output()
            .unwrap();
        return assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    }
    for is_full_to_the_end in [true, false] {
        let folder = Folder::empty();
        let (trail, spill) = (folder.path("audit.jsonl"), folder.path("audit.jsonl.spill"));
        // If every caller waited, this would take an hour.
        let config = format!("[retainit.audit]\npath = {trail:?}\nmax_wait = \"1s\"\n");
        folder.write("retainit.toml", &config);
        let retainit = folder.builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        retainit.events().subscribe(EventKind::EventsDropped, move |event| {
            counted.fetch_add(event.count().unwrap_or(0), Ordering::SeqCst);
        });
        let cache = retainit.cache::<u64>("c").build_local().unwrap();
        (0..10_000).for_each(|key| cache.blocking().set(&key, key).unwrap());
        let rotated = |number: u64| folder.path(&format!("audit.jsonl.{number}"));
        let mut rotations = 0;
        while !is_full_to_the_end && fs::metadata(&spill).unwrap().len() > 0 {
            // A file has room for one piece of what was spilled, and for a second only if it is nearly empty.
            if fs::metadata(&trail).is_ok_and(|found| found.len() > 50_000) {
                fs::rename(&trail, rotated(rotations)).unwrap();
                rotations += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let error = retainit.blocking().close().unwrap_err().to_string();
        let lost: usize = error.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        assert!(error.contains("of the subscriber `audit` were lost"), "{error}");
        assert!(dropped.load(Ordering::SeqCst) > 0, "others are told of it");
        let files = (0..rotations).map(rotated).chain([trail, spill]);
        let written: usize = files.filter(|file| file.exists()).map(|file| lines(&file).len()).sum();
        // One record more is that of the configuration; the first that failed may be under way at the end.
        assert!((10_000..=10_001).contains(&(lost + written)), "{lost} lost and {written} written");
    }
}

#[retain(id = "subscribers.value")]
fn value(id: u64) -> u64 {
    id
}

// T-12, T-115, T-114: subscribers that files configure are built and receive events.
#[tokio::test]
async fn subscribers_of_a_configuration() {
    let folder = Folder::new("");
    let (log, trail) = (folder.path("cache.log"), folder.path("audit.jsonl"));
    folder.write(
        "retainit.toml",
        &format!(
            "[retainit.logging]\nlevel = \"TRACE\"\nformat = \"json\"\npath = {log:?}\n\
             [retainit.audit]\npath = {trail:?}\n"
        ),
    );
    let retainit = folder.builder().build().unwrap();
    retainit::with_instance_sync(&retainit, || (value(1), value(1)));
    retainit.invalidate_tag("t").await.unwrap();
    retainit.close().await.unwrap();
    let kinds = [
        "config_change",
        "backend_init",
        "cache_miss",
        "function_call_start",
        "function_call_end",
        "cache_set",
        "cache_hit",
        "cache_clear",
        "backend_close",
    ];
    let log = lines(&log);
    assert_eq!(texts(&log, "event"), kinds);
    assert!(texts(&log, "level").contains(&"trace") && log[2]["function"] == "subscribers.value");
    assert!(log[6]["duration"].as_f64().is_some());
    let trail = lines(&trail);
    assert_eq!(texts(&trail, "event"), ["config_change", "cache_set", "cache_clear"]);
    assert_eq!(texts(&trail, "operation"), ["load", "-", "invalidate_tag"]);
}

tokio::task_local! {
    static USER: &'static str;
}

// T-114: the actor is the caller's, not the writer's; a change of configuration has its record.
#[tokio::test]
async fn an_audit_says_in_whose_name() {
    audit::set_actor(|| USER.try_with(|user| (*user).to_owned()).ok());
    let folder = Folder::new("");
    let trail = folder.path("audit.jsonl");
    folder.write("retainit.toml", &format!("[retainit.audit]\npath = {trail:?}\n"));
    let retainit = folder.builder().build().unwrap();
    let users = retainit.cache::<u8>("users").build().unwrap();
    USER.scope("ada", users.set(&1, 1)).await.unwrap();
    USER.scope("bob", users.remove(&1)).await.unwrap();
    users.clear().await.unwrap();
    retainit.register_backend("new", MemoryConfig::new()).unwrap();
    // Others do not get the actor: they have not requested it.
    let heard = Arc::<Mutex<Vec<Event>>>::default();
    let hear = Arc::clone(&heard);
    retainit.events().subscribe(EventKind::CacheMiss, move |event| hear.lock().unwrap().push(event.clone()));
    assert!(!USER.scope("ada", users.get(&1)).await.unwrap().is_hit());
    retainit.close().await.unwrap();
    assert_eq!(heard.lock().unwrap()[0].actor(), None);
    let trail = lines(&trail);
    assert_eq!(texts(&trail, "event")[1..], ["cache_set", "cache_delete", "cache_clear", "config_change"]);
    assert_eq!(texts(&trail, "actor")[1..], ["ada", "bob", "-", "-"]);
    assert_eq!(texts(&trail, "detail").last(), Some(&"backends.new"));
}

// T-121
#[tokio::test]
async fn nobody_listens_by_default() {
    let folder = Folder::new("[retainit.backends.default]\ntype = \"memory\"\n");
    let retainit = folder.builder().build().unwrap();
    // An event that nobody receives is never made: the actor, which is read for each event, is never read.
    let users = retainit.cache::<u8>("users").build().unwrap();
    users.set(&1, 1).await.unwrap();
    retainit.close().await.unwrap();
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1, "nothing but the configuration was written");
}

#[test]
fn a_subscriber_that_cannot_be_built_is_an_error_that_says_which() {
    for (text, expected) in [
        ("[retainit.audit]\nmax_wait = \"1s\"\n", "path"),
        ("[retainit.logging]\nlevel = \"loud\"\n", "level"),
        ("[retainit.logging]\nformat = \"json\"\npath = \"no/such/folder/log\"\n", "no/such/folder/log"),
        ("[retainit.logging]\npath = \"log\"\n", "format = \"json\""),
    ] {
        let error = Folder::new(text).builder().build().expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

// T-84: with `logging` there is one record of a failure, its own; without, one of the engine's.
#[tokio::test]
async fn one_record_of_a_failure() {
    let folder = Folder::new("");
    let log = folder.path("cache.log");
    for logged in [false, true] {
        let bytes = ByteConfig::new();
        if logged {
            folder.write("retainit.toml", &format!("[retainit.logging]\nformat = \"json\"\npath = {log:?}\n"));
        }
        let retainit = folder.builder().register_backend("far", bytes.clone()).build().unwrap();
        let users = retainit.cache::<u8>("users").build().unwrap();
        let told = Collected::default();
        {
            let _default = tracing::subscriber::set_default(told.clone());
            bytes.faults().fail(Op::Read, 1);
            assert_eq!(users.blocking().get_or_load(&1, || 7), 7);
        }
        let told = told.0.lock().unwrap().clone();
        soon(retainit.close()).await.unwrap();
        if logged {
            assert!(told.is_empty(), "{told:?}");
            let log: Vec<_> = lines(&log).into_iter().filter(|line| line["event"] == "cache_error").collect();
            assert_eq!((texts(&log, "function"), texts(&log, "operation")), (vec!["users"], vec!["read"]));
            assert_eq!((texts(&log, "backend"), texts(&log, "level")), (vec!["far"], vec!["warn"]));
        } else {
            assert_eq!(told.len(), 1, "{told:?}");
            for part in ["cache_error", "function=\"users\"", "operation=\"read\"", "backend=\"far\""] {
                assert!(told[0].contains(part), "{part}: {told:?}");
            }
        }
    }
}

// In code, as from a file.
#[tokio::test]
async fn subscribers_are_configurations_in_code_too() {
    let folder = Folder::new("");
    let path = folder.path("audit.jsonl");
    let builder = || {
        Retainit::builder()
            .register_backend("memory", MemoryConfig::new())
            .register_subscriber(AuditConfig::new().path(path.as_path()))
            .register_subscriber(LoggingConfig::new().level("off"))
    };
    let retainit = builder().build().unwrap();
    let twice = builder().build().expect_err("one writes to one file");
    assert!(twice.to_string().contains("another instance writes"), "{twice}");
    retainit.cache::<u8>("users").build().unwrap().set(&1, 1).await.unwrap();
    retainit.close().await.unwrap();
    assert_eq!(texts(&lines(&path), "event"), ["config_change", "cache_set"]);
    drop(retainit);
    builder().build().unwrap();
}

/// Collects the records of `tracing` as text.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Collected {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
