#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod blob;
mod bounds;
mod config;
mod connection;
mod database;
mod entry;
mod fault;
mod folder;
mod known;
mod lingering;
mod lookup;
mod scan;
mod schema;
mod stripe;
mod sweep;
mod touched;
mod version;
mod write;

pub use config::{DiskConfig, SyncMode};
