//! Values as bytes: a file and a feature each.

#[cfg(feature = "json")]
mod json;
#[cfg(feature = "postcard")]
mod postcard;

#[cfg(feature = "json")]
pub use json::Json;
#[cfg(feature = "postcard")]
pub use postcard::Postcard;

#[cfg(any(feature = "json", feature = "postcard"))]
use retainit_plugin::{Error, ErrorKind};

/// Makes the error of a value that this format cannot hold.
#[cfg(any(feature = "json", feature = "postcard"))]
fn unwritten(format: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, format!("the value cannot be written as {format}")).with_source(source)
}

/// Makes the error of bytes that are no such value.
#[cfg(any(feature = "json", feature = "postcard"))]
fn unread(format: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Codec, format!("the stored value cannot be read as {format}")).with_source(source)
}
