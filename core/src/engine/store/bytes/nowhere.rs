use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Bytes, Capabilities, Error, ErrorKind, LocalBackend, Read, Result, Snapshot, StoreOptions, Stored, SystemClock,
};

use super::{ByteStore, ByteStoreParts};
use crate::breaker::BreakerLimits;

#[derive(Debug)]
struct Nowhere;

fn none<T>() -> Result<T> {
    Err(Error::new(ErrorKind::UnknownBackend, "there is no backend"))
}

impl LocalBackend for Nowhere {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
    }

    fn read(&self, _: &str, _: Read<'_>) -> Result<Snapshot> {
        none()
    }

    fn store(&self, _: &str, _: Bytes, _: StoreOptions<'_>) -> Result<Stored> {
        none()
    }

    fn remove(&self, _: &str) -> Result<bool> {
        none()
    }

    fn health(&self) -> Result<()> {
        none()
    }
}

impl ByteStore {
    /// Returns a store for plans that never reach it.
    pub(in crate::engine::store) fn nowhere() -> ByteStore {
        ByteStore::local(
            Arc::new(Nowhere),
            ByteStoreParts {
                name: "none".into(),
                io: &Arc::default(),
                op_timeout: Duration::from_millis(1),
                outcomes: Arc::default(),
                clock: Arc::new(SystemClock),
                bus: None,
                limits: BreakerLimits::default(),
            },
        )
    }
}
