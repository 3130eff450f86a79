//! An event as one line of JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use retainit_plugin::Event;
use serde_json::Value;

/// A JSON object that is being written, in the order of its fields.
pub(crate) struct Line(String);

impl Line {
    /// Makes a line with time and kind of the event.
    pub(crate) fn of(event: &Event) -> Line {
        let line = Line(String::from("{"));
        line.with("time", Some(rfc3339(event.time()))).with("event", Some(event.kind().as_str()))
    }

    /// Adds a field that is there.
    pub(crate) fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Line {
        if let Some(value) = value {
            if self.0.len() > 1 {
                self.0.push(',');
            }
            self.0.push_str(&Value::from(name).to_string());
            self.0.push(':');
            self.0.push_str(&value.into().to_string());
        }
        self
    }

    /// Adds the fields of the event beyond time and kind.
    pub(crate) fn with_fields(self, event: &Event) -> Line {
        self.with("namespace", Some(event.namespace()))
            .with("instance", Some(event.instance()))
            .with("function", event.function())
            .with("key", event.key())
            .with("backend", event.backend())
            .with("operation", event.operation())
            .with("duration", event.duration().map(|duration| duration.as_secs_f64()))
            .with("count", event.count())
            .with("detail", event.detail())
            .with("error", event.error())
    }

    /// Returns the line, with its end.
    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

/// Formats a time as RFC 3339 does, in UTC with milliseconds; times before 1970 as 1970.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Returns year, month and day of a day since 1970-01-01, by Howard Hinnant's `civil_from_days`, which counts years
/// from March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_of_every_kind_of_year() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_799, "2000-02-29T23:59:59.000Z"),
            (1_750_000_000, "2025-06-15T15:06:40.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(7)), "1970-01-01T00:00:00.007Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(7)), "1970-01-01T00:00:00.000Z");
    }
}
