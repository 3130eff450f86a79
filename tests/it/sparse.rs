//! Tests that a warning which every call repeats is logged once a minute, with a count, while subscribers that count
//! receive each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::{Event, EventKind, EventKinds, MemoryConfig, Retainit, Subscriber};
use retainit_testkit::ManualClock;
use serde::{Serialize, Serializer};
use tracing::span;

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it has no text"))
    }
}

/// Lines of a log.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "retainit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.add(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Receives events as a subscriber that writes a log.
impl Subscriber for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn kinds(&self) -> EventKinds {
        [EventKind::CacheError, EventKind::VerifyMismatch].into_iter().collect()
    }

    fn handle(&mut self, event: &Event) -> retainit::Result<()> {
        self.add(event.to_string());
        Ok(())
    }

    fn writes_log(&self) -> bool {
        true
    }
}

/// Builds an instance whose cache `c` fails on each call, which runs it all the same.
fn failing(clock: &ManualClock) -> (Retainit, impl Fn(u32)) {
    let builder = Retainit::builder().clock(clock.clone()).register_backend("main", MemoryConfig::new());
    let instance = builder.build().unwrap();
    let cache = instance.cache::<u32>("c").build().unwrap();
    let call = move |times| (0..times).for_each(|_| assert_eq!(cache.blocking().get_or_load(&Unwritable, || 7), 7));
    (instance, call)
}

#[test]
fn the_log_of_the_engine_has_a_warning_of_every_call_once_a_minute() {
    let (clock, lines) = (ManualClock::new(), Lines::default());
    let (instance, call) = failing(&clock);
    let other = instance.cache::<u32>("other").build().unwrap();
    tracing::subscriber::with_default(lines.clone(), || {
        call(5);
        assert_eq!(other.blocking().get_or_load(&Unwritable, || 7), 7);
        let first = lines.take();
        assert_eq!(first.len(), 2, "{first:?}");
        assert!(first[0].contains("function=\"c\"") && first[1].contains("function=\"other\""), "{first:?}");
        assert!(!first[0].contains("detail"), "{first:?}");
        clock.advance(Duration::from_secs(59));
        call(1);
        assert_eq!(lines.take(), [] as [String; 0]);
        clock.advance(Duration::from_secs(1));
        call(3);
        let second = lines.take();
        assert!(matches!(second.as_slice(), [one] if one.contains("5 more of the same since the last record")));
    });
    assert_eq!(instance.stats().errors, 10, "each is counted");
}

#[test]
fn a_subscriber_that_writes_a_log_receives_it_once_a_minute_and_others_each() {
    let (clock, lines) = (ManualClock::new(), Lines::default());
    let (instance, call) = failing(&clock);
    let heard = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&heard);
    instance.events().add(lines.clone());
    instance.events().subscribe(EventKind::CacheError, move |event: &Event| {
        assert_eq!(event.detail(), None);
        *counted.lock().unwrap() += 1;
    });
    call(5);
    clock.advance(Duration::from_secs(60));
    call(2);
    instance.blocking().close().unwrap();
    let written = lines.take();
    assert_eq!((written.len(), *heard.lock().unwrap()), (2, 7), "{written:?}");
    assert!(!written[0].contains("more of the same") && written[1].contains("4 more of the same"), "{written:?}");
}
