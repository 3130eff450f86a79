//! Which serializer writes an entry and which reads it, and the limits on what is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use retainit_plugin::{Clock, Moment, Serializer, caught};

use super::{Kind, Store};
use crate::options::{intern, serializer_of};
use crate::rt::Types;
use crate::{Error, ErrorKind, Registry, Result, Retainit};

/// A serializer under its name.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    /// MessagePack with field names.
    MsgPack,
    /// Text as it is.
    Text,
    /// Bytes as they are.
    Bytes,
    /// What a plugin makes of a value.
    Plugin(&'static str, Arc<dyn Serializer>),
}

impl Format {
    pub(crate) const BUILT_IN: [&'static str; 3] = ["msgpack", "string", "bytes"];

    fn built_in(name: &str) -> Option<Format> {
        match name {
            "msgpack" => Some(Format::MsgPack),
            "string" => Some(Format::Text),
            "bytes" => Some(Format::Bytes),
            _ => None,
        }
    }

    /// The name in envelopes and configurations.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Format::MsgPack => "msgpack",
            Format::Text => "string",
            Format::Bytes => "bytes",
            Format::Plugin(name, _) => name,
        }
    }

    pub(crate) fn is_positional(&self) -> bool {
        matches!(self, Format::Plugin(_, serializer) if serializer.is_positional())
    }

    /// Whether it can hold values of this type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] that says why not.
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
        if self.is_positional() && (types.shape)().asks {
            return refuse(
                "reading them needs a format that describes itself (untagged or internally tagged enums, flattened \
                 fields, `serde_json::Value`); name another, such as \"msgpack\"",
            );
        }
        Ok(())
    }
}

/// Names of serializers that the facade brings with a feature of the same name.
const FEATURES: [&str; 2] = ["json", "postcard"];

impl Registry {
    /// The serializer of an envelope, if this program has it.
    pub(crate) fn format(&self, name: &str) -> Option<Format> {
        Format::built_in(name).or_else(|| {
            // Only names that stand for something are kept: this one may come from anywhere.
            let serializer = self.serializer(name)?;
            Some(Format::Plugin(intern(name), serializer))
        })
    }

    /// The serializer that an option names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] that lists those there are, and for a compression or an encryption behind the name.
    pub(crate) fn named_format(&self, name: &str) -> Result<Format> {
        let name = serializer_of(name)?;
        if name == "pickle" {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(target: "retainit", "serializer `pickle` stands for `msgpack`: say so in the configuration");
            });
            return Ok(Format::MsgPack);
        }
        self.format(name).ok_or_else(|| {
            let mut names = self.names("serializer");
            names.extend(Format::BUILT_IN.map(str::to_owned));
            names.sort();
            let hint = match FEATURES.contains(&name) {
                true => format!("; `{name}` comes with the feature `{name}` of the crate `retainit`"),
                false => String::new(),
            };
            let text = format!("no serializer is called `{name}`; there are: {}{hint}", names.join(", "));
            Error::new(ErrorKind::Config, text)
        })
    }
}

impl Retainit {
    /// The serializer of an envelope, if this program has it.
    pub(crate) fn format(&self, name: &str) -> Option<Format> {
        self.registry().format(name)
    }

    /// The serializer by name of what is kept in `store`; `None` where the type of the value decides.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an unknown name and for values that the serializer cannot hold.
    pub(crate) fn chosen_format(
        &self,
        function: &str,
        store: &Store,
        name: Option<&str>,
        types: Option<fn() -> Types>,
    ) -> Result<Option<Format>> {
        let (Kind::Bytes(_), Some(name)) = (&store.kind, name) else { return Ok(None) };
        let check = || {
            let format = self.registry().named_format(name)?;
            types.map_or(Ok(()), |types| format.takes(&types()))?;
            Ok(Some(format))
        };
        caught(ErrorKind::Config, "asking the serializer", check)
            .flatten()
            .map_err(|error| error.context("function", function))
    }

    /// When reading a payload that begins now has to end.
    pub(crate) fn deadline(&self) -> Deadline<'_> {
        let clock = &**self.clock();
        Deadline { begun: clock.now(), limit: self.decode_timeout(), clock }
    }
}

/// The end of the time that reading a payload may take.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    clock: &'a dyn Clock,
    begun: Moment,
    limit: Duration,
}

impl Deadline<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.clock.now().since(self.begun) > self.limit
    }
}

/// Says yes at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Rarely(AtomicU64);

impl Rarely {
    pub(crate) fn now(&self, clock: &dyn Clock) -> bool {
        const PAUSE: Duration = Duration::from_secs(60);
        let (next, now) = (self.0.load(Ordering::Relaxed), clock.now());
        now.as_millis() >= next
            && self.0.compare_exchange(next, now.after(PAUSE).as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
