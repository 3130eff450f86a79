//! Tests that each event is reported once, in order, and only to those who subscribed.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use retainit::{Error, ErrorKind, Event, EventKeys, EventKind, EventKinds, MemoryConfig, Result, Retainit, retain};
use retainit_plugin::{BackendConfig, Built, Context, Listener, Section, Settings};
use retainit_testkit::{ByteConfig, ManualClock, Op};

use crate::common::{Runs, Stage, soon};

/// Collects all events of an instance.
#[derive(Clone)]
struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    retainit: Retainit,
}

impl Log {
    fn of(retainit: &Retainit, kinds: impl Into<EventKinds>) -> Log {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let heard = Arc::clone(&events);
        // The handle is dropped here, which ends nothing.
        drop(retainit.events().subscribe(kinds, move |event| heard.lock().unwrap().push(event.clone())));
        Log { events, retainit: retainit.clone() }
    }

    /// Takes the events since the last call.
    async fn take(&self) -> Vec<Event> {
        soon(self.retainit.events().flush()).await;
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    async fn kinds(&self) -> Vec<EventKind> {
        self.take().await.iter().map(Event::kind).collect()
    }
}

use EventKind::{
    BackendClose, BackendInit, CacheClear, CacheDelete, CacheError, CacheEvict, CacheHit, CacheMiss, CacheSet,
    FunctionCallEnd, FunctionCallStart, FunctionError, NearCapacity,
};

#[retain(id = "events.user", tags("user:{id}"))]
async fn user(id: u64) -> Result<String, String> {
    if id == 0 { Err("no such user".to_owned()) } else { Ok(format!("user {id}")) }
}

// T-01, T-02, T-03: each event is reported once, and no other.
#[tokio::test]
async fn a_scenario() {
    for stage in Stage::each() {
        let log = Log::of(&stage.retainit, EventKinds::ALL);
        assert_eq!(log.kinds().await, [BackendInit]);

        assert!(stage.run(user(1)).await.is_ok());
        assert_eq!(log.kinds().await, [CacheMiss, FunctionCallStart, FunctionCallEnd, CacheSet]);
        assert!(stage.run(user(1)).await.is_ok());
        assert_eq!(log.kinds().await, [CacheHit]);

        assert!(stage.run(user(0)).await.is_err());
        assert_eq!(log.kinds().await, [CacheMiss, FunctionCallStart, FunctionError]);

        let removed = stage.run(async { (user::cache().remove(&1).await, user::cache().remove(&1).await) }).await;
        assert_eq!((removed.0.unwrap(), removed.1.unwrap()), (true, false));
        assert_eq!(log.kinds().await, [CacheDelete]);

        assert!(stage.run(async { user::cache().refresh(1).await }).await.is_ok());
        assert_eq!(log.kinds().await, [FunctionCallStart, FunctionCallEnd, CacheSet]);
        assert!(stage.run(async { user::cache().get(&1).await }).await.unwrap().is_hit());
        assert!(!stage.run(async { user::cache().get(&2).await }).await.unwrap().is_hit());
        assert_eq!(log.kinds().await, [CacheHit, CacheMiss]);

        stage.run(async { user::cache().clear().await }).await.unwrap();
        stage.retainit.clear().await.unwrap();
        stage.retainit.invalidate_tag("user:1").await.unwrap();
        stage.retainit.expire_tag("user:1").await.unwrap();
        stage.retainit.invalidate_pattern("events.*").await.unwrap();
        let cleared = log.take().await;
        assert!(cleared.iter().all(|event| event.kind() == CacheClear));
        let operations: Vec<_> = cleared.iter().map(|event| event.operation().unwrap()).collect();
        assert_eq!(operations, ["clear", "clear_namespace", "invalidate_tag", "expire_tag", "invalidate_pattern"]);
        assert_eq!((cleared[0].function(), cleared[0].count()), (Some("events.user"), Some(1)));

        stage.retainit.close().await.unwrap();
        assert_eq!(log.kinds().await, [BackendClose]);
        assert!(stage.run(user(1)).await.is_ok());
        assert_eq!(log.kinds().await, []);
    }
}

// T-01: typed caches report what functions report.
#[tokio::test]
async fn a_scenario_of_a_cache() {
    for stage in Stage::each() {
        let users = stage.retainit.cache::<String>("users").build().unwrap();
        let log = Log::of(&stage.retainit, EventKinds::ALL.without(BackendInit.into()));
        users.get_or_load(&1, || async { "one".to_owned() }).await;
        users.get_or_load(&1, || async { "one".to_owned() }).await;
        assert_eq!(log.kinds().await, [CacheMiss, FunctionCallStart, FunctionCallEnd, CacheSet, CacheHit]);
        users.set(&2, "two".into()).await.unwrap();
        assert!(users.set_if_absent(&3, "three".into()).await.unwrap());
        assert!(!users.set_if_absent(&3, "four".into()).await.unwrap());
        assert_eq!(log.kinds().await, [CacheSet, CacheSet]);
        assert!(users.get(&3).await.unwrap().is_hit() && users.exists(&2).await.unwrap());
        assert_eq!(log.kinds().await, [CacheHit]);
        assert!(users.remove(&2).await.unwrap());
        users.clear().await.unwrap();
        assert_eq!(log.kinds().await, [CacheDelete, CacheClear]);
    }
}

#[retain(id = "events.sum")]
fn sum(a: u64, b: String) -> u64 {
    a + b.len() as u64
}

// T-04
#[tokio::test]
async fn fields_of_a_call() {
    let stage = Stage::memory();
    let log = Log::of(&stage.retainit, [CacheHit, CacheMiss, CacheSet, FunctionCallEnd]);
    stage.run_sync(|| (sum(1, "secret".into()), sum(1, "secret".into())));
    let events = log.take().await;
    for event in &events {
        assert_eq!((event.function(), event.backend()), (Some("events.sum"), Some("default")));
        assert_eq!((event.namespace(), event.instance()), ("default", events[0].instance()));
        assert_eq!((event.key(), event.error()), (events[0].key(), None));
        assert!(event.key().is_some_and(|key| key.starts_with('#') && key.len() == 17), "{event}");
        for shown in [event.to_string(), format!("{event:?}")] {
            assert!(!shown.contains("secret") && shown.contains("events.sum"), "{shown}");
        }
    }
    let with_duration: Vec<_> = events.iter().filter(|event| event.duration().is_some()).map(Event::kind).collect();
    assert_eq!(with_duration, [FunctionCallEnd, CacheHit]);
    let line = events[0].to_string();
    assert!(line.starts_with("cache_miss function=events.sum key=#") && line.ends_with(" backend=default"), "{line}");
}

#[tokio::test]
async fn keys_are_shown_where_an_instance_says_so() {
    #[retain(id = "events.hidden", pii)]
    fn hidden(name: String) -> Result<usize, String> {
        if name.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(name.len()) }
    }
    let retainit = Retainit::builder()
        .register_backend("memory", MemoryConfig::new())
        .event_keys(EventKeys::Plain)
        .build()
        .unwrap();
    let log = Log::of(&retainit, [CacheMiss, CacheClear, FunctionError]);
    retainit::with_instance_sync(&retainit, || sum(1, "x".into()));
    retainit.invalidate_tag("some tag").await.unwrap();
    let keys: Vec<_> = log.take().await.iter().map(|event| event.key().map(str::to_owned)).collect();
    assert_eq!(keys, [Some(r#"(1,"x")"#.to_owned()), Some("some tag".to_owned())]);
    // Personal data is not shown either way, not even in the text of an error.
    let failed = retainit::with_instance_sync(&retainit, || (hidden("Ada".into()), hidden(String::new())));
    assert!(failed.0.is_ok() && failed.1.is_err());
    let events = log.take().await;
    assert_eq!(events.iter().map(Event::key).collect::<Vec<_>>(), [None; 3]);
    assert_eq!(events[2].error(), Some("alloc::string::String"));
}

struct Silent;

#[retain(id = "events.fails")]
fn fails(how: u8) -> Result<u8, Silent> {
    assert!(how < 2, "a bug");
    if how == 0 { Err(Silent) } else { Ok(how) }
}

#[tokio::test]
async fn a_function_that_fails_is_reported_with_what_there_is_to_say() {
    let stage = Stage::memory();
    let log = Log::of(&stage.retainit, [FunctionCallStart, FunctionCallEnd, FunctionError]);
    assert!(stage.run_sync(|| fails(0)).is_err());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.run_sync(|| fails(2).is_ok())));
    assert!(caught.is_err());
    assert!(stage.run(user(0)).await.is_err());
    let events = log.take().await;
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, [FunctionCallStart, FunctionError].repeat(3));
    let errors: Vec<_> = events.iter().filter_map(Event::error).collect();
    assert!(errors[0].ends_with("events::Silent"), "a type that does not show itself: {}", errors[0]);
    assert_eq!(errors[1..], ["panicked", "no such user"]);
    assert!(events.iter().filter(|event| event.kind() == FunctionError).all(|event| event.duration().is_some()));
}

#[tokio::test]
async fn a_caller_who_goes_away() {
    let stage = Stage::memory();
    let users = stage.retainit.cache::<u8>("slow").build().unwrap();
    let log = Log::of(&stage.retainit, [FunctionCallStart, FunctionCallEnd, FunctionError]);
    {
        let mut load = std::pin::pin!(users.get_or_load(&1, std::future::pending::<u8>));
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(load.as_mut().poll(cx).is_pending()));
        assert!(once.await);
    }
    let events = log.take().await;
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), [FunctionCallStart, FunctionCallEnd]);
    assert_eq!(events[1].error(), Some("cancelled"));
}

// T-84, T-85: one record with function, operation and backend; a counter by operation.
#[tokio::test]
async fn a_cache_that_fails_is_reported_and_counted() {
    let stage = Stage::bytes();
    let log = Log::of(&stage.retainit, [CacheError]);
    let faults = stage.bytes.as_ref().unwrap().faults();
    faults.fail(Op::Read, 1);
    assert!(stage.run(user(1)).await.is_ok());
    faults.fail(Op::Store, 2);
    assert!(stage.run(user(2)).await.is_ok());
    assert!(stage.run(user(3)).await.is_ok());
    let events = log.take().await;
    let told: Vec<_> = events.iter().map(|e| (e.function(), e.operation().unwrap(), e.backend())).collect();
    let expected = |operation| (Some("events.user"), operation, Some("default"));
    assert_eq!(told, ["read", "store", "store"].map(expected));
    assert!(events.iter().all(|event| event.error().is_some()));
    for stats in [stage.retainit.stats(), stage.run(async { user::cache().stats() }).await] {
        assert_eq!(stats.errors_by_operation, [("read", 1), ("store", 2)].into());
        assert_eq!(stats.errors, 3);
    }
}

// R-23
#[tokio::test]
async fn a_full_backend_tells_of_it_and_of_what_leaves() {
    let clock = ManualClock::new();
    let memory = MemoryConfig::new().max_entries(10).policy("lru");
    let retainit = Retainit::builder().clock(clock.clone()).register_backend("near", memory).build().unwrap();
    let log = Log::of(&retainit, [NearCapacity, CacheEvict]);
    let numbers = retainit.cache::<u64>("numbers").build().unwrap();
    let fill = async |from: u64, to: u64| {
        for n in from..to {
            numbers.set(&n, n).await.unwrap();
        }
    };
    fill(0, 11).await;
    let events = log.take().await;
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), [NearCapacity, CacheEvict]);
    assert_eq!((events[0].backend(), events[0].count(), events[0].detail()), (Some("near"), Some(9), Some("9 of 10")));
    assert_eq!((events[1].backend(), events[1].function()), (Some("near"), Some("numbers")));
    assert!(events[1].key().is_some());
    // Emptied and full again: reported again, but not within the same minute.
    for (seconds, expected) in [(1, vec![]), (60, vec![NearCapacity])] {
        numbers.clear().await.unwrap();
        clock.advance(Duration::from_secs(seconds));
        fill(0, 10).await;
        assert_eq!(log.kinds().await, expected);
    }
}

// T-03
#[tokio::test]
async fn backends_are_reported_once_whenever_they_come() {
    let retainit = Retainit::builder()
        .register_backend("one", MemoryConfig::new())
        .register_backend("two", ByteConfig::new())
        .default_backend("one")
        .build()
        .unwrap();
    let early = Log::of(&retainit, [BackendInit, BackendClose]);
    retainit.register_backend("three", MemoryConfig::new()).unwrap();
    let late = Log::of(&retainit, [BackendInit, BackendClose]);
    retainit.close().await.unwrap();
    for log in [early, late] {
        let events = log.take().await;
        let of = |kind| {
            let mut names: Vec<_> =
                events.iter().filter(|event| event.kind() == kind).filter_map(Event::backend).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(of(BackendInit), ["one", "three", "two"]);
        assert_eq!(of(BackendClose), ["one", "three", "two"]);
    }
}

// A handler's own cache calls raise no events for itself; others receive them.
#[tokio::test]
async fn a_handler_that_uses_the_cache() {
    let stage = Stage::memory();
    let seen = stage.retainit.cache::<u64>("seen").build().unwrap();
    let (heard, hear) = channel();
    let (own, blocking) = (heard.clone(), seen.clone());
    stage.retainit.events().subscribe(CacheMiss, move |event| {
        own.send(("sync", event.function().unwrap().to_owned())).unwrap();
        blocking.blocking().get(&1).unwrap();
    });
    stage.run(user(1)).await.unwrap();
    soon(stage.retainit.events().flush()).await;
    assert_eq!(hear.try_iter().collect::<Vec<_>>(), [("sync", "events.user".to_owned())]);

    stage.retainit.events().unsubscribe_all(CacheMiss);
    stage.retainit.events().subscribe_async(CacheMiss, move |event| {
        let (heard, seen) = (heard.clone(), seen.clone());
        async move {
            heard.send(("async", event.function().unwrap().to_owned())).unwrap();
            tokio::task::yield_now().await;
            seen.get(&2).await.unwrap();
        }
    });
    let other = Log::of(&stage.retainit, CacheMiss);
    stage.run(user(2)).await.unwrap();
    let functions: Vec<_> = other.take().await.iter().map(|event| event.function().unwrap().to_owned()).collect();
    assert_eq!(hear.try_iter().collect::<Vec<_>>(), [("async", "events.user".to_owned())]);
    assert_eq!(functions[0], "events.user");
    assert_eq!(other.take().await.len() + functions.len(), 2, "the handler's lookup is heard by others");
}

// T-06, T-07
#[tokio::test]
async fn hits_in_memory_are_heard_while_somebody_listens() {
    static RUNS: Runs = Runs::new();
    let retainit = Retainit::builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
    let numbers = retainit.cache::<u64>("numbers").build().unwrap();
    let load = async || numbers.get_or_load(&1, || async { RUNS.add() }).await;
    load().await;
    let (heard, hear) = channel();
    let sub = retainit.events().subscribe(CacheHit, move |event| heard.send(event.duration()).unwrap());
    load().await;
    assert!(hear.recv_timeout(Duration::from_secs(20)).unwrap().is_some());
    sub.unsubscribe();
    load().await;
    assert!(hear.recv().is_err(), "nothing more comes, and the handler is gone");
    assert_eq!((numbers.stats().hits, RUNS.so_far()), (2, 1));
}

/// A byte backend whose listener the test has.
#[derive(Clone, Debug, Default)]
struct Overheard(Arc<OnceLock<Arc<dyn Listener>>>);

impl Section for Overheard {}

impl BackendConfig for Overheard {
    fn type_name(&self) -> &'static str {
        "overheard"
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn build(&self, context: Context) -> Result<Built> {
        self.0.set(Arc::clone(&context.listener)).unwrap();
        ByteConfig::new().build(context)
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

// T-84, T-85
#[tokio::test]
async fn what_a_backend_says_of_itself() {
    let config = Overheard::default();
    let retainit = Retainit::builder().register_backend("far", config.clone()).build().unwrap();
    let listener = config.0.get().unwrap();
    let users = retainit.cache::<u8>("users: of all").build().unwrap();
    let log = Log::of(&retainit, [CacheSet, CacheEvict, CacheError]);
    users.set(&"a:b", 1).await.unwrap();
    listener.evicted("r1:d:default:-:users%3A%20of%20all@0:\"a%3Ab\"");
    listener.failed("sweep", &Error::new(ErrorKind::Backend, "no space"));
    let events = log.take().await;
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), [CacheSet, CacheEvict, CacheError]);
    assert_eq!((events[1].function(), events[1].backend()), (Some("users: of all"), Some("far")));
    assert_eq!(events[0].key(), events[1].key(), "one key looks the same in all events");
    assert_eq!(users.stats().evictions, 1);
    assert_eq!((events[2].operation(), events[2].backend()), (Some("sweep"), Some("far")));
    assert_eq!((events[2].error(), events[2].function()), (Some("no space"), None));
    assert_eq!(retainit.stats().errors_by_operation, [("sweep", 1)].into());
}
