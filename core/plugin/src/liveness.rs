use smallvec::SmallVec;

use crate::{Backend, GroupVersions, KnownVersions, LocalBackend, Read, Result, Snapshot};

/// Names of groups, by their full text.
pub type GroupNames<'a> = SmallVec<[&'a str; 4]>;

/// Decides which entries of a byte backend count: those that may be served.
///
/// A backend has neither the ttl of an entry nor the versions that its groups had when it was loaded: both are in its
/// bytes. The engine therefore checks entries that are listed, or counted as removed, as it checks those that a call
/// finds.
pub trait LivenessCheck: Send + Sync {
    /// Groups an entry is likely to belong to; empty where the backend keeps no versions.
    fn likely(&self) -> GroupNames<'_>;

    /// Checks what was found by the versions of groups that were read with it or after it.
    fn check(&self, found: &Snapshot, versions: &[KnownVersions<'_>]) -> Liveness;
}

/// Answer of a [`LivenessCheck`] about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It may be served.
    Live,
    /// It may not be served, or none was found.
    Dead,
    /// The answer depends on the versions of these groups.
    Asks(Vec<String>),
}

impl dyn LivenessCheck + '_ {
    /// Returns whether an entry that was read with the versions of the [`likely`](LivenessCheck::likely) groups may be
    /// served. `versions` returns those of other groups: for a backend that has them at hand.
    ///
    /// # Errors
    ///
    /// Those of `versions`.
    pub fn is_live(&self, found: &Snapshot, versions: impl FnOnce(&[&str]) -> Result<GroupVersions>) -> Result<bool> {
        let likely = self.likely();
        let known = (&*likely, &*found.versions);
        Ok(match self.check(found, &[known]) {
            Liveness::Asks(groups) => {
                let groups = names(&groups);
                let asked = versions(&groups)?;
                self.check(found, &[known, (&groups, &asked)]) == Liveness::Live
            }
            liveness => liveness == Liveness::Live,
        })
    }

    /// Reads the entry of a key, without using it, and returns whether it may be served.
    ///
    /// # Errors
    ///
    /// Those of [`Backend::read`].
    pub async fn reads(&self, backend: &(impl Backend + ?Sized), key: &str) -> Result<bool> {
        let likely = self.likely();
        let found = backend.read(key, look(&likely)).await?;
        let known = (&*likely, &*found.versions);
        Ok(match self.check(&found, &[known]) {
            Liveness::Asks(groups) => {
                let groups = names(&groups);
                let asked = backend.read(key, look(&groups)).await?.versions;
                self.check(&found, &[known, (&groups, &asked)]) == Liveness::Live
            }
            liveness => liveness == Liveness::Live,
        })
    }

    /// Reads the entry of a key on a blocking backend, without using it, and returns whether it may be served.
    ///
    /// # Errors
    ///
    /// Those of [`LocalBackend::read`].
    pub fn reads_at_once(&self, backend: &(impl LocalBackend + ?Sized), key: &str) -> Result<bool> {
        let found = backend.read(key, look(&self.likely()))?;
        self.is_live(&found, |groups| Ok(backend.read(key, look(groups))?.versions))
    }
}

fn names(groups: &[String]) -> GroupNames<'_> {
    groups.iter().map(String::as_str).collect()
}

fn look<'a>(groups: &'a [&'a str]) -> Read<'a> {
    Read::peek().groups(groups).unnoticed()
}
