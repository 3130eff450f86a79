use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::backend::{TRIAL, is_trial, trial_terms, unsupported};
use crate::{
    Capabilities, GroupVersion, GroupVersions, LivenessCheck, Page, Read, Result, Scan, Seal, Snapshot, StoreOptions,
    Stored, Strength,
};

/// A backend that keeps bytes and blocks while it does: files, an embedded database.
///
/// The same contract as [`Backend`](crate::Backend), method by method, without the leases of placeholders. Sync callers
/// use it on their own thread; async callers reach it through a pool of threads, never on a worker of their runtime.
pub trait LocalBackend: Send + Sync + fmt::Debug + 'static {
    /// Returns the abilities of this backend; see [`Backend::capabilities`](crate::Backend::capabilities).
    fn capabilities(&self) -> Capabilities;

    /// Reads one slot; see [`Backend::read`](crate::Backend::read).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::read`](crate::Backend::read).
    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot>;

    /// Writes one slot; see [`Backend::store`](crate::Backend::store).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::store`](crate::Backend::store).
    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored>;

    /// Stores bytes that contain the versions of `terms.groups`: `seal` makes them from those. Values that nobody
    /// loaded are stored this way, with versions that are current at some instant of the call.
    ///
    /// The default reads, then stores as `terms` say: it is not over when its caller leaves, so that nothing comes
    /// late. Override it if the backend can do both as one operation.
    ///
    /// # Errors
    ///
    /// Those of [`store`](LocalBackend::store), and those of `seal`.
    fn store_with(&self, key: &str, seal: &mut Seal<'_>, terms: StoreOptions<'_>) -> Result<Stored> {
        let versions = match terms.groups {
            [] => GroupVersions::new(),
            groups => self.read(key, Read::take(Duration::ZERO).groups(groups))?.versions,
        };
        self.store(key, seal(&versions)?, terms)
    }

    /// Empties one slot; see [`Backend::remove`](crate::Backend::remove).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::remove`](crate::Backend::remove).
    fn remove(&self, key: &str) -> Result<bool>;

    /// Empties one slot; true only if its entry may be served; see [`Backend::remove_live`](crate::Backend::remove_live).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::remove_live`](crate::Backend::remove_live).
    fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        let live = check.reads_at_once(self, key);
        Ok(self.remove(key)? && live.unwrap_or(true))
    }

    /// Empties several slots; see [`Backend::remove_many`](crate::Backend::remove_many).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::remove_many`](crate::Backend::remove_many).
    fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        keys.iter().try_fold(0, |removed, key| Ok(removed + u64::from(self.remove(key)?)))
    }

    /// Checks that the backend can be reached; see [`Backend::health`](crate::Backend::health).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::health`](crate::Backend::health).
    fn health(&self) -> Result<()>;

    /// Checks that its storage location is usable, and makes it if it is missing: called when an instance is installed
    /// or reloaded. The default does nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), whose [`field`](crate::Error::field) is the one that names the place.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Checks that the backend can be written and read; see [`Backend::try_out`](crate::Backend::try_out).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::try_out`](crate::Backend::try_out).
    fn try_out(&self, key: &str) -> Result<()> {
        self.store(key, Bytes::from_static(TRIAL), trial_terms())?;
        let (found, removed) = (self.read(key, Read::peek()), self.remove(key));
        is_trial(found?.entry).and(removed).map(drop)
    }

    /// Lists keys; see [`Backend::scan`](crate::Backend::scan).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::scan`](crate::Backend::scan).
    fn scan(&self, scan: Scan) -> Result<Page> {
        let Scan { .. } = scan;
        Err(unsupported("scan"))
    }

    /// Returns the number of its entries, those of other namespaces and expired ones included; `None`, the default, if
    /// that is not known without reading entries. The statistics of an instance ask for it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](LocalBackend::read).
    fn count(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Raises a group's counter; see [`Versions::raise`](crate::Versions::raise). Needs [`Capabilities::has_versions`].
    ///
    /// # Errors
    ///
    /// Those of [`Versions::raise`](crate::Versions::raise).
    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        let (_, _) = (group, strength);
        Err(unsupported("versions"))
    }

    /// Ends its connections; see [`Backend::close`](crate::Backend::close).
    ///
    /// # Errors
    ///
    /// Those of [`Backend::close`](crate::Backend::close).
    fn close(&self) -> Result<()> {
        Ok(())
    }
}
