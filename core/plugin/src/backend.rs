use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Capabilities, Error, ErrorKind, Fence, GroupVersion, LivenessCheck, Page, Read, Result, Scan, Seal, Snapshot,
    StoreCondition, StoreOptions, Stored, Strength,
};

/// Lease of the placeholder that a value waits for which is stored without a load.
const LEASE: Duration = Duration::from_secs(10);

/// The number of attempts of a store without a load, while others write to the same key.
const TRIES: usize = 8;

/// A backend that keeps bytes behind a network: Redis, S3, MongoDB, anything in a `.so`.
///
/// It moves keys and bytes and never sees a value. Required are five methods; the rest is declared in
/// [`capabilities`](Backend::capabilities).
///
/// **Trips.** A hit is one read, which writes nothing. A caller that finds nothing it can use looks at the fence that
/// this read has [seen](Read::seen): where there is one, it loads and stores on that. Only where the slot was empty does
/// the leader of the load [take](Read::take) one, before its load begins: look, take, load, store.
///
/// **Time.** The engine waits for no method longer than `op_timeout`; it drops the future then, so every method has
/// to leave the store in order when it is dropped at any point.
///
/// **Given up.** What was sent may be executed later, after a removal that was acknowledged. A backend with fences
/// therefore gets no unconditional store: what nobody loaded is stored by [`store_with`](Backend::store_with), on the
/// fence that was just taken.
#[async_trait]
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Returns the abilities of this backend, which never change.
    fn capabilities(&self) -> Capabilities;

    /// Reads one slot, and what `read` includes; see [`Snapshot`] for the order of its parts.
    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// Writes one slot. A condition the backend does not declare is [`ErrorKind::Unsupported`]; with fences it gets
    /// [`StoreCondition::Fenced`] only.
    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored>;

    /// Stores bytes that come from no load, and breaks the fence. `terms` say whether in any case or only into a slot
    /// without an entry; `seal` makes the bytes from versions of `terms.groups` that are current at some moment of the
    /// call.
    ///
    /// The default takes a fence and stores on it, again while others are faster; after some attempts it gives up with
    /// [`Stored::Refused`]. A backend without fences stores as `terms` say. Override it if one operation can do both,
    /// with the same effect: dropped or executed late, it must not store behind a removal that came after its look.
    async fn store_with(&self, key: &str, seal: &mut Seal<'_>, terms: StoreOptions<'_>) -> Result<Stored> {
        let capabilities = self.capabilities();
        if !capabilities.has_fences() {
            let versions = match terms.groups {
                [] => Default::default(),
                groups => self.read(key, Read::take(LEASE).groups(groups)).await?.versions,
            };
            return self.store(key, seal(&versions)?, terms).await;
        }
        if terms.when == StoreCondition::Absent && !capabilities.has_set_if_absent() {
            return Err(unsupported("set_if_absent"));
        }
        for _ in 0..TRIES {
            let found = self.read(key, Read::take(LEASE).groups(terms.groups)).await?;
            if terms.when == StoreCondition::Absent && found.entry.is_some() {
                return Ok(Stored::Refused);
            }
            let Some(fence) = found.fence else {
                return Err(Error::new(ErrorKind::Backend, "the backend has fences and gave none"));
            };
            let entry = match seal(&found.versions) {
                Ok(entry) => entry,
                Err(error) => {
                    // Others would wait for a load that nobody makes.
                    if found.placed && capabilities.has_leases() {
                        drop(self.release(key, fence).await);
                    }
                    return Err(error);
                }
            };
            let terms = StoreOptions { when: StoreCondition::Fenced(fence), ..terms };
            if self.store(key, entry, terms).await? == Stored::Yes {
                return Ok(Stored::Yes);
            }
        }
        Ok(Stored::Refused)
    }

    /// Empties one slot and breaks its fence. True if an entry was in it; a placeholder is none.
    async fn remove(&self, key: &str) -> Result<bool>;

    /// Empties one slot; true only if it held an entry that may be served, as `check` decides. Where that cannot be
    /// decided, any entry counts.
    ///
    /// The default reads, then removes. Override it if the backend can do both as one operation.
    async fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        let live = check.reads(self, key).await;
        Ok(self.remove(key).await? && live.unwrap_or(true))
    }

    /// Empties several slots and breaks their fences. Returns how many entries were in them. After an error any of them
    /// may be emptied or not.
    ///
    /// The default removes one after the other. Override it if one trip can carry several.
    async fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        let mut removed = 0;
        for key in keys {
            removed += u64::from(self.remove(key).await?);
        }
        Ok(removed)
    }

    /// Keeps a placeholder for `lease` from now on. False if another thing is in the slot by now, or nothing. Needs
    /// [`Capabilities::has_leases`].
    async fn renew(&self, key: &str, fence: Fence, lease: Duration) -> Result<bool> {
        let (_, _, _) = (key, fence, lease);
        Err(unsupported("leases"))
    }

    /// Empties a slot that still holds the placeholder of `fence`. False if another thing is in it by now, an entry
    /// too, or nothing. Needs [`Capabilities::has_leases`].
    async fn release(&self, key: &str, fence: Fence) -> Result<bool> {
        let (_, _) = (key, fence);
        Err(unsupported("leases"))
    }

    /// Checks that the backend can be reached; connects if it has not yet. Use [`try_out`](Backend::try_out) to check
    /// that stores work.
    async fn health(&self) -> Result<()>;

    /// Checks that the backend can be written and read: stores, reads and removes an entry under a key that nobody else
    /// uses.
    ///
    /// The default stores an entry, for which a full backend may evict another one. Override it if the backend can
    /// check without that.
    async fn try_out(&self, key: &str) -> Result<()> {
        self.store_with(key, &mut |_| Ok(Bytes::from_static(TRIAL)), trial_terms()).await?;
        let (found, removed) = (self.read(key, Read::peek()).await, self.remove(key).await);
        is_trial(found?.entry).and(removed).map(drop)
    }

    /// Lists keys. Needs [`Capabilities::has_scan`].
    async fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// Returns the counters of groups. Needs [`Capabilities::has_versions`].
    fn versions(&self) -> Option<&dyn Versions> {
        None
    }

    /// Ends its connections. Called once; calls after it fail.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Counters of groups in the shared store.
#[async_trait]
pub trait Versions: Send + Sync {
    /// Raises a group's counter and gives the new version. A group without one begins at a random base below 2^52.
    async fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion>;
}

/// Bytes that are stored to check that stores work: as many as a small entry has.
pub(crate) const TRIAL: &[u8] = &[b'.'; 1024];

/// Returns options of a store that soon expires, should it not be removed.
pub(crate) fn trial_terms() -> StoreOptions<'static> {
    StoreOptions::new(StoreCondition::Always).ttl(Some(Duration::from_secs(60)))
}

pub(crate) fn is_trial(found: Option<Bytes>) -> Result<()> {
    match found.is_some_and(|found| found == TRIAL) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Backend, "what was stored a moment ago is not there")),
    }
}

pub(crate) fn unsupported(what: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this backend does not offer `{what}`"))
}
