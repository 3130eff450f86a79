//! Defines the results of a look into a store, of either kind.

use std::any::Any;
use std::sync::Arc;

use retainit_plugin::{Bytes, Contained, Error, ErrorKind, Result};

use super::Plan;
use super::envelope::Fault;
use super::verdict::Verdict;
use crate::meta::Meta;
use crate::value::{Sealed, ValueOps};

/// Result of a lookup.
#[derive(Debug)]
pub(crate) enum Looked<K> {
    /// A fresh entry.
    Hit(Hit<K>),
    /// An entry that is not fresh, for [`ReadMode::Raw`].
    Unserved(Hit<K>, Verdict),
    Miss,
}

impl<K> Looked<K> {
    /// Classifies an entry by its verdict.
    pub(super) fn shown(hit: Hit<K>, verdict: Verdict) -> Looked<K> {
        if verdict.is_fresh() { Looked::Hit(hit) } else { Looked::Unserved(hit, verdict) }
    }

    /// Converts the value that was found.
    pub(crate) fn try_map<L, E>(self, make: impl FnOnce(K) -> Result<L, E>) -> Result<Looked<L>, E> {
        Ok(match self {
            Looked::Hit(hit) => Looked::Hit(hit.try_map(make)?),
            Looked::Unserved(hit, verdict) => Looked::Unserved(hit.try_map(make)?, verdict),
            Looked::Miss => Looked::Miss,
        })
    }
}

/// Entry of a key.
#[derive(Debug)]
pub(crate) enum Hit<K> {
    Value(K, Meta),
    /// An error that was stored under `err_ttl`.
    Failure(Failure, Meta),
}

impl<K> Hit<K> {
    fn try_map<L, E>(self, make: impl FnOnce(K) -> Result<L, E>) -> Result<Hit<L>, E> {
        Ok(match self {
            Hit::Value(value, meta) => Hit::Value(make(value)?, meta),
            Hit::Failure(failure, meta) => Hit::Failure(failure, meta),
        })
    }

    /// Returns the times of the entry. The value is dropped, and a panic of its `Drop` is caught.
    pub(crate) fn into_meta(self) -> Meta {
        match self {
            Hit::Value(value, meta) => {
                drop(Contained::new(value));
                meta
            }
            Hit::Failure(_, meta) => meta,
        }
    }
}

/// A stored result that is an error.
#[derive(Clone)]
pub(crate) enum Failure {
    Any(Arc<dyn Any + Send + Sync>),
    Bytes(Sealed<Bytes>),
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failure")
    }
}

/// Mode of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Read a fresh entry and count that as a use.
    Use,
    /// Read a fresh entry without counting a use.
    Peek,
    /// Read any entry, fresh or not, without counting a use.
    Raw,
}

impl Sealed<Bytes> {
    /// Decodes the value.
    pub(crate) fn open<V>(&self, plan: &Plan, ops: &ValueOps<V>) -> Result<V, Fault> {
        let memory_only = || Fault::Failed(Error::new(ErrorKind::Codec, "values of this type are kept in memory only"));
        let codec = ops.codec.ok_or_else(memory_only)?;
        Ok(codec.read(&self.by_ref(), &self.payload, &plan.instance.deadline())?)
    }

    pub(crate) fn by_ref(&self) -> Sealed<&[u8]> {
        let Sealed { format, fingerprint, option_tag, payload } = self;
        Sealed { format: format.clone(), fingerprint: *fingerprint, option_tag: *option_tag, payload }
    }
}

impl Plan {
    /// Reports an entry that cannot be used, which counts as a miss.
    pub(crate) fn unread(&self, fault: &Fault) {
        let backend = &self.store.name;
        match fault {
            Fault::Damaged(error) | Fault::Failed(error) => self.function.failed("read", backend, error),
            Fault::Tampered(error) | Fault::Security(error) => self.function.security("read", backend, error),
            Fault::Unknown(error) if self.function.unknown.now(&**self.instance.clock()) => {
                self.function.failed("read", backend, error);
            }
            Fault::Unknown(_) => {}
        }
    }
}

/// Derives the fault of a payload from the error of its codec.
impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error.kind() {
            ErrorKind::Unsupported => Fault::Unknown(error),
            ErrorKind::Timeout => Fault::Failed(error),
            _ => Fault::Damaged(error),
        }
    }
}
