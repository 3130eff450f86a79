//! The subscribers by themselves, with events made by hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod audit;
mod logging;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use retainit_plugin::{Event, EventKind, EventParts, SubscriberContext, SystemClock};

/// Returns an event with every field there is.
fn event(kind: EventKind, number: u64) -> Event {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(1_750_000_000_250);
    let mut parts = EventParts::new(kind, time);
    parts.instance = 3;
    parts.namespace = "shop".into();
    parts.function = Some("shop::user".into());
    parts.key = Some("\"a\nb\"".into());
    parts.backend = Some("far".into());
    parts.operation = Some("read".into());
    parts.duration = Some(Duration::from_millis(1_500));
    parts.count = Some(number);
    parts.actor = Some("ada \"the\" admin".into());
    parts.detail = Some("a\u{1}b".into());
    parts.error = Some("no\\such".into());
    parts.into()
}

fn context() -> SubscriberContext {
    SubscriberContext::new("shop", Arc::new(SystemClock))
}

/// Returns the lines of a file, each of which has to be a JSON object.
fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}
