//! Serializers by name, and the limits on reading.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Clock, Error, ErrorKind, Moment, Result, Serializer};

use super::Types;

/// A serializer with its name.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    /// MessagePack with field names.
    MsgPack,
    /// Text, copied.
    Text,
    /// Bytes, copied.
    Bytes,
    /// The serializer of a plugin.
    Plugin(&'static str, Arc<dyn Serializer>),
}

impl Format {
    pub(crate) const BUILT_IN: [&'static str; 3] = ["msgpack", "string", "bytes"];

    pub(crate) fn built_in(name: &str) -> Option<Format> {
        match name {
            "msgpack" => Some(Format::MsgPack),
            "string" => Some(Format::Text),
            "bytes" => Some(Format::Bytes),
            _ => None,
        }
    }

    /// Returns the name in envelopes and configurations.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Format::MsgPack => "msgpack",
            Format::Text => "string",
            Format::Bytes => "bytes",
            Format::Plugin(name, _) => name,
        }
    }

    /// Returns true if the stored bytes are the value itself.
    pub(crate) fn is_verbatim(&self) -> bool {
        matches!(self, Format::Text | Format::Bytes)
    }

    pub(crate) fn is_positional(&self) -> bool {
        matches!(self, Format::Plugin(_, serializer) if serializer.is_positional())
    }

    /// Checks that the format can hold values of this type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] with the reason.
    pub(crate) fn takes(&self, types: &Types) -> Result<()> {
        let of = types.value;
        let meant = match self {
            Format::MsgPack => true,
            Format::Text => of.is_text(),
            Format::Bytes => of.is_bytes(),
            Format::Plugin(_, serializer) => serializer.can_serialize(of),
        };
        let refuse = |why: &str| {
            let text = format!("the serializer `{}` cannot hold values of type {}: {why}", self.name(), of.name());
            Err(Error::new(ErrorKind::Config, text))
        };
        if !meant {
            return refuse("it is not meant for them; name another, such as \"msgpack\"");
        }
        if !self.is_positional() {
            // A positional format reads fields by their order alone. A change of the type is only noticed by its
            // fingerprint, so the type has to be traceable in full.
            return Ok(());
        }
        let shape = (types.shape)();
        if shape.needs_self_describing {
            return refuse(
                "reading them needs a format that describes itself (untagged or internally tagged enums, flattened \
                 fields, `serde_json::Value`); name another, such as \"msgpack\"",
            );
        }
        if shape.cut || shape.unseen {
            return refuse(
                "some change of that type would not be noticed, because its `Deserialize` accepts none of the values it \
                 was tried with, or is too large to be looked at as a whole; name a format that describes itself, such \
                 as \"msgpack\"",
            );
        }
        Ok(())
    }
}

/// Deadline for reading a payload.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    clock: &'a dyn Clock,
    begun: Moment,
    limit: Duration,
}

impl<'a> Deadline<'a> {
    /// Starts a deadline `limit` from now.
    pub(crate) fn new(clock: &'a dyn Clock, limit: Duration) -> Deadline<'a> {
        Deadline { begun: clock.now(), limit, clock }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.clock.now().since(self.begun) > self.limit
    }
}
