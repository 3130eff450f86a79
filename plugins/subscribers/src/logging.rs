use std::io::Write;
use std::path::PathBuf;

use retainit_plugin::{
    Complete, Error, ErrorKind, Event, EventKind, EventKinds, FieldValue, Problem, Result, Section, Subscriber,
    SubscriberConfig, SubscriberContext, Value, check, choice, config,
};

use crate::line::Line;
use crate::lines::{Access, Lines};

/// The least important events that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// No records.
    Off,
    /// Failures that keep retainit from working; no event is of this level today.
    Error,
    /// Failures.
    Warn,
    /// Changes of state.
    Info,
    /// Changes of what is stored.
    Debug,
    /// Every call.
    Trace,
}

const LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

impl LogLevel {
    /// Returns its name in lower case.
    pub fn as_str(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("off", |(name, _)| name)
    }

    /// Returns the level of a kind of event: the table in the crate's documentation.
    pub fn of(kind: EventKind) -> LogLevel {
        match kind {
            EventKind::CacheError
            | EventKind::FunctionError
            | EventKind::Security
            | EventKind::VerifyMismatch
            | EventKind::EventsDropped
            | EventKind::NearCapacity => LogLevel::Warn,
            EventKind::BreakerChange | EventKind::BackplaneChange | EventKind::ConfigChange => LogLevel::Info,
            EventKind::CacheSet
            | EventKind::CacheDelete
            | EventKind::CacheClear
            | EventKind::CacheEvict
            | EventKind::BackendInit
            | EventKind::BackendClose => LogLevel::Debug,
            EventKind::CacheHit | EventKind::CacheMiss | EventKind::FunctionCallStart | EventKind::FunctionCallEnd => {
                LogLevel::Trace
            }
            // Kinds of a newer retainit: shown until they have a level of their own.
            _ => LogLevel::Info,
        }
    }
}

impl FieldValue for LogLevel {
    const EXPECTED: &'static str = "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";

    fn read(value: &Value) -> Option<LogLevel> {
        // YAML reads a bare `off` as false.
        if value == &Value::Bool(false) {
            return Some(LogLevel::Off);
        }
        let text = value.as_str()?;
        LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| *level)
    }

    fn shown(&self) -> String {
        self.as_str().to_owned()
    }
}

/// Format and destination of log records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogFormat {
    /// Writes to the program's `tracing` subscriber, with the target `retainit::events`.
    #[default]
    Tracing,
    /// Lines of JSON, to a file or to standard error.
    Json,
}

choice!(LogFormat { "tracing" => Tracing, "json" => Json });

config! {
    /// The configuration of the subscriber `logging`.
    ///
    /// ```
    /// # use retainit_subscribers as retainit;
    /// use retainit::LoggingConfig;
    ///
    /// let config = LoggingConfig::new().level("DEBUG").format("json").path("cache.log");
    /// # use retainit_plugin::Section;
    /// # assert!(config.problems().is_empty());
    /// ```
    pub struct LoggingConfig {
        /// The least important events that are written; upper and lower case are the same.
        level: LogLevel = "info";

        /// Destination of records: `"tracing"`, or `"json"` for lines in `path`.
        format: LogFormat = "tracing";

        /// The file of `"json"`, which is appended to. Without it, lines go to standard error.
        path: PathBuf, example "retainit-logging.jsonl";
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if self.path.get().is_some() && self.format.get() != Some(&LogFormat::Json) {
            problems.push(Problem::new("path", "a file is written with format = \"json\" only"));
        }
    }
}

impl SubscriberConfig for LoggingConfig {
    fn build(&self, _context: SubscriberContext) -> Result<Box<dyn Subscriber>> {
        check(&self.problems())?;
        let all = self.complete();
        let sink = match (all.format.get(), all.path.get()) {
            (Some(LogFormat::Json), Some(path)) => Sink::File(Lines::open(path, Access::Shared)?),
            (Some(LogFormat::Json), None) => Sink::Stderr,
            _ => Sink::Tracing,
        };
        Ok(Box::new(Logging { level: all.level.get().copied().unwrap_or(LogLevel::Info), sink }))
    }

    fn to_box(&self) -> Box<dyn SubscriberConfig> {
        Box::new(self.clone())
    }
}

retainit_plugin::register_subscriber!("logging", LoggingConfig, variables("LOG"));

#[derive(Debug)]
struct Logging {
    level: LogLevel,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Tracing,
    Stderr,
    File(Lines),
}

impl Subscriber for Logging {
    fn name(&self) -> &str {
        "logging"
    }

    fn kinds(&self) -> EventKinds {
        EventKind::ALL.iter().copied().filter(|kind| LogLevel::of(*kind) <= self.level).collect()
    }

    fn handle(&mut self, event: &Event) -> Result<()> {
        let level = LogLevel::of(event.kind());
        let line = || Line::of(event).with("level", Some(level.as_str())).with_fields(event).finish();
        let written = match &mut self.sink {
            Sink::Tracing => {
                trace(level, event);
                return Ok(());
            }
            Sink::Stderr => std::io::stderr().lock().write_all(line().as_bytes()),
            Sink::File(lines) => {
                if lines.is_rotated() {
                    *lines = lines.reopened()?;
                }
                return lines.append(line().as_bytes());
            }
        };
        written.map_err(|error| Error::new(ErrorKind::Backend, "a log record could not be written").with_source(error))
    }

    fn writes_log(&self) -> bool {
        true
    }

    fn needs_tracing(&self) -> bool {
        matches!(self.sink, Sink::Tracing) && self.level != LogLevel::Off
    }
}

fn trace(level: LogLevel, event: &Event) {
    macro_rules! record {
        ($level:ident) => {
            tracing::$level!(
                target: "retainit::events",
                namespace = event.namespace(),
                function = event.function(),
                key = event.key(),
                backend = event.backend(),
                operation = event.operation(),
                duration = event.duration().map(|duration| duration.as_secs_f64()),
                count = event.count(),
                detail = event.detail(),
                error = event.error(),
                "{}", event.kind()
            )
        };
    }
    match level {
        LogLevel::Off => {}
        LogLevel::Error => record!(error),
        LogLevel::Warn => record!(warn),
        LogLevel::Info => record!(info),
        LogLevel::Debug => record!(debug),
        LogLevel::Trace => record!(trace),
    }
}
