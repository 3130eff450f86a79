use std::time::{Duration, SystemTime};

use retainit_plugin::{Bytes, Version};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What a byte backend holds for an entry: its times, the versions it was loaded under, and the value.
///
/// It is plain MessagePack for now, so it is not a format to keep data in: no linked backend outlives its process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    wire: u8,
    /// Milliseconds since the epoch.
    created: u64,
    /// Milliseconds of freshness; `None` never ends.
    fresh_for: Option<u64>,
    /// Microseconds.
    load_time: u64,
    /// The groups it belongs to, with their versions before its load began.
    groups: Vec<(String, u64, u64)>,
    /// Whether the payload is a whole result, an error.
    error: bool,
    #[serde(with = "payload")]
    payload: Vec<u8>,
}

const WIRE: u8 = 0;

/// A clock that is ahead by more than this makes an entry a miss.
const MAX_SKEW: Duration = Duration::from_secs(5);

impl Envelope {
    pub(super) fn new(created: SystemTime, fresh_for: Option<Duration>, load_time: Duration, payload: Vec<u8>) -> Self {
        Envelope {
            wire: WIRE,
            created: millis(created),
            fresh_for: fresh_for.map(|d| d.as_millis() as u64),
            load_time: load_time.as_micros() as u64,
            groups: Vec::new(),
            error: false,
            payload,
        }
    }

    pub(super) fn of_error(mut self) -> Self {
        self.error = true;
        self
    }

    pub(super) fn groups(mut self, groups: impl Iterator<Item = (String, Version)>) -> Self {
        self.groups = groups.map(|(name, version)| (name, version.hard, version.soft)).collect();
        self
    }

    pub(super) fn encode(&self) -> Result<Bytes> {
        rmp_serde::to_vec(self)
            .map(Bytes::from)
            .map_err(|e| Error::new(ErrorKind::Codec, "the envelope could not be written").source(e))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Envelope> {
        let envelope: Envelope = rmp_serde::from_slice(bytes)
            .map_err(|e| Error::new(ErrorKind::Codec, "the envelope could not be read").source(e))?;
        if envelope.wire == WIRE {
            Ok(envelope)
        } else {
            Err(Error::new(ErrorKind::Codec, format!("wire version {} is not known", envelope.wire)))
        }
    }

    pub(super) fn fresh_for(&self) -> Option<Duration> {
        self.fresh_for.map(Duration::from_millis)
    }

    pub(super) fn load_time(&self) -> Duration {
        Duration::from_micros(self.load_time)
    }

    pub(super) fn is_error(&self) -> bool {
        self.error
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its age, `None` for an entry from the future.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        let (now, skew) = (millis(now), MAX_SKEW.as_millis() as u64);
        (self.created <= now + skew).then(|| Duration::from_millis(now.saturating_sub(self.created)))
    }

    pub(super) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(name, ..)| name.as_str())
    }

    /// The version it was loaded under.
    pub(super) fn version(&self, group: &str) -> Option<Version> {
        let (_, hard, soft) = self.groups.iter().find(|(name, ..)| name == group)?;
        Some(Version { hard: *hard, soft: *soft })
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Bytes as bytes: a list of numbers costs a hundred times as much.
mod payload {
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Vec<u8>, A::Error> {
                Err(A::Error::custom("bytes expected"))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
