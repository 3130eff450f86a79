use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use retainit_plugin::{
    BackendConfig, Built, ByteSize, Complete, Context, Count, Error, ErrorKind, Fraction, Limit, Problem, Result,
    Section, Settings, Ttl, UrlFields, UrlScheme, Value, check, choice, compact, config,
};

use crate::backend::DiskBackend;
use crate::database::Options;

const LEAST_BYTES: ByteSize = ByteSize(1 << 20);

/// Durability that a store waits for before it is acknowledged. With each, a killed process loses nothing, and after a
/// power failure an entry is right or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncMode {
    /// Waits for nothing. A power failure may damage the database, which is then begun anew.
    Off,
    /// Waits for nothing, but the database survives a power failure; what was written last, removals included, may be
    /// lost.
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

choice!(SyncMode { "off" => Off, "normal" => Normal, "full" => Full });

config! {
    /// The configuration of a disk backend.
    ///
    /// Setters never fail: [`build`](BackendConfig::build) reports every problem at once. Building touches no file; the
    /// folder is made when the instance is installed, or by the first operation.
    ///
    /// ```
    /// # use retainit_disk as retainit;
    /// use retainit::DiskConfig;
    ///
    /// let config = DiskConfig::new().base_path("/var/cache/shop").max_bytes("4GiB").ttl("1d").sync("full");
    /// # use retainit_plugin::BackendConfig;
    /// # assert!(config.settings().ttl.is_some());
    /// ```
    pub struct DiskConfig {
        /// The folder; a relative one is below the working directory at the time of building.
        ///
        /// Processes that name the same folder share their entries. It is made with access for its owner only.
        base_path: PathBuf = ".cache/retainit" => by_hand;

        /// The most bytes it takes on the disk, at least 1 MiB.
        ///
        /// Counted are the pages in use of the database and the blob files; the database's log, up to 16 MiB, comes on
        /// top. Each process may pass the bound by 1 MiB and its last entry before it evicts.
        max_bytes: ByteSize = "1GiB";

        /// The most entries it holds, at least 1.
        ///
        /// While other processes write too, it may be passed by a sixty-fourth for each of them.
        max_entries: Limit<Count> = "unlimited", alias "max_size";

        /// Time for which results are fresh, where their functions do not set it.
        ttl: Ttl = "never";

        /// The largest fraction by which a ttl is shortened, where functions do not set it.
        jitter: Fraction = 0.1;

        /// The serializer of values, where functions do not set it: `"auto"` is MessagePack, and text and bytes as they
        /// are.
        serializer: String = "auto", alias "codec";

        /// Durability that a store waits for: `"off"`, `"normal"` or `"full"`.
        ///
        /// With `"normal"` a power failure may undo what was acknowledged last, never damage an entry; with `"full"`
        /// what was acknowledged survives; with `"off"` the database may have to be begun anew.
        sync: SyncMode = "normal";

        /// Time for which an operation waits for locks of other threads and processes before it fails; at most four
        /// fifths of `op_timeout`.
        busy_timeout: Duration = "200ms";

        /// The longest a call waits for any one operation, where that differs from the instance's.
        op_timeout: Duration, example "100ms";

        /// The number of operations, one after the other, that found no answer in time, after which calls go without this
        /// backend; 0 for any number. Errors of the disk and a full one do not count.
        breaker_threshold: Count = 5, alias "circuit_breaker_threshold";

        /// The time for which calls go without this backend then, until one probe tells whether it answers again.
        breaker_timeout: Duration = "60s", alias "circuit_breaker_timeout";
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if let Some(bytes) = self.max_bytes.get().filter(|bytes| **bytes < LEAST_BYTES) {
            problems.push(Problem::new("max_bytes", format!("expected at least {LEAST_BYTES}, got {bytes}")));
        }
        if self.max_entries.get() == Some(&Limit(Some(Count(0)))) {
            problems.push(Problem::new("max_entries", "expected at least 1, got 0"));
        }
        self.settings().check(problems);
    }
}

impl DiskConfig {
    /// Sets [`max_entries`](DiskConfig::max_entries), under another name.
    #[must_use]
    pub fn max_size(self, entries: usize) -> DiskConfig {
        self.max_entries(entries)
    }

    /// Sets the folder; a relative one is below the working directory at the time of building.
    ///
    /// Processes that name the same folder share their entries. It is made with access for its owner only. Default:
    /// `.cache/retainit`.
    #[must_use]
    pub fn base_path(mut self, folder: impl AsRef<Path>) -> DiskConfig {
        self.base_path.put(folder.as_ref());
        self
    }

    fn options(&self) -> Options {
        let all = self.complete();
        Options {
            max_bytes: all.max_bytes.get().map_or(u64::MAX, |bytes| bytes.0),
            max_entries: all.max_entries.get().and_then(|limit| limit.0).map(|entries| entries.0),
            sync: all.sync.get().copied().unwrap_or_default(),
            busy_timeout: all.busy_timeout.get().copied().unwrap_or_default(),
        }
    }
}

/// Takes the folder from a `file` URL, where `%20` means a blank.
fn fields_of_url(url: &str) -> Result<UrlFields> {
    let path = url.split_once("://").map_or(url, |(_, path)| path);
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    if !path.split('%').skip(1).all(is_escape) {
        let text = "expected two hexadecimal digits behind `%`; `%25` is the sign itself";
        return Err(Error::new(ErrorKind::Config, text));
    }
    let folder = percent_decode_str(path).decode_utf8();
    let folder = folder.map_err(|_| Error::new(ErrorKind::Config, "what is escaped in its path is not UTF-8"))?;
    Ok(vec![("base_path", Value::from(&*folder))])
}

impl BackendConfig for DiskConfig {
    fn type_name(&self) -> &'static str {
        "disk"
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = self.ttl.get().copied();
        settings.jitter = self.jitter.get().map(|jitter| jitter.0);
        settings.serializer = self.serializer.get().cloned();
        settings.op_timeout = self.op_timeout.get().copied();
        settings.breaker_threshold = self.breaker_threshold.get().map(|threshold| threshold.0);
        settings.breaker_timeout = self.breaker_timeout.get().copied();
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        check(&self.problems()).map_err(|error| error.with_context("backend", &*context.name))?;
        let base = self.complete().base_path.get().cloned().unwrap_or_default();
        // A later change of the working directory must not move the cache.
        let base = std::path::absolute(base).map_err(|error| {
            Error::new(ErrorKind::Config, "it cannot be made absolute")
                .with_field("base_path")
                .with_context("backend", &*context.name)
                .with_source(error)
        })?;
        let mut options = self.options();
        // A sync caller waits on its own thread, where nothing else could end the wait.
        let most = context.op_timeout / 5 * 4;
        if let Some(busy_timeout) = self.busy_timeout.get().filter(|said| **said > most) {
            let (said, most) = (compact(*busy_timeout), compact(most));
            context
                .listener
                .advised(&format!("`busy_timeout` is {said}, and may be four fifths of `op_timeout`: {most} holds"));
        }
        options.busy_timeout = options.busy_timeout.min(most);
        Ok(Built::Local(Arc::new(DiskBackend::new(context, &base, options))))
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

const URLS: &[UrlScheme] = &[UrlScheme::new("file", "file:///folder", fields_of_url)];

retainit_plugin::register_backend!("disk", DiskConfig, urls(URLS));
