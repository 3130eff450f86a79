#![doc = include_str!("../README.md")]

mod acl;
mod address;
mod attempt;
mod backend;
mod client;
mod cluster;
mod config;
mod dial;
mod error;
mod group;
mod line;
mod node;
mod options;
mod route;
mod scan;
mod script;
mod sentinel;
mod slot;
mod stream;
mod tls;
mod url;

pub use address::Addresses;
pub use config::{CertReqs, RedisConfig};
