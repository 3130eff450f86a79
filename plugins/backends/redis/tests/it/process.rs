//! One process that uses a backend.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Backend, BackendConfig, Built, Bytes, Fence, Read, Result, Snapshot, StoreCondition, StoreOptions, Stored,
};
use retainit_redis::RedisConfig;
use tokio::runtime::{Builder, Runtime};

/// A lease that no test outlives.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// A backend and the runtime that its connections are on.
pub(crate) struct Process {
    runtime: Runtime,
    pub(crate) backend: Arc<dyn Backend>,
}

impl Process {
    pub(crate) fn new(config: &RedisConfig) -> Process {
        let built = config.build(retainit_testkit::context("shared")).expect("the configuration is valid");
        let Built::Bytes(backend) = built else { panic!("a backend of bytes") };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Process { runtime, backend }
    }

    pub(crate) fn at(url: &str) -> Process {
        Process::new(&RedisConfig::new(url))
    }

    /// Runs an operation of the backend.
    pub(crate) fn run<T>(&self, operation: impl Future<Output = T>) -> T {
        self.runtime.block_on(operation)
    }

    pub(crate) fn health(&self) -> Result<()> {
        self.run(self.backend.health())
    }

    pub(crate) fn look(&self, key: &str) -> Result<Snapshot> {
        self.run(self.backend.read(key, Read::seen()))
    }

    pub(crate) fn take(&self, key: &str) -> Fence {
        let found = self.run(self.backend.read(key, Read::take(LEASE))).expect("take");
        found.fence.expect("a fence was taken")
    }

    pub(crate) fn store(&self, key: &str, entry: impl Into<Bytes>, fence: Fence) -> Result<Stored> {
        let terms = StoreOptions::new(StoreCondition::Fenced(fence)).ttl(Some(LEASE));
        self.run(self.backend.store(key, entry.into(), terms))
    }

    /// Stores as a load does.
    pub(crate) fn fill(&self, key: &str, entry: impl Into<Bytes>) {
        let fence = self.take(key);
        assert_eq!(self.store(key, entry, fence).expect("store"), Stored::Yes);
    }

    pub(crate) fn entry(&self, key: &str) -> Option<Bytes> {
        self.look(key).expect("look").entry
    }
}
