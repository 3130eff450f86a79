use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{BackendConfig, Built, Context, Error, ErrorKind, Field, IntoTtl, Result, Settings, Ttl};

use crate::backend::DiskBackend;
use crate::database::Options;

const BASE_PATH: &str = ".cache/retainit";
const MAX_BYTES: u64 = 1 << 30;
const LEAST_BYTES: u64 = 1 << 20;
const BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// What a store waits for before it is acknowledged. Whatever is chosen, a killed process loses nothing, and after a
/// power failure an entry is right or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncMode {
    /// Nothing. A power failure may damage the database, which is then begun anew.
    Off,
    /// Nothing, but the database survives a power failure; what was written last, removals included, may be lost.
    #[default]
    Normal,
    /// The disk: what was acknowledged survives a power failure.
    Full,
}

impl SyncMode {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            SyncMode::Off => "OFF",
            SyncMode::Normal => "NORMAL",
            SyncMode::Full => "FULL",
        }
    }
}

impl FromStr for SyncMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<SyncMode> {
        match text {
            "off" => Ok(SyncMode::Off),
            "normal" => Ok(SyncMode::Normal),
            "full" => Ok(SyncMode::Full),
            _ => {
                let problem = format!("unknown mode `{text}`: expected \"off\", \"normal\" or \"full\"");
                Err(Error::new(ErrorKind::Config, problem))
            }
        }
    }
}

impl TryFrom<&str> for SyncMode {
    type Error = Error;

    fn try_from(text: &str) -> Result<SyncMode> {
        text.parse()
    }
}

/// A field that was set; the text says why it cannot be used.
type Set<T> = Option<Result<T, String>>;

/// The configuration of a disk backend.
///
/// Setters never fail: [`build`](BackendConfig::build) reports every problem at once. Building touches no file; the
/// folder is made by the first operation.
///
/// ```
/// use retainit_disk::DiskConfig;
///
/// let config = DiskConfig::new().base_path("/var/cache/shop").max_bytes(4 << 30).ttl("1d").sync("full");
/// # use retainit_plugin::BackendConfig;
/// # assert!(config.settings().ttl.is_some());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiskConfig {
    base_path: Option<PathBuf>,
    max_bytes: Option<u64>,
    max_entries: Option<u64>,
    ttl: Set<Ttl>,
    jitter: Option<f64>,
    sync: Set<SyncMode>,
    busy_timeout: Set<Ttl>,
}

impl DiskConfig {
    /// Every field at its default.
    pub fn new() -> DiskConfig {
        DiskConfig::default()
    }

    /// The folder. Default `.cache/retainit`, below the working directory at the time of building.
    ///
    /// Processes that name the same folder share their entries. It is made with access for its owner only.
    #[must_use]
    pub fn base_path(mut self, folder: impl AsRef<Path>) -> DiskConfig {
        self.base_path = Some(folder.as_ref().to_owned());
        self
    }

    /// The most bytes it takes on the disk, at least 1 MiB. Default 1 GiB.
    ///
    /// Counted are the pages in use of the database and the blob files; the database's log, up to 16 MiB, comes on
    /// top. Each process may pass the bound by 1 MiB and its last entry before it evicts.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> DiskConfig {
        self.max_bytes = Some(bytes);
        self
    }

    /// The most entries it holds, at least 1. Default: not counted.
    ///
    /// While other processes write too, it may be passed by a sixty-fourth for each of them.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> DiskConfig {
        self.max_entries = Some(entries);
        self
    }

    /// How long results are fresh: `"5m"`, seconds, a `Duration` or a `Ttl`. Default: functions decide.
    #[must_use]
    pub fn ttl(mut self, ttl: impl IntoTtl) -> DiskConfig {
        self.ttl = Some(ttl.into_ttl().map_err(|error| error.to_string()));
        self
    }

    /// The largest fraction, 0 to 1, by which a ttl is shortened. Default: functions decide.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> DiskConfig {
        self.jitter = Some(fraction);
        self
    }

    /// What a store waits for: a [`SyncMode`], `"off"`, `"normal"` or `"full"`. Default `"normal"`.
    #[must_use]
    pub fn sync<S>(mut self, sync: S) -> DiskConfig
    where
        S: TryInto<SyncMode, Error: fmt::Display>,
    {
        self.sync = Some(sync.try_into().map_err(|error| error.to_string()));
        self
    }

    /// How long an operation waits for locks of other threads and processes before it fails, in the forms of
    /// [`ttl`](DiskConfig::ttl). Default `"200ms"`; keep it below the engine's `op_timeout`.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: impl IntoTtl) -> DiskConfig {
        self.busy_timeout = Some(timeout.into_ttl().map_err(|error| error.to_string()));
        self
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        let nowhere = self.base_path.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        check(nowhere, "base_path: expected a folder, got an empty path");
        if let Some(bytes) = self.max_bytes.filter(|bytes| *bytes < LEAST_BYTES) {
            check(true, &format!("max_bytes: expected at least {LEAST_BYTES} (1 MiB), got {bytes}"));
        }
        check(self.max_entries == Some(0), "max_entries: expected at least 1, got 0");
        if let Some(jitter) = self.jitter.filter(|jitter| !(0.0..=1.0).contains(jitter)) {
            check(true, &format!("jitter: expected a fraction from 0 to 1, got {jitter}"));
        }
        let endless = matches!(self.busy_timeout, Some(Ok(Ttl::Never | Ttl::Off)));
        check(endless, "busy_timeout: expected a duration such as \"200ms\"");
        for (field, problem) in
            [("ttl", problem(&self.ttl)), ("sync", problem(&self.sync)), ("busy_timeout", problem(&self.busy_timeout))]
        {
            if let Some(problem) = problem {
                check(true, &format!("{field}: {problem}"));
            }
        }
        problems
    }

    fn options(&self) -> Options {
        Options {
            max_bytes: self.max_bytes.unwrap_or(MAX_BYTES),
            max_entries: self.max_entries,
            sync: value(&self.sync).unwrap_or_default(),
            busy_timeout: match value(&self.busy_timeout) {
                Some(Ttl::For(timeout)) => timeout,
                _ => BUSY_TIMEOUT,
            },
        }
    }
}

fn problem<T>(field: &Set<T>) -> Option<&str> {
    field.as_ref()?.as_ref().err().map(String::as_str)
}

fn value<T: Copy>(field: &Set<T>) -> Option<T> {
    field.as_ref()?.as_ref().ok().copied()
}

impl BackendConfig for DiskConfig {
    fn type_name(&self) -> &'static str {
        "disk"
    }

    fn fields() -> &'static [Field] {
        const {
            &[
                Field::new("base_path"),
                Field::new("max_bytes"),
                Field::new("max_entries").aliases(&["max_size"]),
                Field::new("ttl"),
                Field::new("jitter"),
                Field::new("sync"),
                Field::new("busy_timeout"),
            ]
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = value(&self.ttl);
        settings.jitter = self.jitter;
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        let mut problems = self.problems();
        let base = self.base_path.as_deref().unwrap_or(Path::new(BASE_PATH));
        // A later change of the working directory must not move the cache.
        let base = std::path::absolute(base).unwrap_or_else(|error| {
            if problems.is_empty() {
                problems.push(format!("base_path: {error}"));
            }
            PathBuf::new()
        });
        if !problems.is_empty() {
            return Err(Error::new(ErrorKind::Config, problems.join("; ")).context("backend", &*context.name));
        }
        Ok(Built::Local(Arc::new(DiskBackend::new(context, &base, self.options()))))
    }
}

retainit_plugin::register_backend!("disk", DiskConfig);
