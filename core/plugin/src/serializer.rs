use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Result;

/// Reads one value from a deserializer; a serializer calls it once.
pub type ReadValue<'a> = dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> + 'a;

/// Writes values as bytes and reads them back.
///
/// The engine uses it with backends that keep bytes. It never hands over an outermost `Option`: the entry's header
/// contains whether a value was `Some` or `None`. It also refuses by itself values that a self-describing format would
/// bring back as others, such as `Some(None)` inside a struct, and watches depth and time while a value is read,
/// provided that `deserialize` reads as it goes and not all at once beforehand.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{Error, ErrorKind, ReadValue, Result, Serializer, erased_serde};
///
/// #[derive(Debug, Default)]
/// struct Json;
///
/// impl Serializer for Json {
///     fn name(&self) -> &'static str {
///         "json"
///     }
///
///     fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
///         serde_json::to_writer(out, value).map_err(|e| Error::new(ErrorKind::Codec, "not written").with_source(e))
///     }
///
///     fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
///         let mut input = serde_json::Deserializer::from_slice(input);
///         read(&mut <dyn erased_serde::Deserializer>::erase(&mut input))
///             .map_err(|e| Error::new(ErrorKind::Codec, "not read").with_source(e))?;
///         input.end().map_err(|e| Error::new(ErrorKind::Codec, "not read").with_source(e))
///     }
/// }
///
/// let mut out = Vec::new();
/// Json.serialize(&[1, 2], &mut out).unwrap();
/// assert_eq!(out, b"[1,2]");
/// ```
pub trait Serializer: Send + Sync + fmt::Debug + 'static {
    /// Returns the name of the format, for messages. Entries and configurations use the name it is registered under.
    fn name(&self) -> &'static str;

    /// Returns whether fields are distinguished by their position alone, and `Some` is marked as such. Entries then
    /// carry a fingerprint of their type, so that a changed type is a miss. Default: no.
    fn is_positional(&self) -> bool {
        false
    }

    /// Returns whether NaN and the infinities come back as they were. Where they do not, values that hold them are
    /// refused. Default: yes.
    fn keeps_non_finite(&self) -> bool {
        true
    }

    /// Returns whether it is meant for values of this type; called when a function or cache names it. Default: for all.
    fn can_serialize(&self, of: ValueType) -> bool {
        let ValueType { .. } = of;
        true
    }

    /// Appends the bytes of a value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Codec`](crate::ErrorKind::Codec) for a value that this format cannot hold.
    fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()>;

    /// Reads a value back. It may not allocate by a length that the bytes merely claim, and bytes left over are an
    /// error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Codec`](crate::ErrorKind::Codec) for bytes that are no such value.
    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()>;
}

/// The type of a value, as [`Serializer::can_serialize`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueType {
    id: TypeId,
    name: &'static str,
}

impl ValueType {
    /// Describes the type `V`.
    pub fn of<V: 'static>() -> ValueType {
        ValueType { id: TypeId::of::<V>(), name: std::any::type_name::<V>() }
    }

    /// Returns its name, for messages.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Returns whether it is `T` or `Option<T>`.
    pub fn is<T: 'static>(self) -> bool {
        self.id == TypeId::of::<T>() || self.id == TypeId::of::<Option<T>>()
    }

    /// Returns whether it is text, or an `Option` of it: `String`, `Box<str>`, `Arc<str>`, `Cow<str>`.
    pub fn is_text(self) -> bool {
        self.is::<String>() || self.is::<Box<str>>() || self.is::<Arc<str>>() || self.is::<Cow<'static, str>>()
    }

    /// Returns whether it is bytes, or an `Option` of them: `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>`, [`Bytes`].
    pub fn is_bytes(self) -> bool {
        self.is::<Vec<u8>>() || self.is::<Box<[u8]>>() || self.is::<Arc<[u8]>>() || self.is::<Bytes>()
    }
}
