//! `#[on]`: handlers that receive events of every instance, and events that no handler receives. None of them is about
//! hits, which would take every hit of this binary off the fast path; those are in the macro's own tests.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use retainit::{Event, EventKeys, EventKind, EventKinds, MemoryConfig, Retainit, on, retain};
use retainit_testkit::ByteConfig;

use crate::common::Stage;

/// Events of the function below that one handler has received.
struct Heard {
    kinds: Mutex<Vec<EventKind>>,
    more: Condvar,
}

impl Heard {
    const fn new() -> Heard {
        Heard { kinds: Mutex::new(Vec::new()), more: Condvar::new() }
    }

    fn note(&self, event: &Event) {
        if event.function().is_some_and(|function| function.ends_with("on::subject")) {
            self.kinds.lock().unwrap().push(event.kind());
            self.more.notify_all();
        }
    }

    /// Waits until there are so many events, and returns them.
    fn at_least(&self, count: usize) -> Vec<EventKind> {
        let (kinds, late) = self
            .more
            .wait_timeout_while(self.kinds.lock().unwrap(), Duration::from_secs(20), |kinds| kinds.len() < count)
            .unwrap();
        assert!(!late.timed_out(), "heard only {kinds:?}");
        kinds.clone()
    }
}

static BY_REFERENCE: Heard = Heard::new();
static BY_VALUE: Heard = Heard::new();

#[on(CacheSet, CacheDelete)]
fn by_reference(event: &Event) {
    BY_REFERENCE.note(event);
}

#[on(CacheSet, CacheDelete)]
async fn by_value(event: Event) {
    tokio::task::yield_now().await;
    BY_VALUE.note(&event);
}

#[retain]
fn subject(id: u64) -> u64 {
    id
}

// T-05: in their order, of their kinds only, from every instance.
#[test]
fn a_function_receives_events_of_every_instance() {
    for stage in [Stage::memory(), Stage::bytes()] {
        stage.run_sync(|| {
            assert_eq!((subject(1), subject(1)), (1, 1));
            assert!(subject::cache().remove(&1).unwrap());
        });
    }
    let expected = [EventKind::CacheSet, EventKind::CacheDelete].repeat(2);
    assert_eq!(BY_REFERENCE.at_least(4), expected);
    assert_eq!(BY_VALUE.at_least(4), expected);
}

const SECRET: &str = "hunter2";

#[retain(skip(password), tags("login:{user}"), verify = 1.0)]
async fn login(user: &str, password: &str) -> Result<usize, String> {
    match user {
        "nobody" => Err("no such user".to_owned()),
        "panics" => panic!("a bug"),
        _ => Ok(password.len()),
    }
}

// T-38: not even where keys are shown as they are.
#[tokio::test]
async fn a_skipped_argument_is_in_no_event() {
    let builder = Retainit::builder;
    for builder in [
        builder().register_backend("default", MemoryConfig::new()),
        builder().register_backend("default", ByteConfig::new()),
    ] {
        let retainit = builder.event_keys(EventKeys::Plain).build().unwrap();
        let heard = Arc::new(Mutex::new(Vec::<Event>::new()));
        let events = Arc::clone(&heard);
        retainit.events().subscribe(EventKinds::ALL, move |event: &Event| events.lock().unwrap().push(event.clone()));
        retainit::with_instance(&retainit, async {
            assert_eq!(login("ann", SECRET).await, Ok(7));
            assert_eq!(login("ann", &SECRET.repeat(2)).await, Ok(7));
            login("nobody", SECRET).await.unwrap_err();
            tokio::spawn(retainit::propagate(login("panics", SECRET))).await.unwrap_err();
            login::cache().remove("ann").await.unwrap();
            retainit.invalidate_tag("login:ann").await.unwrap();
            login::cache().clear().await.unwrap();
        })
        .await;
        retainit.events().flush().await;
        let heard = heard.lock().unwrap();
        let kinds = heard.iter().map(Event::kind).collect::<HashSet<_>>();
        use EventKind::{
            CacheClear, CacheDelete, CacheHit, CacheMiss, CacheSet, FunctionCallEnd, FunctionError, VerifyMismatch,
        };
        for kind in
            [CacheClear, CacheDelete, CacheHit, CacheMiss, CacheSet, FunctionCallEnd, FunctionError, VerifyMismatch]
        {
            assert!(kinds.contains(&kind), "{kind} is missing among {kinds:?}");
        }
        assert!(heard.iter().any(|event| event.key().is_some_and(|key| key.contains("ann"))));
        for event in heard.iter() {
            let text = format!("{event} {event:?} {:?} {:?}", event.key(), event.error());
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}
