use std::sync::Arc;

use retainit_plugin::{
    BackendConfig, Built, ByteSize, Complete, Context, Count, Fraction, Limit, Problem, Result, Section, Settings, Ttl,
    check, choice, config,
};

use crate::backend::MemoryBackend;
use crate::clock_pro::ClockPro;
use crate::lru::Lru;
use crate::totals::Bounds;

/// Selects the entry that is evicted when the backend is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The one least likely to be asked for again, by CLOCK-Pro with ghosts (Jiang et al., USENIX 2005) as
    /// quick_cache has it. Hits of several threads hardly meet.
    #[default]
    Default,
    /// Exactly the least recently used one: reads count as use, peeks do not. Every call takes one lock.
    Lru,
}

choice!(Policy { "default" => Default, "lru" => Lru });

config! {
    /// The configuration of a memory backend.
    ///
    /// Both bounds hold at every moment. Setters never fail: [`build`](BackendConfig::build) reports every problem at
    /// once.
    ///
    /// ```
    /// # use retainit_memory as retainit;
    /// use retainit::MemoryConfig;
    ///
    /// let config = MemoryConfig::new().max_entries(50_000).max_bytes(64 << 20).ttl("5m").policy("lru");
    /// # use retainit_plugin::BackendConfig;
    /// # assert!(config.settings().ttl.is_some());
    /// ```
    pub struct MemoryConfig {
        /// The most entries it holds, at least 1; it holds where `max_bytes` is set too.
        max_entries: Count = 10_000, alias "max_size";

        /// The most bytes its values weigh together, at least 1.
        ///
        /// Weights are those of `Weigh`, or of the serialized form; the cost of the entries themselves (100 to 210
        /// bytes each) comes on top. The default policy works in shards of at least 4 MiB, and an entry heavier than 97
        /// % of a shard's share is not kept: it is reported as evicted. `lru` and `strict` keep whatever weighs at most
        /// `max_bytes`.
        max_bytes: Limit<ByteSize> = "unlimited";

        /// Time for which results are fresh, where their functions do not set it. The time a machine sleeps is not
        /// counted.
        ttl: Ttl = "never";

        /// The largest fraction by which a ttl is shortened, where functions do not set it.
        jitter: Fraction = 0.0;

        /// Time without a read after which a result expires.
        max_idle: Ttl = "never", alias "idle";

        /// Policy that selects the entry to evict: `"default"` is CLOCK-Pro, `"lru"` exactly the least recently used
        /// one.
        policy: Policy = "default";

        /// Makes the bounds usable to the last entry and byte.
        ///
        /// Bounds are never passed, but in shards one may be full while another is not, so fewer than `max_entries` may
        /// be there. With `strict` the default policy has a single shard; with `max_bytes` too, the store of `lru` is
        /// used. Both take one lock per change, `lru` also per hit.
        strict: bool = false;
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if self.max_entries.get() == Some(&Count(0)) {
            problems.push(Problem::new("max_entries", "expected at least 1, got 0"));
        }
        if self.max_bytes.get() == Some(&Limit(Some(ByteSize(0)))) {
            problems.push(Problem::new("max_bytes", "expected at least 1, got 0"));
        }
        if self.max_idle.get() == Some(&Ttl::Off) {
            problems.push(Problem::new("max_idle", "`off` is not an idle time: expected \"10m\" or \"never\""));
        }
    }
}

impl MemoryConfig {
    /// Sets [`max_entries`](MemoryConfig::max_entries), under another name.
    #[must_use]
    pub fn max_size(self, entries: usize) -> MemoryConfig {
        self.max_entries(entries)
    }
}

impl BackendConfig for MemoryConfig {
    fn type_name(&self) -> &'static str {
        "memory"
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = self.ttl.get().copied();
        settings.jitter = self.jitter.get().map(|jitter| jitter.0);
        settings.idle = match self.max_idle.get() {
            Some(Ttl::For(idle)) => Some(*idle),
            _ => None,
        };
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        check(&self.problems()).map_err(|error| error.with_context("backend", &*context.name))?;
        let all = self.complete();
        let bounds = Bounds {
            entries: all.max_entries.get().map_or(u64::MAX, |entries| entries.0),
            bytes: all.max_bytes.get().and_then(|limit| limit.0).map(|bytes| bytes.0),
        };
        let strict = all.strict.get() == Some(&true);
        let policy = all.policy.get().copied().unwrap_or_default();
        let Context { name, listener, .. } = context;
        Ok(Built::Object(if policy == Policy::Lru || strict && bounds.bytes.is_some() {
            Arc::new(MemoryBackend::new(name, Lru::new(bounds), listener))
        } else {
            Arc::new(MemoryBackend::new(name, ClockPro::new(bounds, strict), listener))
        }))
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

retainit_plugin::register_backend!("memory", MemoryConfig, used_unconfigured());
