#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "audit")]
pub mod audit;
#[cfg(any(feature = "audit", feature = "logging"))]
mod line;
#[cfg(any(feature = "audit", feature = "logging"))]
mod lines;
#[cfg(feature = "logging")]
mod logging;

#[cfg(feature = "audit")]
pub use audit::AuditConfig;
#[cfg(feature = "logging")]
pub use logging::{LogFormat, LogLevel, LoggingConfig};
