use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    BackendConfig, Built, ByteSize, Complete, Context, Count, Error, ErrorKind, Fraction, Limit, Problem, Result,
    Section, Settings, Ttl, check, choice, config,
};

use crate::backend::DiskBackend;
use crate::database::Options;

const LEAST_BYTES: ByteSize = ByteSize(1 << 20);

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

choice!(SyncMode { "off" => Off, "normal" => Normal, "full" => Full });

config! {
    /// The configuration of a disk backend.
    ///
    /// Setters never fail: [`build`](BackendConfig::build) reports every problem at once. Building touches no file; the
    /// folder is made by the first operation.
    ///
    /// ```
    /// use retainit_disk::DiskConfig;
    ///
    /// let config = DiskConfig::new().base_path("/var/cache/shop").max_bytes("4GiB").ttl("1d").sync("full");
    /// # use retainit_plugin::BackendConfig;
    /// # assert!(config.settings().ttl.is_some());
    /// ```
    pub struct DiskConfig {
        /// The folder; a relative one lies below the working directory at the time of building.
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

        /// How long results are fresh, where their functions do not say.
        ttl: Ttl = "never";

        /// The largest fraction by which a ttl is shortened, where functions do not say.
        jitter: Fraction = "0.1";

        /// The serializer of values, where functions do not say: `"auto"` is MessagePack, and text and bytes as they are.
        serializer: String = "auto", alias "codec";

        /// What a store waits for: `"off"`, `"normal"` or `"full"`.
        ///
        /// With `"normal"` a power failure may undo what was acknowledged last, never damage an entry; with `"full"`
        /// what was acknowledged survives; with `"off"` the database may have to be begun anew.
        sync: SyncMode = "normal";

        /// How long an operation waits for locks of other threads and processes before it fails; at most four fifths
        /// of the instance's `op_timeout`.
        busy_timeout: Duration = "200ms";
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if let Some(bytes) = self.max_bytes.get().filter(|bytes| **bytes < LEAST_BYTES) {
            problems.push(Problem::new("max_bytes", format!("expected at least {LEAST_BYTES}, got {bytes}")));
        }
        if self.max_entries.get() == Some(&Limit(Some(Count(0)))) {
            problems.push(Problem::new("max_entries", "expected at least 1, got 0"));
        }
    }
}

impl DiskConfig {
    /// Another name for [`max_entries`](DiskConfig::max_entries).
    #[must_use]
    pub fn max_size(self, entries: usize) -> DiskConfig {
        self.max_entries(entries)
    }

    /// The folder; a relative one lies below the working directory at the time of building.
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

impl BackendConfig for DiskConfig {
    fn type_name(&self) -> &'static str {
        "disk"
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = self.ttl.get().copied();
        settings.jitter = self.jitter.get().map(|jitter| jitter.0);
        settings.serializer = self.serializer.get().cloned();
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        check(&self.problems()).map_err(|error| error.context("backend", &*context.name))?;
        let base = self.complete().base_path.get().cloned().unwrap_or_default();
        // A later change of the working directory must not move the cache.
        let base = std::path::absolute(base).map_err(|error| {
            Error::new(ErrorKind::Config, "base_path: it cannot be made absolute")
                .context("backend", &*context.name)
                .source(error)
        })?;
        let mut options = self.options();
        // A sync caller waits on its own thread, where nothing else could end the wait.
        options.busy_timeout = options.busy_timeout.min(context.op_timeout * 4 / 5);
        Ok(Built::Local(Arc::new(DiskBackend::new(context, &base, options))))
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

retainit_plugin::register_backend!("disk", DiskConfig);
