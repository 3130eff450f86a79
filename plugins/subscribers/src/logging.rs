use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use retainit_plugin::{
    Complete, Error, ErrorKind, Event, EventKind, EventKinds, FieldValue, Problem, Result, Section, Subscriber,
    SubscriberConfig, SubscriberContext, Value, check, choice, config,
};

use crate::line::Line;

/// The least important events that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What keeps retainit from working; no event is of this level today.
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
    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("off", |(name, _)| name)
    }

    /// The level of a kind of event: the table in the crate's documentation.
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
            // What a newer retainit tells: seen until it has a level of its own.
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

/// Where log records go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogFormat {
    /// To the program's `tracing` subscriber, with the target `retainit::events`.
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
    /// use retainit_subscribers::LoggingConfig;
    ///
    /// let config = LoggingConfig::new().level("DEBUG").format("json").path("cache.log");
    /// # use retainit_plugin::Section;
    /// # assert!(config.problems().is_empty());
    /// ```
    pub struct LoggingConfig {
        /// The least important events that are written; upper and lower case are the same.
        level: LogLevel = "info";

        /// Where records go: to `"tracing"`, or as lines of `"json"` to `path`.
        format: LogFormat = "tracing";

        /// The file of `"json"`, which is appended to. Without it, lines go to standard error.
        path: PathBuf = "";
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
            (Some(LogFormat::Json), Some(path)) => Sink::File(open(path)?),
            (Some(LogFormat::Json), None) => Sink::Stderr,
            _ => Sink::Tracing,
        };
        Ok(Box::new(Logging { level: all.level.get().copied().unwrap_or(LogLevel::Info), sink }))
    }

    fn to_box(&self) -> Box<dyn SubscriberConfig> {
        Box::new(self.clone())
    }
}

fn open(path: &PathBuf) -> Result<File> {
    OpenOptions::new().append(true).create(true).open(path).map_err(|error| {
        let text = format!("`path`: {} cannot be written; give a file in a folder that is there", path.display());
        Error::new(ErrorKind::Config, text).source(error)
    })
}

retainit_plugin::register_subscriber!("logging", LoggingConfig);

#[derive(Debug)]
struct Logging {
    level: LogLevel,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Tracing,
    Stderr,
    File(File),
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
            Sink::File(file) => file.write_all(line().as_bytes()),
        };
        written.map_err(|error| Error::new(ErrorKind::Backend, "a log record could not be written").source(error))
    }

    fn writes_log(&self) -> bool {
        true
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
