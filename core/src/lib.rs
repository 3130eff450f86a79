//! The engine of retainit.
#![allow(dead_code)]
mod key;
#[doc(hidden)]
pub mod rt;
pub use key::Pattern;
pub use retainit_plugin::{Error, ErrorKind, Result};
