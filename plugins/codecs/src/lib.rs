#![doc = include_str!("../README.md")]

mod serialize;

#[cfg(feature = "json")]
pub use serialize::Json;
#[cfg(feature = "postcard")]
pub use serialize::Postcard;
