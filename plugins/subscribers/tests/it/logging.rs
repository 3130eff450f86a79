use std::sync::{Arc, Mutex};

use retainit_plugin::{EventKind, Section, SubscriberConfig, Value};
use retainit_subscribers::{LogLevel, LoggingConfig};

use crate::{context, event, lines};

// T-115
#[test]
fn lines_are_json_whatever_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.log");
    let mut log = LoggingConfig::new().level("trace").format("json").path(path.as_path()).build(context()).unwrap();
    for kind in EventKind::ALL {
        log.handle(&event(*kind, 7)).unwrap();
    }
    let lines = lines(&path);
    for (line, kind) in lines.iter().zip(EventKind::ALL) {
        assert_eq!(
            (line["event"].as_str(), line["time"].as_str()),
            (Some(kind.as_str()), Some("2025-06-15T15:06:40.250Z"))
        );
        assert_eq!(line["level"], LogLevel::of(*kind).as_str());
        assert_eq!((line["key"].as_str(), line["error"].as_str()), (Some("\"a\nb\""), Some("no\\such")));
        assert_eq!((line["duration"].as_f64(), line["count"].as_u64()), (Some(1.5), Some(7)));
    }
    assert_eq!(lines.len(), EventKind::ALL.len());
    // A second one appends.
    let mut again = LoggingConfig::new().format("json").path(path.as_path()).build(context()).unwrap();
    again.handle(&event(EventKind::CacheError, 1)).unwrap();
    assert_eq!(crate::lines(&path).len(), EventKind::ALL.len() + 1);
}

// T-12
#[test]
fn a_level_decides_what_is_heard() {
    let mut last = 0;
    for (level, heard) in [
        ("off", None),
        ("Error", None),
        ("WARN", Some(EventKind::CacheError)),
        ("info", Some(EventKind::ConfigChange)),
        ("debug", Some(EventKind::CacheSet)),
        ("trace", Some(EventKind::CacheHit)),
    ] {
        let log = LoggingConfig::new().level(level).build(context()).unwrap();
        let kinds = log.kinds();
        assert!(kinds.iter().count() >= last && log.writes_log());
        assert!(heard.is_none_or(|heard| kinds.contains(heard)), "{level}");
        last = kinds.iter().count();
        if heard.is_none() {
            assert!(kinds.is_empty());
        }
    }
    assert_eq!(last, EventKind::ALL.len());
    assert!(LoggingConfig::new().level("loud").problems()[0].to_string().contains("\"trace\""));
    let mut from_file = LoggingConfig::new();
    from_file.set("level", &Value::Bool(false)).unwrap();
    assert_eq!(from_file.shown("level").as_deref(), Some("off"));
}

#[cfg(unix)]
#[test]
fn a_rotated_log_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("cache.log"), folder.path().join("cache.log.1"));
    let mut log = LoggingConfig::new().format("json").path(path.as_path()).build(context()).unwrap();
    log.handle(&event(EventKind::CacheError, 0)).unwrap();
    std::fs::rename(&path, &old).unwrap();
    log.handle(&event(EventKind::CacheError, 1)).unwrap();
    let counts = |path| lines(path).iter().map(|line| line["count"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((counts(&old), counts(&path)), (vec![0], vec![1]));
}

// T-12
#[test]
fn records_go_to_tracing_with_level_target_and_fields() {
    let told = Collected::default();
    let mut log = LoggingConfig::new().level("trace").build(context()).unwrap();
    tracing::subscriber::with_default(told.clone(), || {
        for kind in EventKind::ALL {
            log.handle(&event(*kind, 7)).unwrap();
        }
    });
    let told = told.0.lock().unwrap();
    for (record, kind) in told.iter().zip(EventKind::ALL) {
        let level = LogLevel::of(*kind).as_str().to_uppercase();
        assert!(record.starts_with(&format!("{level} retainit::events message={kind} ")), "{record}");
        for field in ["function=\"shop::user\"", "key=\"\\\"a\\nb\\\"\"", "backend=\"far\"", "duration=1.5", "error="] {
            assert!(record.contains(field), "{field}: {record}");
        }
    }
    assert_eq!(told.len(), EventKind::ALL.len());
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
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
        let mut fields = Fields(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
