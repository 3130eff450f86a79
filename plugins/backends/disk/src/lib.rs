#![doc = include_str!("../README.md")]

mod backend;
mod blob;
mod bounds;
mod checked;
mod config;
mod connection;
mod database;
mod dir;
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
mod turn;
mod version;
mod vfs;
mod wait;
mod write;

pub use config::{DiskConfig, SyncMode};
