//! Stores values, as far as that does not depend on the kind of the store.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    CachedEntry, Contained, EntryTimes, Error, ErrorKind, EventKind, Result, StoredValue, TagEpoch, Ttl,
};

use super::flight::Ticket;
use super::groups::Groups;
use super::store::Draft;
use super::{Caller, Plan};
use crate::key::KeyBuf;
use crate::value::{Codec, Encoded, Equal, Format, Shared, ValueOps, is_altered};

/// A value or error that will be stored, independent of its type.
pub(crate) trait Stock {
    /// Returns its weight, in the unit of its type.
    fn weigh(&self) -> u64;

    /// Makes the entry for a store in memory; called at most once.
    fn keep(&mut self, times: EntryTimes) -> Option<CachedEntry>;

    /// Serializes it; called at most once.
    fn encode(&mut self, plan: &Plan) -> Result<Encoded>;
}

/// A value that the program stores itself, without a load.
struct Given<'a, V> {
    value: Option<Contained<V>>,
    ops: &'a ValueOps<V>,
}

impl<V: StoredValue> Stock for Given<'_, V> {
    fn weigh(&self) -> u64 {
        match (&self.value, self.ops.weigh) {
            (Some(value), Some(weigh)) => weigh(value),
            _ => 0,
        }
    }

    fn keep(&mut self, times: EntryTimes) -> Option<CachedEntry> {
        let value = self.value.take()?;
        Some(match self.ops.direct {
            true => CachedEntry::new(value.into_inner(), times),
            false => CachedEntry::new(Shared::new(value), times),
        })
    }

    fn encode(&mut self, plan: &Plan) -> Result<Encoded> {
        let (value, codec) = (self.value.take(), self.ops.codec.ok_or_else(no_codec)?);
        let value = value.ok_or_else(no_codec)?;
        plan.encode(&*value, codec, plan.format.as_ref(), self.ops.equal)
    }
}

/// Returns the error of a value that cannot be serialized.
pub(crate) fn no_codec() -> Error {
    Error::new(ErrorKind::Codec, "values of this type are kept in memory only")
}

/// Condition of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Store the result of a load, if its fence is unbroken.
    Fill,
    /// Store the result of a refresh, if its fence is unbroken; other loads under way are refused after it.
    Replace,
    /// Store in any case, for `set`.
    Always,
    /// Store if there is no entry that may be served, for `set_if_absent`.
    Absent,
}

/// Request to store one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) key: &'a KeyBuf,
    pub(crate) tags: &'a [Arc<TagEpoch>],
    pub(crate) groups: &'a Groups,
    pub(crate) ticket: &'a Ticket,
    pub(crate) mode: Mode,
    pub(crate) ttl: Ttl,
    pub(crate) load_time: Duration,
    /// Age of the value, for entries that are stored back as they were.
    pub(crate) age: Duration,
    pub(crate) caller: Caller<'a>,
}

/// Remaining work of a store.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The store is done (true), or its condition did not hold (false).
    Done(bool),
    /// The bytes have to be sent to their store.
    Bytes(Draft),
}

/// Stores a value. Returns false if the condition did not hold.
pub(crate) async fn write<V: StoredValue>(write: Write<'_>, value: Contained<V>, ops: &ValueOps<V>) -> Result<bool> {
    match write.prepare(&mut Given { value: Some(value), ops })? {
        Prepared::Done(stored) => Ok(stored),
        Prepared::Bytes(draft) => write.caller.caller_kind.apart(|| write.send(draft)).await,
    }
}

impl Write<'_> {
    /// Does the part of a store that needs the value, which in memory is all of it.
    pub(crate) fn prepare(&self, stock: &mut dyn Stock) -> Result<Prepared> {
        if self.plan.instance.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "this instance is closed"));
        }
        let options = &self.plan.options;
        let fresh_for = match options.max_ttl.map_or(self.ttl, |max| self.ttl.cap(max)) {
            Ttl::Off => return Ok(Prepared::Done(false)),
            Ttl::Never => None,
            Ttl::For(ttl) => Some(self.jittered(ttl)),
        };
        Ok(match self.plan.store.write(self, fresh_for, stock)? {
            Prepared::Done(stored) => Prepared::Done(self.reported(stored)),
            bytes @ Prepared::Bytes(_) => bytes,
        })
    }

    /// Sends bytes to their store.
    pub(crate) async fn send(&self, draft: Draft) -> Result<bool> {
        Ok(self.reported(self.plan.store.send(self, draft).await?))
    }

    fn reported(&self, stored: bool) -> bool {
        if stored {
            self.plan.emit(EventKind::CacheSet, Some(self.key), |_| {});
        }
        stored
    }

    /// Shortens a ttl by up to the plan's jitter: equally for one key and epoch in every process, so that copies of one
    /// entry expire together while entries stored together do not.
    fn jittered(&self, ttl: Duration) -> Duration {
        let jitter = self.plan.options.jitter;
        if jitter == 0.0 {
            return ttl;
        }
        let seed = blake3::hash(self.key.bytes());
        let seed = u64::from_le_bytes(*seed.as_bytes().first_chunk::<8>().expect("a digest has 32 bytes"));
        let mixed = (seed ^ self.ticket.epoch).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let u = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        // A ttl near the longest there is may be rounded up beyond it.
        Duration::try_from_secs_f64(ttl.as_secs_f64() * (1.0 - u * jitter)).map_or(ttl, |jittered| jittered.min(ttl))
    }
}

impl Plan {
    /// Serializes a value, and checks that it can be read back. A value that cannot is reported once.
    pub(crate) fn encode<V>(
        &self,
        value: &V,
        codec: Codec<V>,
        format: Option<&Format>,
        equal: Option<Equal<V>>,
    ) -> Result<Encoded> {
        let (function, deadline) = (&self.function, self.instance.deadline());
        let encoded = codec.write(value, format, equal, &function.read_back, &deadline);
        if let Err(error) = &encoded
            && is_altered(error)
        {
            function.count_failure("store");
            if function.read_back.report_once() {
                function.report_uncached("store", &self.store.name, error);
            }
        }
        encoded
    }
}
